"""The report's plots, drawn as inline SVG: no library, no script, colours from the page's style sheet.

One plot per module. Widths are percentages (`svg.strip`), so that text keeps its size and lines their weight on a phone
and on a wide screen.
"""

from __future__ import annotations

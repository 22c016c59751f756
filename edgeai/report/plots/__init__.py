"""The report's plots, drawn as inline SVG: no library, no script, colours from the page's style sheet.

One plot per module. Two kinds of drawing: a picture that is scaled as a whole (`svg.svg`), and drawings whose widths
are percentages (`svg.strip`), so that text keeps its size and lines their weight on a phone and on a wide screen.
"""

from __future__ import annotations

"""Reports that people read: one self-contained HTML page, with plots drawn as inline SVG."""

from __future__ import annotations

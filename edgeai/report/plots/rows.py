"""A chart of rows: a label, a drawing and a figure per row, on one axis that all share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeai.report.plots.scale import Scale
from edgeai.report.plots.svg import strip, tick_words


@dataclass(frozen=True, kw_only=True)
class ChartRow:
    """One row.

    Attributes:
        number: as in the summary table; nothing when it stands for no run.
        label, note: what it is, and what else is to be said, in small.
        svg: the drawing, trusted markup.
        value, detail: its figure, and more under it.
        tag: `cpu`, `gpu`, …: shown as a badge; nothing for none.
        key: colour class of the dot before the label; nothing for none.
    """

    label: str
    svg: str
    value: str
    number: str = ""
    note: str = ""
    detail: str = ""
    tag: str = ""
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class RowChart:
    """Rows over one axis; `axis` is trusted markup, `caption` the words under it."""

    rows: tuple[ChartRow, ...]
    axis: str
    caption: str


def axis_strip(x: Scale, words: Sequence[tuple[float, str]], *, title: str) -> str:
    """Return the axis under (or over) the rows: its values in words."""
    return strip(*tick_words(x, words, y=14), height=20, title=title, kind="strip axis-strip")

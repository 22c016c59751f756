"""SVG elements as text: everything that comes from a document is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from edgeai.report.plots.scale import Scale, sparse

UNIT = 10.0
"""Curves are drawn in a box 1000 wide, stretched over the drawing: a percent is 10 units."""


EDGE = 6.0
"""Percent of the width; words nearer to an edge than this are aligned with it."""


def element(tag: str, *children: str, **attributes: Any) -> str:
    """Return one SVG element; `_` in attribute names stands for `-`; text children must be escaped."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"' for name, value in attributes.items()
    )
    return f"<{tag}{written}>{''.join(children)}</{tag}>"


def _attribute(value: Any) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def percent(value: float) -> str:
    """Return a length relative to the drawing's width."""
    return f"{_attribute(float(value))}%"


def line(x1: float | str, y1: float, x2: float | str, y2: float, kind: str) -> str:
    """Return a line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def text(words: str, x: float | str, y: float, *, anchor: str = "middle", kind: str = "tick", **attributes: Any) -> str:
    """Return a text; `y` is its base line."""
    return element("text", escape(words), x=x, y=y, text_anchor=anchor, class_=kind, **attributes)


def strip(*parts: str, height: float, title: str, kind: str = "strip") -> str:
    """Return a drawing as wide as its place: x in percent, y in pixels; `title` is what a screen reader says."""
    return element(
        "svg",
        element("title", escape(title)),
        *parts,
        role="img",
        width="100%",
        height=height,
        aria_label=title,
        class_=kind,
    )


def stretched(*parts: str, height: float) -> str:
    """Return curves in a box 1000 wide, stretched over the drawing; their lines keep their weight."""
    return element(
        "svg", *parts, width="100%", height=height, viewBox=f"0 0 1000 {height:g}", preserveAspectRatio="none"
    )


def curve(points: Sequence[tuple[float, float]], kind: str) -> str:
    """Return a line through points (x in percent, y in pixels), for `stretched`."""
    places = " ".join(f"{x * UNIT:.1f},{y:.1f}" for x, y in points)
    return element("polyline", points=places, class_=kind, vector_effect="non-scaling-stroke")


def area(points: Sequence[tuple[float, float]], *, floor: float, kind: str) -> str:
    """Return the surface between points (x in percent, y in pixels) and `floor`, for `stretched`."""
    closed = [(points[0][0], floor), *points, (points[-1][0], floor)] if points else []
    places = " ".join(f"{x * UNIT:.1f},{y:.1f}" for x, y in closed)
    return element("polygon", points=places, class_=kind, vector_effect="non-scaling-stroke")


def group(title: str, *parts: str) -> str:
    """Return marks that belong together, with words that show when pointed at."""
    return element("g", element("title", escape(title)), *parts)


def grid(x: Scale, *, top: float, floor: float, ticks: Sequence[float] | None = None) -> list[str]:
    """Return upright lines at the ticks of an axis in percent."""
    return [line(percent(x(t)), top, percent(x(t)), floor, "grid") for t in (x.ticks() if ticks is None else ticks)]


def tick_words(x: Scale, words: Sequence[tuple[float, str]], *, y: float) -> list[str]:
    """Return the words under an axis in percent; some are hidden where the drawing is narrow."""
    hidden = sparse(len(words))
    return [
        text(word, percent(x(value)), y, anchor=_anchor(x(value)), kind="tick sparse" if hide else "tick")
        for (value, word), hide in zip(words, hidden, strict=True)
    ]


def _anchor(place: float) -> str:
    """Return how words at a percentage are aligned so that none reaches over the edge."""
    return "start" if place < EDGE else "end" if place > 100 - EDGE else "middle"

"""Numbered marks over two axes: what both Pareto plots are drawn with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgeai.report.plots.scale import Scale
from edgeai.report.plots.svg import curve, element, group, line, percent, stretched, strip, text, tick_words

NARROW, WIDE = 350.0, 880.0
"""Widths in pixels at which no number covers another one."""

TURNS = 240
"""Of the spiral on which room for a number is looked for."""

Spot = tuple[float, float, float]
"""Percent of the width, pixels beside it, pixels downwards."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One mark: `x`, `y` in values of the axes, `radius` in pixels, that of a circle of its area.

    Attributes:
        kind: its classes; the format among them says which shape it has.
        words: show when pointed at.
    """

    number: str
    x: float
    y: float
    radius: float
    kind: str
    words: str
    ringed: bool = False


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A scale, the words of its ticks, and what it shows."""

    scale: Scale
    ticks: Sequence[tuple[float, str]]
    caption: str


def scatter(
    marks: Sequence[Mark],
    *,
    x: Axis,
    y: Axis,
    front: Sequence[tuple[float, float]],
    top: float,
    floor: float,
    title: str,
    under: Sequence[str] = (),
) -> str:
    """Return the marks as SVG, the largest first, so that none hides another one; numbers on top of all.

    Args:
        marks: their numbers are moved apart where marks lie together.
        x: in percent of the width; `y` in pixels.
        front: places in values of the axes, joined by a line when there are two or more.
        top, floor: pixels between which the grid is drawn.
        title: what a screen reader says.
        under: elements drawn before the marks.
    """
    parts = [element("rect", x="0%", y=top, width="100%", height=floor - top, class_="frame")]
    for value, words in y.ticks:
        parts.append(line("0%", y.scale(value), "100%", y.scale(value), "grid"))
        parts.append(text(words, "0%", y.scale(value) - 3, anchor="start", dx=4))
    parts += [line(percent(x.scale(value)), top, percent(x.scale(value)), floor, "grid") for value, _ in x.ticks]
    parts += tick_words(x.scale, x.ticks, y=floor + 17)
    parts.append(text(y.caption, "0%", top - 8, anchor="start", kind="axis"))
    parts.append(text(x.caption, "50%", floor + 40, kind="axis"))
    parts += under
    if len(front) > 1:
        joined = curve([(x.scale(a), y.scale(b)) for a, b in sorted(front)], "front")
        parts.append(stretched(joined, height=floor))
    spots: list[Spot] = []
    labels = []
    for mark in sorted(marks, key=lambda each: -each.radius):
        at = (x.scale(mark.x), y.scale(mark.y))
        place = percent(at[0])
        drawn = _shape(mark, place, at[1])
        ring = element("circle", cx=place, cy=at[1], r=mark.radius + 4, class_="best-ring") if mark.ringed else ""
        parts.append(group(mark.words, drawn, ring))
        spots.append(free_spot(at, spots))
        labels.append(text(mark.number, percent(spots[-1][0]), spots[-1][2] + 4, kind="number", dx=spots[-1][1]))
    return strip(*parts, *labels, height=floor + 48, title=title, kind="strip scatter")


def _shape(mark: Mark, x: str, y: float) -> str:
    """Return a circle, for ONNX a square and for OpenVINO a diamond of the same area: colours are not told by all."""
    kind = f"mark {mark.kind}"
    shape = next((shape for shape in ("onnx", "openvino") if shape in mark.kind.split()), None)
    if shape is None:
        return element("circle", cx=x, cy=y, r=mark.radius, class_=kind)
    side = mark.radius * math.sqrt(math.pi)
    half, turn = f"{-side / 2:.2f}px", " rotate(45deg)" if shape == "openvino" else ""
    style = f"transform-box: fill-box; transform-origin: center; transform: translate({half}, {half}){turn}"
    return element("rect", x=x, y=y, width=side, height=side, class_=kind, style=style)


def free_spot(at: tuple[float, float], taken: Sequence[Spot]) -> Spot:
    """Return the place nearest to `at` (percent, pixels; along a spiral) where a number covers no other one."""
    spot = (at[0], 0.0, at[1])
    for turn in range(TURNS):
        angle, distance = turn * 2.4, 5.0 * math.sqrt(turn)
        spot = (at[0], round(distance * math.cos(angle), 1), at[1] + distance * math.sin(angle))
        if not any(_collide(spot, other, width) for other in taken for width in (NARROW, WIDE)):
            break
    return spot


def _collide(a: Spot, b: Spot, width: float) -> bool:
    across = abs((a[0] - b[0]) * width / 100 + a[1] - b[1])
    return across <= 15 and abs(a[2] - b[2]) <= 12


def front_of(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the places that no other one beats: none is at most as far in both directions."""
    return sorted({(a, b) for a, b in places if not any((c <= a and d <= b) and (c < a or d < b) for c, d in places)})

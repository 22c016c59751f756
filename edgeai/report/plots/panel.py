"""Curves over two axes, as wide as their place: words keep their size, on a phone and on a wide screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeai.report.plots.scale import Scale
from edgeai.report.plots.svg import curve, element, group, line, percent, stretched, strip, text, tick_words

LEFT, RIGHT = 13.0, 98.0
"""Percent of the width between which points lie; the words of the upright axis stand left of it, on their lines."""


LEAST_APART = 24.0
"""Pixels between two lines across, so that their words have room."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points of one line `(x, y, words)`; `kind` is its colour class; `dots` shows each point."""

    points: Sequence[tuple[float, float, str]]
    kind: str
    dots: bool = True


def panel(
    series: Sequence[Series],
    *,
    x: Scale,
    y: Scale,
    x_words: Callable[[float], str],
    y_words: Callable[[float], str],
    height: float,
    title: str,
    x_ticks: Sequence[float] | None = None,
    y_ticks: int | Sequence[float] = 4,
    bottom: bool = True,
) -> str:
    """Return lines over a grid as SVG.

    Args:
        series: what is drawn, the last on top.
        x: in percent, between `LEFT` and `RIGHT`; `y` in pixels, downwards.
        x_words, y_words: the words of a tick.
        height: pixels, without the words of the axis below.
        title: what a screen reader says.
        x_ticks: where the upright lines are; round values by default.
        y_ticks: about how many lines lie across, or where.
        bottom: whether the words of the lower axis are written.
    """
    ticks = list(x_ticks) if x_ticks is not None else x.ticks()
    parts = []
    across = y.ticks(count=y_ticks) if isinstance(y_ticks, int) else y_ticks
    for tick in _apart(y, across):
        parts.append(line("0%", y(tick), "100%", y(tick), "grid"))
        parts.append(text(y_words(tick), "0%", y(tick) - 3, anchor="start"))
    parts += [line(percent(x(tick)), 0, percent(x(tick)), height, "grid upright") for tick in ticks]
    curves = [curve([(x(a), y(b)) for a, b, _ in each.points], f"line {each.kind}") for each in series]
    parts.append(stretched(*curves, height=height))
    for each in series:
        if each.dots:
            for a, b, words in each.points:
                dot = element("circle", cx=percent(x(a)), cy=y(b), r=3.5, class_=f"dot {each.kind}")
                parts.append(group(words, dot))
    if bottom:
        parts += tick_words(x, [(tick, x_words(tick)) for tick in ticks], y=height + 16)
    return strip(*parts, height=height + (22 if bottom else 2), title=title, kind="strip panel")


def _apart(y: Scale, ticks: Sequence[float]) -> list[float]:
    """Return the ticks from the lowest up that have room."""
    kept: list[float] = []
    for tick in ticks:
        if not kept or abs(y(tick) - y(kept[-1])) >= LEAST_APART:
            kept.append(tick)
    return kept

"""Axes: values to places, and round values to write beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FEW = 3
"""A logarithmic axis with fewer round values than this gets evenly spaced ones."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One axis: values `low` to `high` drawn at `start` to `end` (pixels, percent), linear or logarithmic, clipped."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * share

    def ticks(self, *, count: int = 6) -> list[float]:
        """Return a handful of round values within the axis."""
        if not self.logarithmic:
            return nice_ticks(self.low, self.high, count=count)
        ticks = log_ticks(self.low, self.high)
        return ticks if len(ticks) >= FEW else nice_ticks(self.low, self.high, count=min(count, 5))


def nice_ticks(low: float, high: float, *, count: int = 6) -> list[float]:
    """Return about `count` round values (1, 2, 5 times a power of ten) within `[low, high]`."""
    step = (high - low) / count
    power = 10.0 ** math.floor(math.log10(step))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return round values for a logarithmic axis, the finer the less it spans."""
    decades = math.log10(high / low)
    factors = (1, 1.5, 2, 3, 5, 7) if decades < 1.2 else (1, 2, 5) if decades < 2.5 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]


def log_scale(values: Iterable[float], *, start: float, end: float) -> Scale:
    """Return a logarithmic axis around all values above 0, with a margin, never empty."""
    known = [value for value in values if value > 0] or [1.0]
    margin = max((max(known) / min(known)) ** 0.05, 1.12)
    return Scale(low=min(known) / margin, high=max(known) * margin, start=start, end=end, logarithmic=True)


def linear_scale(values: Iterable[float], *, start: float, end: float, zero: bool = False) -> Scale:
    """Return a linear axis around all values, with a margin; from 0 when `zero`, never empty."""
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    if zero:
        return Scale(low=0.0, high=max(high * 1.06, 1e-9), start=start, end=end)
    return Scale(low=low - margin, high=high + margin, start=start, end=end)


def sparse(count: int, *, most: int = 4) -> Sequence[bool]:
    """Return which of `count` ticks are left out where there is little room, so that about `most` remain."""
    every = max(1, math.ceil(count / most))
    return [index % every != 0 for index in range(count)]

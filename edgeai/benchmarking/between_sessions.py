"""How sure is the ratio of two times that were measured in two sessions, at two times, in two processes?

That the median of a run is known to 0.1 % says nothing about how far the next session will be from it, so the interval
of the ratio is made of what sessions differ by, not of what calls differ by:

- **the machine**: whatever else runs there makes all programs slower while it lasts, often for a whole session. The
  yardsticks ran in every round of both sessions; what they take undisturbed is the faster of the two. Where both
  sessions have enough calm rounds by that, only these are compared; else all are. By how much the yardsticks were
  slower in what is compared is known; how much of it fell on the model is not: the whole factor counts as one standard
  deviation. Without common yardsticks all rounds are compared.
- **drift** within each session, and a figure's own: see `levels.py`.
- **between processes**: what is constant within a process and another in the next, `BETWEEN_PROCESSES`, measured by
  `benchmarks/same_file_comparison.py`.

Logarithms of times are compared, the parts add as variances, and few blocks are paid for with Student's t (degrees of
freedom after Welch–Satterthwaite).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgeai.benchmarking.levels import (
    Level,
    RunDict,
    have_common_figure,
    level_of_calm_rounds,
    level_of_figure,
    level_of_rounds,
)
from edgeai.benchmarking.yardstick import calm_rounds, slowness, undisturbed_ms
from edgeai_runtime.bench.statistics import CONFIDENCE

BETWEEN_PROCESSES = 0.015
"""Standard deviation of the logarithm of the ratio of one file to itself in another process, drift apart."""

_LARGE = 1e6
"""Degrees of freedom from which on Student's t is the normal distribution."""

Yardsticks = tuple[Mapping[str, Sequence[float]], Mapping[str, Sequence[float]]]
"""Of the old and the new session: per yardstick its median call in each round, under the same names."""


@dataclass(frozen=True, kw_only=True)
class SessionRatio:
    """The time of the new run over that of the old.

    Attributes:
        calm: shares of both runs' rounds (old, new) that were calm; `None` without common yardsticks.
        slowdown: how many times as slow the machine itself was, in the rounds compared, in the new session as in the
            old; `None` likewise.
        of_calm: only calm rounds are compared.
    """

    ratio: float
    ci95: tuple[float, float]
    calm: tuple[float, float] | None
    slowdown: float | None
    of_calm: bool


def session_ratio(before: RunDict, after: RunDict, yardsticks: Yardsticks | None) -> SessionRatio:
    """Return the ratio of two runs' times, with its 95 % interval.

    Args:
        before, after: runs as `read_report` returns them; two scenarios that were run alike are compared by their
            figure, all others by their rounds.
        yardsticks: of both sessions, where they may be compared.
    """
    runs, calm, slowdown, levels = (before, after), None, None, None
    if yardsticks is not None:
        floors = {name: undisturbed_ms(*(each[name] for each in yardsticks)) for name in yardsticks[0]}
        slow = [slowness(each, floors) for each in yardsticks]
        masks = [calm_rounds(each) for each in slow]
        calm = (float(masks[0].mean()), float(masks[1].mean()))
        levels = None if have_common_figure(before, after) else _calm_levels(runs, masks)
        kept = [each[mask] for each, mask in zip(slow, masks, strict=True)] if levels else slow
        slowdown = float(np.median(kept[1]) / np.median(kept[0]))
    of_calm = levels is not None
    if levels is None:
        level = level_of_figure if have_common_figure(before, after) else level_of_rounds
        levels = level(before), level(after)
    middle, half = _interval(*levels, machine=0.0 if slowdown is None else math.log(slowdown))
    return SessionRatio(
        ratio=math.exp(middle),
        ci95=(math.exp(middle - half), math.exp(middle + half)),
        calm=calm,
        slowdown=slowdown,
        of_calm=of_calm,
    )


def _calm_levels(runs: Sequence[RunDict], masks: Sequence[object]) -> tuple[Level, Level] | None:
    first, second = (level_of_calm_rounds(run, mask) for run, mask in zip(runs, masks, strict=True))
    return None if first is None or second is None else (first, second)


def _interval(before: Level, after: Level, *, machine: float) -> tuple[float, float]:
    """Return the logarithm of the ratio of two times and half the width of its 95 % interval."""
    from scipy.special import stdtrit

    total = BETWEEN_PROCESSES**2 + machine**2 + before.variance + after.variance
    spent = before.variance**2 / before.freedom + after.variance**2 / after.freedom
    freedom = min(total**2 / spent, _LARGE) if spent else _LARGE
    return after.log_ms - before.log_ms, float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * math.sqrt(total)

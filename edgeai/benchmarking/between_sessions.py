"""How sure is the ratio of two times that were measured in two sessions, at two times, in two processes?

That the median of a run is known to 0.1 % says nothing about how far the next session will be from it, so the interval
of the ratio is made of what sessions differ by, not of what calls differ by:

- **the machine**: whatever else runs there makes all programs slower while it lasts, often for a whole session. The
  yardsticks (`yardstick.py`) ran in every round of both sessions; what they take undisturbed is the faster of the two.
  Where both sessions have enough calm rounds by that, only these are compared. Where one has none, the machine itself
  was slower by a known factor, and nobody knows how much of it fell on the model: the whole factor counts as one
  standard deviation. Without common yardsticks all rounds are compared.
- **drift**: the rounds are cut into blocks in the order of time. How far the blocks' medians lie from each other is how
  far the machine wanders while one measures. It is *not* divided by the number of blocks, as it would be if they were
  independent draws: what makes a machine wander changes slowly, and two sessions are at least as far apart as two
  blocks of one.
- **between processes**: what is constant within a process and another in the next, `BETWEEN_PROCESSES`, measured by
  `benchmarks/same_file_comparison.py`.
- **a percentile's own**: of scenarios, how far their bound by early stopping lies from the figure.

Logarithms of times are compared, the parts add as variances, and few blocks are paid for with Student's t (degrees of
freedom after Welch–Satterthwaite).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeai.benchmarking.yardstick import calm_rounds, slowness, undisturbed_ms
from edgeai_runtime.bench.statistics import CONFIDENCE

BETWEEN_PROCESSES = 0.015
"""Standard deviation of the logarithm of the ratio of one file to itself in another process, drift apart."""

BLOCKS = 8
"""Long enough to hold drift that changes slowly, enough of them for their variance to mean something."""

LEAST_ROUNDS = 12
"""Below, blocks of rounds say nothing of drift, and so few calm ones are no measurement."""

_LARGE = 1e6
"""Degrees of freedom from which on Student's t is the normal distribution."""

_BOUND_DEVIATIONS = 2.326
"""A bound that holds with 99 % confidence lies so many standard deviations from the figure."""

RunDict = Mapping[str, Any]
Yardsticks = tuple[Mapping[str, Sequence[float]], Mapping[str, Sequence[float]]]
"""Of the old and the new session: per yardstick its median call in each round, under the same names."""


@dataclass(frozen=True, kw_only=True)
class SessionRatio:
    """The time of the new run over that of the old.

    Attributes:
        calm: shares of both runs' rounds (old, new) that were calm; `None` without common yardsticks.
        slowdown: how many times as slow the machine itself was in the new session as in the old; `None` likewise.
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
        before, after: runs as `read_report` returns them; two scenarios of one metric are compared by it, a rate turned
            into the time of one; all others by their rounds.
        yardsticks: of both sessions, where they may be compared.
    """
    by_figure = has_common_figure(before, after)
    calm, slowdown, masks = None, None, None
    if yardsticks is not None:
        floors = {name: undisturbed_ms(*(each[name] for each in yardsticks)) for name in yardsticks[0]}
        slow = [slowness(each, floors) for each in yardsticks]
        masks = [calm_rounds(each) for each in slow]
        calm = (float(masks[0].mean()), float(masks[1].mean()))
        slowdown = float(np.median(slow[1]) / np.median(slow[0]))
    of_calm = masks is not None and not by_figure and min(int(mask.sum()) for mask in masks) >= LEAST_ROUNDS
    kept = masks if masks is not None and of_calm else [slice(None), slice(None)]
    levels = [_level(run, which) for run, which in zip((before, after), kept, strict=True)]
    if by_figure:
        levels = [_figure_level(run, level) for run, level in zip((before, after), levels, strict=True)]
    machine = 0.0 if of_calm or slowdown is None else math.log(slowdown)
    middle, half = _interval(*levels, machine=machine)
    return SessionRatio(
        ratio=math.exp(middle),
        ci95=(math.exp(middle - half), math.exp(middle + half)),
        calm=calm,
        slowdown=slowdown,
        of_calm=of_calm,
    )


def has_common_figure(before: RunDict, after: RunDict) -> bool:
    """Say whether two runs are scenarios of one metric, both sure enough of it to be compared by it."""
    return _has_figure(before) and _has_figure(after) and before["outcome"]["metric"] == after["outcome"]["metric"]


def _has_figure(run: RunDict) -> bool:
    """A rate, or a latency with a bound."""
    outcome = run["outcome"]
    return bool(outcome) and outcome["value"] > 0 and (outcome["bound"] or not outcome["metric"].endswith("_ms"))


@dataclass(frozen=True, kw_only=True)
class _Level:
    """Logarithm of a run's time, the variance of that within its session, and the degrees of freedom behind it."""

    log_ms: float
    variance: float
    freedom: float


def _level(run: RunDict, which: Any) -> _Level:
    rounds = np.log(np.maximum(np.asarray(run["rounds_ms"], dtype=np.float64), 1e-9))[which]
    if len(rounds) < LEAST_ROUNDS:
        return _level_by_interval(run)
    count = min(BLOCKS, len(rounds) // 3)
    blocks = np.array([np.median(block) for block in np.array_split(rounds, count)])
    return _Level(log_ms=float(np.median(rounds)), variance=float(np.var(blocks, ddof=1)), freedom=count - 1.0)


def _level_by_interval(run: RunDict) -> _Level:
    """Return the level of a run with too few rounds in the file: by its median's interval, taken as one deviation."""
    latency = run["latency_ms"]
    low, high = (math.log(max(bound, 1e-9)) for bound in latency["median_ci95"])
    return _Level(log_ms=math.log(max(latency["median"], 1e-9)), variance=((high - low) / 2) ** 2, freedom=2.0)


def _figure_level(run: RunDict, level: _Level) -> _Level:
    """Return the level of a scenario's figure; the machine's drift is told by the rounds of the same session."""
    outcome = run["outcome"]
    sign = 1.0 if outcome["metric"].endswith("_ms") else -1.0
    own = math.log((outcome["bound"] or outcome["value"]) / outcome["value"]) / _BOUND_DEVIATIONS
    return _Level(log_ms=sign * math.log(outcome["value"]), variance=level.variance + own**2, freedom=level.freedom)


def _interval(before: _Level, after: _Level, *, machine: float) -> tuple[float, float]:
    """Return the logarithm of the ratio of two times and half the width of its 95 % interval."""
    from scipy.special import stdtrit

    total = BETWEEN_PROCESSES**2 + machine**2 + before.variance + after.variance
    spent = before.variance**2 / before.freedom + after.variance**2 / after.freedom
    freedom = min(total**2 / spent, _LARGE) if spent else _LARGE
    return after.log_ms - before.log_ms, float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * math.sqrt(total)

"""The logarithm of the time of a stored run, and how far it may be off within its session.

**Drift**: the rounds are cut into blocks in the order of time. How far the blocks' medians lie from each other is how
far the machine wanders while one measures. It is *not* divided by the number of blocks, as it would be if they were
independent draws: what makes a machine wander changes slowly, and two sessions are at least as far apart as two blocks
of one. **A figure's own**: of scenarios, how far their bound by early stopping lies from the figure, or how coarsely a
rate is looked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

BLOCKS = 8
"""Long enough to hold drift that changes slowly, enough of them for their variance to mean something."""

LEAST_BLOCKS = 3
"""So many parts of a session must have calm rounds: one calm moment says nothing of drift."""

LEAST_ROUNDS = 12
"""Below, blocks of rounds say nothing of drift, and so few calm ones are no measurement."""

_BOUND_DEVIATIONS = 2.326
"""A bound that holds with 99 % confidence lies so many standard deviations from the figure."""

_RATE_STEP = 0.1
"""A server's rate that does not hold is tried again a tenth lower: two sessions may be one step apart."""

RunDict = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Level:
    """Logarithm of a run's time, the variance of that within its session, and the degrees of freedom behind it."""

    log_ms: float
    variance: float
    freedom: float


def level_of_calm_rounds(run: RunDict, calm: Any) -> Level | None:
    """Return the level of the rounds that a mask keeps; `None` where they are too few, or of too short a time.

    Args:
        run: a run as `read_report` returns it.
        calm: bool `[rounds]`.
    """
    rounds = np.log(np.maximum(np.asarray(run["rounds_ms"], dtype=np.float64), 1e-9))
    if int(calm.sum()) < LEAST_ROUNDS:
        return None
    parts = np.array_split(np.arange(len(rounds)), min(BLOCKS, len(rounds) // 3))
    blocks = [np.median(rounds[part][calm[part]]) for part in parts if calm[part].any()]
    if len(blocks) < LEAST_BLOCKS:
        return None
    return Level(
        log_ms=float(np.median(rounds[calm])), variance=float(np.var(blocks, ddof=1)), freedom=len(blocks) - 1.0
    )


def level_of_rounds(run: RunDict) -> Level:
    """Return the level of all rounds; where the file has too few, by the median's interval, taken as one deviation."""
    level = level_of_calm_rounds(run, np.ones(len(run["rounds_ms"]), bool))
    if level is not None:
        return level
    latency = run["latency_ms"]
    low, high = (math.log(max(bound, 1e-9)) for bound in latency["median_ci95"])
    return Level(log_ms=math.log(max(latency["median"], 1e-9)), variance=((high - low) / 2) ** 2, freedom=2.0)


def have_common_figure(before: RunDict, after: RunDict) -> bool:
    """Say whether two runs are scenarios run alike, both with a figure that is sure enough to be compared.

    A figure is a latency with a bound, or a rate. A server's rate of 0, where no rate holds any more, is one too if the
    other run's is not 0.
    """
    first, second = before["outcome"], after["outcome"]
    if not first or not second or any(first[key] != second[key] for key in ("metric", "tier", "driver")):
        return False
    bounds = [(outcome["detail"] or {}).get("latency_bound_ms") for outcome in (first, second)]
    return bounds[0] == bounds[1] and _is_sure(first, second) and _is_sure(second, first)


def _is_sure(outcome: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if outcome["metric"].endswith("_ms"):
        return bool(outcome["valid"] and outcome["value"] > 0 and outcome["bound"])
    return bool(outcome["valid"]) if outcome["value"] > 0 else other["value"] > 0


def level_of_figure(run: RunDict) -> Level:
    """Return the level of a scenario's figure, a rate turned into the time of one; drift is that of the rounds.

    A rate of 0 counts as one query in the whole run: less than that was held.
    """
    outcome, drift = run["outcome"], level_of_rounds(run)
    value = outcome["value"] or 1.0 / max(outcome["seconds"], 1.0)
    is_time = outcome["metric"].endswith("_ms")
    own = math.log(max(outcome["bound"] / value, 1.0)) / _BOUND_DEVIATIONS if is_time else 0.0
    if outcome["metric"] == "queries_per_s":
        own = _RATE_STEP
    return Level(
        log_ms=math.log(value) if is_time else -math.log(value),
        variance=drift.variance + own**2,
        freedom=drift.freedom,
    )

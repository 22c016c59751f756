"""Whether the machine was quiet enough for a measurement to be believed, and measuring again while it was not.

Four things are looked at: how far the rounds spread, whether the run agrees with itself (its even rounds with its odd
ones, its second half with its first), what other processes took of the processors meanwhile, and whether the yardsticks
that were called in the same rounds ran undisturbed.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from edgeai.benchmarking.ratio import ratio_of_groups
from edgeai.benchmarking.result import Noise
from edgeai.benchmarking.yardstick import CALM, calm_rounds, slowness, undisturbed_ms
from edgeai_runtime.errors import UsageError

MOST_SPREAD = 0.05
"""Half the width of the median's 95 % interval, over the median."""

MOST_DRIFT = 1.05
"""The second half of the rounds may take so much longer than the first, or the other way round."""

MOST_LOAD = 0.1
"""Share of the machine's processors that others may take."""

MOST_DISTURBED = 0.5
"""Share of the rounds in which a yardstick may be slow: beyond, the median is that of a disturbed machine."""

_LEAST_ROUNDS = 12
"""With fewer, halves of a run are too small to be compared."""

_Result = TypeVar("_Result")


def judge_noise(
    rounds_ms: Sequence[float],
    *,
    load_before: float | None = None,
    load_after: float | None = None,
    cores: int | None = None,
    repeats: int = 0,
    yardsticks_ms: Mapping[str, Sequence[float]] | None = None,
    floors_ms: Mapping[str, float] | None = None,
) -> Noise:
    """Say whether a measurement is noisy, and why.

    Args:
        rounds_ms: the median call of each round, in order.
        load_before, load_after: what other processes took, in cores: before the measurement, and while it ran
            (`edgeai_runtime.bench.meters.load_meter`); the greater counts. `None` where the system does not tell.
        cores: of the machine; by default as many as the system tells.
        repeats: how often this was measured before.
        yardsticks_ms: per yardstick its median call in each of the rounds.
        floors_ms: per yardstick what it took undisturbed in earlier measurements of this session.

    Raises:
        UsageError: there are no rounds.
    """
    from edgeai_runtime.bench.statistics import median_interval

    if not len(rounds_ms):
        raise UsageError("There are no rounds to judge.")
    rounds = np.asarray(rounds_ms, np.float64)
    low, high = median_interval(rounds)
    spread = (high - low) / 2 / max(float(np.median(rounds)), 1e-12)
    told = [load for load in (load_before, load_after) if load is not None]
    load = max(told, default=None)
    cores = cores or os.cpu_count() or 1
    reasons = []
    if spread > MOST_SPREAD:
        reasons.append(f"the median is known to ±{spread:.1%} only")
    reasons += _disagreements(rounds)
    if load is not None and load > MOST_LOAD * cores:
        reasons.append(f"other processes took {load:.1f} of {cores} cores")
    calm = None
    if yardsticks_ms:
        floors = {
            name: min(undisturbed_ms(each), (floors_ms or {}).get(name, math.inf))
            for name, each in yardsticks_ms.items()
        }
        slow = slowness(yardsticks_ms, floors)
        calm = float(calm_rounds(slow).mean())
        disturbed = slow[slow > CALM]
        if len(disturbed) > MOST_DISTURBED * len(slow):
            share, times = len(disturbed) / len(slow), float(np.median(disturbed))
            reasons.append(f"the machine itself was {times:.2f} times slower in {share:.0%} of the rounds")
    return Noise(
        noisy=bool(reasons),
        reason="; ".join(reasons) or f"quiet: the median is known to ±{spread:.1%}",
        spread=float(spread),
        load=load,
        repeats=repeats,
        calm=calm,
    )


def repeat_while_noisy(
    measure: Callable[[], tuple[_Result, Noise]],
    *,
    budget_s: float,
    on_step: Callable[[int, int, str], None] | None = None,
    on_better: Callable[[_Result], object] | None = None,
) -> tuple[_Result, Noise]:
    """Measure, and measure again while it is noisy and there is time for it; return the best.

    Args:
        measure: measures once; returns what it found and how noisy it was.
        budget_s: no repeat is begun that would end after this time, as long as the longest one so far; 0: no repeat.
        on_step: progress, called with (seconds done, seconds in all, label) before each repeat.
        on_better: called with the first result and with each better one, before anything else is measured.

    Returns:
        The result that is not noisy, else the calmest, else the one that spreads least; with the number of repeats in
        its `Noise`.
    """
    start = time.perf_counter()
    best, verdict = measure()
    longest = time.perf_counter() - start
    if on_better is not None:
        on_better(best)
    repeats = 0
    while verdict.noisy and time.perf_counter() - start + longest <= budget_s:
        begun = time.perf_counter()
        if on_step is not None:
            on_step(round(begun - start), round(budget_s), f"measured again: {verdict.reason}")
        found, judged = measure()
        longest = max(longest, time.perf_counter() - begun)
        repeats += 1
        if _badness(judged) < _badness(verdict):
            best, verdict = found, judged
            if on_better is not None:
                on_better(best)
    return best, replace(verdict, repeats=repeats)


def _badness(noise: Noise) -> tuple[bool, float, float]:
    return noise.noisy, -round(noise.calm or 0.0, 1), noise.spread


def _disagreements(rounds: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[str]:
    """Compare a run with itself: rounds that follow each other in pairs, and its halves."""
    from edgeai_runtime.bench.loop import Samples
    from edgeai_runtime.bench.statistics import compare

    if len(rounds) < _LEAST_ROUNDS:
        return []
    found = []
    pairs = len(rounds) // 2
    even, odd = rounds[: 2 * pairs : 2], rounds[1 : 2 * pairs : 2]
    itself = compare(Samples(call_ms=even, round_ms=even), Samples(call_ms=odd, round_ms=odd))
    if itself.verdict != "no_difference":
        found.append(f"even rounds are {itself.verdict} than odd ones ({itself.ratio:.2f} times their time)")
    drift, (low, high) = ratio_of_groups(rounds[pairs:].tolist(), rounds[:pairs].tolist())
    if low > MOST_DRIFT or high < 1 / MOST_DRIFT:
        found.append(f"its second half took {drift:.2f} times as long as its first")
    return found

"""Two stored results compared run by run, and the decision whether something became slower.

Two files were not measured in turns: between them lie another process (its memory at other addresses), another clock,
other neighbours. That the median of a run is known to 0.1 % says nothing about how far the next session will be from
it, so the interval of the ratio is made of what sessions differ by, not of what calls differ by:

- **drift**: each run's rounds are cut into blocks in the order of time. How far the blocks' medians lie from each
  other is how far the machine wanders while one measures. It is *not* divided by the number of blocks, as it would be
  if they were independent draws: what makes a machine wander (clock, heat, neighbours) changes slowly, and two sessions
  are at least as far apart as two blocks of one.
- **between processes**: what is constant within a process and another in the next, `BETWEEN_PROCESSES`, measured by
  `benchmarks/same_file_comparison.py`.
- **a percentile's own**: where scenarios are compared, how far their bound by early stopping lies from the figure.

Logarithms of times are compared, the parts add as variances, and few blocks are paid for with Student's t (degrees of
freedom after Welch–Satterthwaite). A session that was disturbed from its begin to its end looks calm and can not be
told from a slow model: what is known of the machine stands in `note`, and comparing in one session is always better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeai.benchmarking.matched import RunDict, machine_notes, match_runs, run_label, run_notes
from edgeai.benchmarking.result import PairComparison, Verdict
from edgeai_runtime.bench.statistics import CONFIDENCE
from edgeai_runtime.errors import UsageError

BETWEEN_PROCESSES = 0.015
"""Standard deviation of the logarithm of the ratio of one file to itself in another process, drift apart."""

BLOCKS = 8
"""Long enough to hold drift that changes slowly, enough of them for their variance to mean something."""

LEAST_ROUNDS = 12
"""Below, blocks of rounds say nothing of drift."""

_LARGE = 1e6
"""Degrees of freedom from which on Student's t is the normal distribution."""

_BOUND_DEVIATIONS = 2.326
"""A bound that holds with 99 % confidence lies so many standard deviations from the figure."""


def compare_stored(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[PairComparison, ...]:
    """Compare the runs that two results share (see `match_runs`).

    The medians of the rounds are compared; of two runs of a scenario its figure, a rate turned into the time of one.

    Args:
        old, new: documents as `edgeai.benchmarking.stored.read_report` returns them.

    Returns:
        In the order of `new`; `ratio` is new time divided by old time, so `slower` means that it became slower.

    Raises:
        UsageError: they share no run.
    """
    pairs = match_runs(old["runs"], new["runs"])
    if not pairs:
        raise UsageError(
            f"The two results share no run. old: {_told(old)}; new: {_told(new)}",
            hint="Measure the same artifacts, in the same way.",
        )
    machine = machine_notes(old, new)
    return tuple(_compare(before, after, machine) for before, after in pairs)


def unmatched(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Return one line per run that only one of two results holds: a comparison says nothing about these."""
    pairs = match_runs(old["runs"], new["runs"])
    lines = []
    for place, (word, document) in enumerate((("old", old), ("new", new))):
        seen = {id(pair[place]) for pair in pairs}
        lines += [f"only in the {word} result: {run_label(run)}" for run in document["runs"] if id(run) not in seen]
    return tuple(lines)


def slower_than(comparisons: Iterable[PairComparison], limit: float) -> tuple[str, ...]:
    """Return one line per comparison that proves `a` slower than `b` by more than `limit` (0.05: 5 %).

    Proven means that the whole interval lies beyond the limit; see `unproven_slower` for the rest.

    Raises:
        UsageError: the limit is negative or no number.
    """
    bound = 1.0 + _checked_limit(limit)
    return tuple(_line(one, limit) for one in comparisons if one.ci95[0] > bound)


def unproven_slower(comparisons: Iterable[PairComparison], limit: float) -> tuple[str, ...]:
    """Return one line per comparison whose ratio is beyond the limit while its interval is not: no failure, a hint.

    Raises:
        UsageError: the limit is negative or no number.
    """
    bound = 1.0 + _checked_limit(limit)
    return tuple(f"unproven: {_line(one, limit)}" for one in comparisons if one.ratio > bound >= one.ci95[0])


def _checked_limit(limit: float) -> float:
    if not limit >= 0 or not math.isfinite(limit):
        raise UsageError(f"A limit is a share that is not negative, such as 0.05 for 5 %. Received: {limit}")
    return limit


def _line(one: PairComparison, limit: float) -> str:
    low, high = one.ci95
    name = one.a if one.a == one.b else f"{one.a} against {one.b}"
    note = f" ({one.note})" if one.note else ""
    return f"{name}: {one.ratio:.3f} times as long, 95 % [{low:.3f}, {high:.3f}], limit {1.0 + limit:.3f}{note}"


def _told(document: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{run_label(run)} ({run['format']}, {run['delegate']}, {run['threads']} threads)" for run in document["runs"]
    )


@dataclass(frozen=True, kw_only=True)
class _Level:
    """Logarithm of a run's time, the variance of that within its session, and the degrees of freedom behind it."""

    log_ms: float
    variance: float
    freedom: float


def _level(run: RunDict) -> _Level:
    rounds = np.log(np.maximum(np.asarray(run["rounds_ms"], dtype=np.float64), 1e-9))
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


def _has_figure(run: RunDict) -> bool:
    """Say whether a run holds a scenario's figure that is sure enough to be compared: a rate, or a bounded latency."""
    outcome = run["outcome"]
    return bool(outcome) and outcome["value"] > 0 and (outcome["bound"] or not outcome["metric"].endswith("_ms"))


def _scenario_level(run: RunDict) -> _Level:
    """Return the level of a scenario's figure; the machine's drift is told by the rounds of the same session."""
    outcome, level = run["outcome"], _level(run)
    sign = 1.0 if outcome["metric"].endswith("_ms") else -1.0
    own = math.log((outcome["bound"] or outcome["value"]) / outcome["value"]) / _BOUND_DEVIATIONS
    return _Level(log_ms=sign * math.log(outcome["value"]), variance=level.variance + own**2, freedom=level.freedom)


def _compare(before: RunDict, after: RunDict, machine: list[str]) -> PairComparison:
    notes = run_notes(before, after)
    for word, run in (("old", before), ("new", after)):
        if len(run["rounds_ms"]) < LEAST_ROUNDS:
            notes.append(f"the {word} run holds too few rounds to tell its drift")
    if _has_figure(before) and _has_figure(after) and before["outcome"]["metric"] == after["outcome"]["metric"]:
        notes.insert(0, f"by {after['outcome']['metric']}")
        middle, half = _ratio(_scenario_level(before), _scenario_level(after))
    else:
        middle, half = _ratio(_level(before), _level(after))
    verdict: Verdict = "faster" if middle + half < 0 else "slower" if middle - half > 0 else "no_difference"
    return PairComparison(
        a=run_label(after),
        b=run_label(before),
        ratio=math.exp(middle),
        ci95=(math.exp(middle - half), math.exp(middle + half)),
        verdict=verdict,
        how="stored",
        note="; ".join([*notes, *machine]),
    )


def _ratio(before: _Level, after: _Level) -> tuple[float, float]:
    """Return the logarithm of the ratio of two times and half the width of its 95 % interval."""
    from scipy.special import stdtrit

    total = BETWEEN_PROCESSES**2 + before.variance + after.variance
    spent = before.variance**2 / before.freedom + after.variance**2 / after.freedom
    freedom = min(total**2 / spent, _LARGE) if spent else _LARGE
    return after.log_ms - before.log_ms, float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * math.sqrt(total)

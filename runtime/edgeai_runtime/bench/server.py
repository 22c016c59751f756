"""MLPerf's server: queries arrive at random, and the highest rate that a bound of latency allows is looked for.

Arrivals are a Poisson process. An idle worker takes the next query, and waits for it if it has not come yet: a queue
with as many servers as there are workers, without a thread that hands out. Latency counts from the arrival.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeai_runtime.bench.percentiles import over_allowed
from edgeai_runtime.bench.tiers import Limits

Issue = Callable[[int], object]
OnStep = Callable[[int, int, str], None]

SHARE = 0.99
"""The percentile of latency that the bound is for."""

_SPIN_S = 2e-4
"""Before an arrival a worker asks the clock again and again: a sleep may end this much too late."""
_PROBE = 0.1, 200
"""Length of a probe: share of the run's seconds, and queries at least, within the run's own least duration."""
_BOUNDS_PER_PROBE = 10
"""A probe lasts so many bounds at least: in less time the queue of a rate too high is not yet long."""
_MOST_PROBES, _RESOLUTION = 20, 1.03
MOST_RUNS = 6
"""Attempts in full length, each at a rate lower than the one before by a tenth."""
_STEP_DOWN = 0.9


@dataclass(frozen=True, eq=False)
class Served:
    """What came of a stream of arrivals.

    Attributes:
        rate: arrivals per second as they were drawn.
        seconds: when the last query came.
        latency_ms: float64 `[answered]`.
        over: number of queries above the bound.
        held: whether no more were above it than early stopping allows; an attempt that can not hold any more is ended.
    """

    rate: float
    seconds: float
    latency_ms: Any
    over: int
    held: bool


def work_together(works: Sequence[Callable[[], object]]) -> None:
    """Run each in a thread of its own, the first in this one; the first error comes out when all have ended."""
    errors: list[BaseException] = []

    def guard(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guard, args=(work,), daemon=True) for work in works[1:]]
    for thread in threads:
        thread.start()
    guard(works[0])
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def draw_arrivals(rate: float, *, least_s: float, most_s: float, queries: int, seed: int) -> Any:
    """Return times of arrival in seconds, float64: at least `queries` in at least `least_s`, none after `most_s`.

    For one seed the arrivals of one rate are those of another, faster or slower.
    """
    count = max(queries, int(1.2 * rate * least_s) + 50)
    times = np.cumsum(np.random.default_rng(seed).exponential(size=count)) / rate
    wanted = max(queries, int(np.searchsorted(times, least_s)) + 1)
    return times[: max(1, min(wanted, int(np.searchsorted(times, most_s))))]


def serve(workers: Sequence[Issue], arrivals: Any, *, bound_ms: float, most_over: int) -> Served:
    """Answer queries as they arrive; end early when more than `most_over` took longer than the bound."""
    clock, due, bound_s = time.perf_counter, arrivals.tolist(), bound_ms * 1e-3
    latencies, over = [math.nan] * len(due), [0] * len(workers)
    take = itertools.count().__next__
    stop = threading.Event()
    begin = clock() + 0.001 * len(workers)

    def work(place: int, issue: Issue) -> None:
        try:
            while (number := take()) < len(due) and not stop.is_set():
                at = begin + due[number]
                while (left := at - clock()) > 0:
                    time.sleep(max(0.0, left - _SPIN_S))
                issue(1)
                latency = clock() - at
                latencies[number] = latency
                if latency > bound_s:
                    over[place] += 1
                    if sum(over) > most_over:
                        stop.set()
        except BaseException:
            stop.set()
            raise

    work_together([lambda place=place, issue=issue: work(place, issue) for place, issue in enumerate(workers)])  # type: ignore[misc]
    answered = np.array(latencies)
    answered = answered[~np.isnan(answered)] * 1e3
    seconds = due[-1]
    return Served((len(due) - 1) / seconds, seconds, answered, sum(over), not stop.is_set())


def search_rate(
    workers: Sequence[Issue],
    speed: float,
    limits: Limits,
    *,
    bound_ms: float,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> tuple[float, dict[str, float]]:
    """Look for the highest rate within the bound by short probes: bracketing, then bisection.

    Args:
        workers: what answers queries, each in a thread of its own.
        speed: queries per second that all workers together answer about; the search begins below it.
        limits: of the run that the rate is for.
        bound_ms: the bound of latency.
        seed: of the arrivals.
        on_step: progress.

    Returns:
        The rate (0 when there is none above a hundredth of `speed`) and what was tried, by name.
    """
    low, high, rate = 0.0, math.inf, 0.7 * speed
    detail: dict[str, float] = {}
    most_s = max(limits.least_s, 0.1)
    least_s = min(most_s, max(_PROBE[0] * limits.least_s, _BOUNDS_PER_PROBE * bound_ms * 1e-3))
    for number in range(1, _MOST_PROBES + 1):
        if on_step:
            on_step(number, _MOST_PROBES, f"server: trying {rate:.4g} queries/s")
        arrivals = draw_arrivals(rate, least_s=least_s, most_s=most_s, queries=_PROBE[1], seed=seed)
        served = serve(workers, arrivals, bound_ms=bound_ms, most_over=int(len(arrivals) * (1.0 - SHARE)))
        detail[f"probe_{number}_rate_per_s"] = rate
        detail[f"probe_{number}_over"], detail[f"probe_{number}_held"] = float(served.over), float(served.held)
        low, high = (rate, high) if served.held else (low, rate)
        if high < speed / 100 or high < _RESOLUTION * low:
            break
        rate = 0.5 * high if not low else 1.4 * low if math.isinf(high) else math.sqrt(low * high)
    return low, detail


def confirm_rate(
    run: Callable[[float], tuple[bool, Any]], rate: float, on_step: OnStep | None = None, most: int = MOST_RUNS
) -> tuple[bool, Any]:
    """Run in full length at `rate`, and at rates lower by a tenth each until one holds, at most `most` times.

    Args:
        run: makes one run at a rate; says whether it held, and what came of it.
        rate: from `search_rate`.
        on_step: progress.
    """
    held, found = False, None
    for number in range(most):
        if on_step:
            on_step(number, most, f"server: running {rate:.4g} queries/s")
        held, found = run(rate)
        if held:
            break
        rate *= _STEP_DOWN
    return held, found


def serve_in_full(workers: Sequence[Issue], rate: float, limits: Limits, *, bound_ms: float, seed: int) -> Served:
    """Make a run of full length at one rate; it holds when early stopping says so of the 99th percentile."""
    arrivals = draw_arrivals(rate, least_s=limits.least_s, most_s=limits.most_s, queries=limits.queries, seed=seed)
    most = max(0, over_allowed(len(arrivals), SHARE))
    return serve(workers, arrivals, bound_ms=bound_ms, most_over=most)

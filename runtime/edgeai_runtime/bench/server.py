"""MLPerf's server: queries arrive at random, and the highest rate that a bound of latency allows is looked for.

Arrivals are a Poisson process. An idle worker takes the next query, and waits for it if it has not come yet: a queue
with a server per worker, without a thread that hands out. Latency counts from the arrival.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edgeai_runtime.bench.percentiles import over_allowed
from edgeai_runtime.bench.tiers import Limits

Issue = Callable[[int], object]
OnStep = Callable[[int, int, str], None]

SHARE = 0.99
"""The percentile of latency that the bound is for."""

_SPIN_S, _NAP_S = 2e-4, 0.1
"""A sleep may end so much too late, and lasts so long at most: another worker may give up."""
_PROBE = 0.1, 200, 10
"""Least length of a probe: share of the run's seconds, queries, bounds (else the queue of a rate too high is short)."""
_MOST_PROBES, _RESOLUTION = 20, 1.03
_KEPT_UP = 0.8
"""Below this share of the rate the workers are at their limit: the probe is too short for so great a bound."""
MOST_RUNS, _STEP_DOWN = 6, 0.1
"""Attempts in full length, each at a lower rate: by a tenth, then by two."""


@dataclass(frozen=True, eq=False)
class Served:
    """What came of a stream of arrivals.

    Attributes:
        rate: answers per second, until the last.
        seconds: when the last query came that was answered.
        latency_ms: float64 `[answered]`.
        over: number of queries above the bound.
        held: whether no more were above it than allowed.
    """

    rate: float
    seconds: float
    latency_ms: Any
    over: int
    held: bool


def work_together(works: Sequence[Callable[[threading.Event], object]]) -> None:
    """Run each in a thread of its own, the first in this one; the first error comes out when all have ended.

    It sets the event that each is given.
    """
    errors: list[BaseException] = []
    stop = threading.Event()

    def guard(work: Callable[[threading.Event], object]) -> None:
        try:
            work(stop)
        except BaseException as error:
            errors.append(error)
            stop.set()

    threads = [threading.Thread(target=guard, args=(work,), daemon=True) for work in works[1:]]
    for thread in threads:
        thread.start()
    guard(works[0])
    for thread in threads:
        guard(lambda _, thread=thread: thread.join())  # type: ignore[misc]  # an interruption is an error too
        thread.join()
    if errors:
        raise errors[0]


def draw_arrivals(rate: float, *, least_s: float, most_s: float, queries: int, seed: int) -> Any:
    """Return times of arrival in seconds, float64, from 0: at least `queries` in at least `least_s`, within `most_s`.

    For one seed the arrivals of one rate are those of another, faster or slower.
    """
    count = max(queries, int(1.2 * rate * least_s) + 50)
    times = np.cumsum(np.random.default_rng(seed).exponential(size=count)) / rate
    times -= times[0]
    wanted = max(queries, int(np.searchsorted(times, least_s)) + 1)
    return times[: max(2, min(wanted, int(np.searchsorted(times, most_s))))]


def serve(
    workers: Sequence[Issue],
    arrivals: Any,
    *,
    bound_ms: float,
    most_over: int,
    on_step: OnStep | None = None,
    label: str = "",
) -> Served:
    """Answer queries as they arrive; end early when more than `most_over` took longer than the bound."""
    clock, bound_s, over = time.perf_counter, bound_ms * 1e-3, [0] * len(workers)
    answered: Any = np.full(len(arrivals), np.nan)
    due: Any = memoryview(arrivals)
    latencies: Any = memoryview(answered)
    take = itertools.count().__next__
    begin = clock() + 0.001 * len(workers)

    def work(stop: threading.Event, place: int) -> None:
        told = -1.0 if on_step and not place else math.inf
        while (number := take()) < len(due):
            if due[number] > told and on_step:
                told = due[number] + 1.0
                on_step(int(due[number]), math.ceil(due[-1]), label)
            at = begin + due[number]
            while (left := at - clock()) > 0 and not stop.is_set():
                time.sleep(min(max(0.0, left - _SPIN_S), _NAP_S))
            if stop.is_set():
                return
            workers[place](1)
            latencies[number] = latency = clock() - at
            if latency > bound_s:
                over[place] += 1
                if sum(over) > most_over:
                    stop.set()

    work_together([partial(work, place=place) for place in range(len(workers))])
    came = arrivals[~np.isnan(answered)]
    latency_ms = answered[~np.isnan(answered)] * 1e3
    rate = (len(came) - 1) / float(np.max(came + latency_ms * 1e-3))
    return Served(rate, float(came[-1]), latency_ms, sum(over), sum(over) <= most_over)


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

    `speed` is how many queries a second all workers together answer about. Returns the rate (0 when there is none above
    a hundredth of that) and what was tried, by name.
    """
    low, high, rate = 0.0, math.inf, 0.7 * speed
    detail: dict[str, float] = {}
    most_s = max(limits.least_s, 0.1)
    least_s = min(most_s, max(_PROBE[0] * limits.least_s, _PROBE[2] * bound_ms * 1e-3))
    for number in range(1, _MOST_PROBES + 1):
        arrivals = draw_arrivals(rate, least_s=least_s, most_s=most_s, queries=_PROBE[1], seed=seed)
        most, label = int(len(arrivals) * (1.0 - SHARE)), f"trying {rate:.4g} queries/s"
        served = serve(workers, arrivals, bound_ms=bound_ms, most_over=most, on_step=on_step, label=label)
        detail[f"probe_{number}_rate_per_s"] = rate
        detail[f"probe_{number}_over"], detail[f"probe_{number}_held"] = float(served.over), float(served.held)
        low, high = (rate, high) if served.held else (low, rate)
        if high < speed / 100 or high < _RESOLUTION * low or (served.held and served.rate < _KEPT_UP * rate):
            break
        rate = 0.5 * high if not low else 1.4 * low if math.isinf(high) else math.sqrt(low * high)
    return low, detail


def confirm_rate(run: Callable[[float], tuple[bool, Any]], rate: float, most: int = MOST_RUNS) -> tuple[bool, Any]:
    """Run in full length at `rate`, and at ever lower ones until one holds, at most `most` times.

    `run` says whether a rate held, and what came of it.
    """
    held, found = False, None
    for number in range(1, most + 1):
        held, found = run(rate)
        if held:
            break
        rate *= 1.0 - _STEP_DOWN * number
    return held, found


def serve_in_full(
    workers: Sequence[Issue], rate: float, limits: Limits, *, bound_ms: float, seed: int, on_step: OnStep | None = None
) -> Served:
    """Make a run of full length at one rate; it holds when early stopping says so of the 99th percentile."""
    arrivals = draw_arrivals(rate, least_s=limits.least_s, most_s=limits.most_s, queries=limits.queries, seed=seed)
    most = max(0, over_allowed(len(arrivals), SHARE))
    label = f"running {rate:.4g} queries/s"
    return serve(workers, arrivals, bound_ms=bound_ms, most_over=most, on_step=on_step, label=label)

"""A run of minutes: what the latency becomes once the machine is warm, and whether the machine throttled.

The run is cut into windows; at the end of each the clock, the temperature and the memory are read where the system
tells them. The drift is the last third of the windows over the first third, with its interval (`ratio.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from edgeai.benchmarking.ratio import ratio_of_groups
from edgeai.benchmarking.result import Sustained, SustainedPoint
from edgeai_runtime.errors import UsageError

SLOWER = 1.02
"""Drift below this is no drift: the layout of memory alone makes as much."""

CLOCK_FELL = 0.98
"""The clock fell when that of the last third is below this share of the first third's."""

WARMER_CELSIUS = 3.0
"""So much warmer is warmer: sensors step by one degree."""

_WARM_UP_S = 0.2
_WINDOWS = 60
_SHORTEST_WINDOW_S = 0.1
_LONGEST_WINDOW_S = 10.0


def run_sustained(
    call: Callable[[], object],
    *,
    seconds: float,
    window_s: float | None = None,
    on_step: Callable[[int, int, str], None] | None = None,
    system: Path = Path("/sys"),
) -> Sustained:
    """Call `call` for `seconds` and return how it went, window by window.

    Args:
        call: one call; it is warmed up for a moment before.
        seconds: of the run; at least three windows are made, however long a call takes.
        window_s: length of a window; by default a sixtieth of the run, from 0.1 to 10 s.
        on_step: progress, called with (seconds done, seconds in all, label) after each window.
        system: where the system's files on clock and temperature are.

    Raises:
        UsageError: a number makes no sense.
    """
    from edgeai_runtime.bench.memory import resident_mib
    from edgeai_runtime.bench.meters import celsius, clock_mhz, load_meter, throttle_count

    window = window_s or min(max(seconds / _WINDOWS, _SHORTEST_WINDOW_S), _LONGEST_WINDOW_S)
    if seconds <= 0 or window <= 0:
        raise UsageError(
            f"The seconds of a sustained run and of its windows are above 0. Received: {seconds}, {window}"
        )
    step = on_step or (lambda done, total, label: None)
    _window(call, min(_WARM_UP_S, window))
    throttles = throttle_count(system=system)
    points: list[SustainedPoint] = []
    load_of_others = load_meter()
    begin = time.perf_counter()
    while len(points) < 3 or time.perf_counter() - begin < seconds - window / 2:
        at_s = time.perf_counter() - begin
        times = _window(call, window)
        middle, most = (float(value) for value in np.percentile(times, (50, 99)))
        points.append(
            SustainedPoint(
                at_s=at_s,
                median_ms=middle,
                p99_ms=most,
                calls=len(times),
                clock_mhz=clock_mhz(system=system),
                celsius=celsius(system=system),
                rss_mib=resident_mib(),
            )
        )
        step(min(round(at_s + window), round(seconds)), round(seconds), f"{middle:.3g} ms")
    lasted = time.perf_counter() - begin
    after = throttle_count(system=system)
    throttled_more = None if throttles is None or after is None else after > throttles
    load = load_of_others()
    return judge_sustained(points, seconds=lasted, throttled_more=throttled_more, load=load)


def judge_sustained(
    points: Sequence[SustainedPoint],
    *,
    seconds: float,
    throttled_more: bool | None = None,
    load: float | None = None,
) -> Sustained:
    """Return the drift of at least three windows and say whether the machine throttled.

    Args:
        points: the windows, in order.
        seconds: how long the run was.
        throttled_more: whether the processor's own counter of throttling rose; `None` where it has none.
        load: what other processes took meanwhile, in cores; only told.
    """
    third = max(1, len(points) // 3)
    first, last = points[:third], points[-third:]
    drift, interval = ratio_of_groups([one.median_ms for one in last], [one.median_ms for one in first])
    clocks = _medians(first, last, "clock_mhz")
    heat = _medians(first, last, "celsius")
    signs = []
    if clocks is not None and clocks[1] < CLOCK_FELL * clocks[0]:
        signs.append(f"the clock fell from {clocks[0]:.0f} to {clocks[1]:.0f} MHz")
    if heat is not None and heat[1] - heat[0] >= WARMER_CELSIUS:
        signs.append(f"the temperature rose from {heat[0]:.0f} to {heat[1]:.0f} °C")
    if throttled_more:
        signs.append("the processor counted throttling")
    slower = interval[0] > SLOWER
    change = (
        f"{abs(drift - 1):.1%} {'slower' if drift > 1 else 'faster'} at the end "
        f"(95 % interval of the ratio {interval[0]:.3f} to {interval[1]:.3f})"
    )
    if load is not None:
        change += f", while other processes took {load:.1f} cores"
    throttled: bool | None
    if clocks is None and heat is None and throttled_more is None:
        throttled, reason = None, f"{change}; this system tells neither clock nor temperature"
    elif slower and signs:
        throttled, reason = True, f"{change}, and {', '.join(signs)}"
    elif slower:
        throttled, reason = False, f"{change}, but neither did the clock fall nor the temperature rise: something else"
    else:
        throttled, reason = False, f"no slowdown beyond chance: {change}" + (f"; {', '.join(signs)}" if signs else "")
    return Sustained(
        seconds=seconds, points=tuple(points), drift=drift, drift_ci95=interval, throttled=throttled, reason=reason
    )


def _window(call: Callable[[], object], seconds: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the milliseconds of the calls of one window; at least one."""
    clock = time.perf_counter_ns
    times: list[int] = []
    end = clock() + int(seconds * 1e9)
    now = 0
    while now < end:
        start = clock()
        call()
        now = clock()
        times.append(now - start)
    return np.asarray(times, np.float64) / 1e6


def _medians(first: Sequence[SustainedPoint], last: Sequence[SustainedPoint], name: str) -> tuple[float, float] | None:
    early = [value for value in (getattr(one, name) for one in first) if value is not None]
    late = [value for value in (getattr(one, name) for one in last) if value is not None]
    return (median(early), median(late)) if early and late else None

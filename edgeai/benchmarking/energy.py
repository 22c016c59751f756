"""Energy of one call, by a meter of the system: `unknown` where there is none, never an estimate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

from edgeai.benchmarking.energy_meters import EnergyMeter, find_meter
from edgeai.benchmarking.result import Energy
from edgeai_runtime.errors import UsageError

UNKNOWN = "unknown"
_EVERY_S = 0.05
_LONGEST_IDLE_S = 5.0
_SLOW_METER_S = 30.0


def measure_energy(call: Callable[[], object], *, seconds: float, system: Path = Path("/sys")) -> Energy:
    """Call `call` for `seconds` and return the energy of one call.

    First nothing is done for a quarter of that time (5 s at most), for `idle_watts`. `joules_per_call` is all the
    energy that the meter saw while the calls ran, idle power included, over their number.

    Args:
        call: one call; made once before, to be warm.
        seconds: how long to call it.
        system: where the system's files are.

    Raises:
        UsageError: `seconds` is not above 0.
    """
    if seconds <= 0:
        raise UsageError(f"Energy is measured for more than 0 seconds. Received: {seconds}")
    meter, reason = find_meter(system)
    if meter is None:
        return Energy(meter=UNKNOWN, reason=reason)
    call()
    try:
        idle_joules, idle_s, _ = _metered(meter, None, min(seconds / 4, _LONGEST_IDLE_S))
        joules, busy_s, calls = _metered(meter, call, seconds)
    except (OSError, ValueError) as error:  # a battery is plugged in, a sensor times out
        return Energy(meter=UNKNOWN, reason=f"the meter {meter.name} stopped answering: {error}")
    if joules <= 0:
        return Energy(meter=UNKNOWN, reason=f"the meter {meter.name} does not move: it is not connected to anything")
    words = f"{meter.covers}, idle power included"
    if meter.watts is not None and meter.name == "battery" and seconds < _SLOW_METER_S:
        words += f"; a battery tells its power every some seconds: measure for {_SLOW_METER_S:.0f} s or more"
    return Energy(
        meter=meter.name,
        joules_per_call=joules / calls,
        idle_watts=idle_joules / idle_s,
        busy_watts=joules / busy_s,
        reason=words,
    )


def _metered(meter: EnergyMeter, call: Callable[[], object] | None, seconds: float) -> tuple[float, float, int]:
    """Return joules, seconds and calls of `seconds` of calling, or of doing nothing."""
    watts: list[float] = []
    problems: list[Exception] = []
    ended = threading.Event()

    def sample(read: Callable[[], float]) -> None:
        try:
            while True:
                watts.append(read())
                if ended.wait(_EVERY_S):
                    return
        except (OSError, ValueError) as error:
            problems.append(error)

    sampler = threading.Thread(target=sample, args=(meter.watts,), daemon=True) if meter.watts is not None else None
    before = meter.joules() if meter.joules is not None else 0.0
    start = time.perf_counter()
    if sampler is not None:
        sampler.start()
    calls = 0
    if call is None:
        time.sleep(seconds)
    else:
        end = start + seconds
        while not calls or time.perf_counter() < end:
            call()
            calls += 1
    lasted = time.perf_counter() - start
    if meter.joules is not None:
        return meter.joules() - before, lasted, calls
    ended.set()
    if sampler is not None:
        sampler.join()
    if problems:
        raise problems[0]
    return fmean(watts) * lasted, lasted, calls

"""What the system tells while one measures: clock, temperature, throttling, and the load of other processes.

Linux only; elsewhere, and in most virtual machines, there is nothing to read and `None` is returned.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

_SYSTEM = Path("/sys")
_PROC = Path("/proc")
#: Under this, the ticks of 10 ms that the system counts in say nothing.
_SHORTEST_S = 0.1
_PROCESSOR_ZONES = ("cpu", "pkg", "core", "soc", "k10", "zen")


def clock_mhz(*, system: Path = _SYSTEM) -> float | None:
    """Return the clock of the fastest processor now, in MHz: the one that is busy."""
    found = _numbers(system, "devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    return max(found) / 1e3 if found else None


def celsius(*, system: Path = _SYSTEM) -> float | None:
    """Return the temperature of the processor's hottest part; of any part where none is said to be its."""
    zones = {}
    for pattern, value in (("class/thermal/thermal_zone*/type", "temp"), ("class/hwmon/hwmon*/name", "temp1_input")):
        for file in system.glob(pattern):
            degrees = [number / 1e3 for number in _numbers(file.parent, value)]
            zones.update({(_text(file).lower(), file): one for one in degrees if 0 < one < 150})
    processor = [one for (name, _), one in zones.items() if any(word in name for word in _PROCESSOR_ZONES)]
    return max(processor or zones.values(), default=None)


def throttle_count(*, system: Path = _SYSTEM) -> int | None:
    """Return how often the processor throttled (Intel), or whether it does now (Raspberry Pi: 1)."""
    counts = _numbers(system, "devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count")
    if counts:
        return int(sum(counts))
    flags = _text(system / "devices/platform/soc/soc:firmware/get_throttled")
    return int(int(flags, 16) & 0xF != 0) if flags else None


def processor_times(*, proc: Path = _PROC) -> tuple[float, float, float] | None:
    """Return the time now, and processor seconds so far: of all processes, and of this one with its ended children.

    What a hypervisor took away counts as another process.
    """
    head = _text(proc / "stat").partition("\n")[0].split()
    if len(head) < 9:
        return None
    user, nice, system, _, _, interrupts, soft, stolen = (int(text) for text in head[1:9])
    children = os.times()
    own = time.process_time() + children.children_user + children.children_system
    busy = user + nice + system + interrupts + soft + stolen
    return time.perf_counter(), busy / os.sysconf("SC_CLK_TCK"), own


def load_meter(*, proc: Path = _PROC) -> Callable[[], float | None]:
    """Return a function that tells what others took of the processors, in cores, since it was made or called last.

    `None` where the system does not tell, or when less than a tenth of a second has passed.
    """
    last = processor_times(proc=proc)

    def read() -> float | None:
        nonlocal last
        before, last = last, processor_times(proc=proc)
        if before is None or last is None or last[0] - before[0] < _SHORTEST_S:
            return None
        seconds, busy, own = (now - then for now, then in zip(last, before, strict=True))
        return max(0.0, (busy - own) / seconds)

    return read


def _numbers(folder: Path, pattern: str) -> list[float]:
    texts = [_text(file) for file in folder.glob(pattern)]
    return [float(text) for text in texts if text.lstrip("-").isdigit()]


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""

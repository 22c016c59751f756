"""How many processors this process may use, and which of them are the big ones."""

from __future__ import annotations

import os
from pathlib import Path

_SYSTEM = Path("/sys")
_PROC = Path("/proc")
#: A processor counts as big when its capacity is at least this share of the biggest one's.
_BIG = 0.7


def usable_cores(*, system: Path = _SYSTEM, proc: Path = _PROC) -> int:
    """Return how many processors this process may use at once: its affinity (cpuset) and the quota of its cgroup."""
    cores = len(_affinity())
    for quota in _quotas(system / "fs" / "cgroup", proc):
        cores = min(cores, max(1, -(-quota[0] // quota[1])))
    return max(1, cores)


def usable_big_cores(*, system: Path = _SYSTEM, proc: Path = _PROC) -> int:
    """Return how many of the usable processors are big ones (big.LITTLE, hybrid); all, where they are alike.

    A little core in a team makes the others wait for it: engines split work in equal parts.
    """
    return min(usable_cores(system=system, proc=proc), big_cores(_affinity(), system=system))


def thread_counts(most: int, *, system: Path = _SYSTEM) -> list[int]:
    """Return the numbers of threads worth measuring, ascending: powers of two, the big cores, and `most` itself."""
    counts = {most, min(most, big_cores(_affinity(), system=system))}
    power = 1
    while power <= most:
        counts.add(power)
        power *= 2
    return sorted(counts)


def big_cores(processors: list[int], *, system: Path = _SYSTEM) -> int:
    """Return how many of `processors` are big, by the capacities that the kernel tells (1024: the biggest)."""
    capacities = [_number(system / f"devices/system/cpu/cpu{index}/cpu_capacity") for index in processors]
    greatest = max((capacity or 0 for capacity in capacities), default=0)
    if not greatest:
        return len(processors)
    return sum((capacity or 0) >= _BIG * greatest for capacity in capacities)


def _affinity() -> list[int]:
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return list(range(os.cpu_count() or 1))


def _quotas(root: Path, proc: Path) -> list[tuple[int, int]]:
    """Return (quota, period) of this process's control group and its parents, of version 2 and of version 1."""
    quotas = []
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / controllers if controllers and (root / controllers).is_dir() else root
        base = root / "cpu" if controllers and base == root else base
        parts = Path(name.lstrip("/")).parts
        for depth in range(len(parts) + 1):
            folder = base.joinpath(*parts[:depth])
            quota, _, period = _text(folder / "cpu.max").partition(" ")
            if not quota:
                quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
            if quota.isdigit() and period.isdigit() and int(period):
                quotas.append((int(quota), int(period)))
    return quotas


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

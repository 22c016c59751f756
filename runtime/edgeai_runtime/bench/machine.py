"""Describe the machine that figures were measured on, from the standard library and the system's own files."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from edgeai_runtime.cores import usable_cores as usable_cores

#: What decides how fast int8 and half precision are: flags of x86 and features of Arm, as /proc/cpuinfo spells them.
ISA_FLAGS = (
    *("sse4_1", "avx", "avx2", "fma", "f16c", "avx_vnni"),
    *("avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16"),
    *("neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
)


def describe_machine() -> dict[str, str]:
    """Return what a latency depends on: processor, instruction set, cores, clock governor, system, Python.

    It is the same from one moment to the next. Every value is text; what cannot be found out is `unknown`. Nothing
    that identifies a person or a host is in it.
    """
    info = _cpuinfo()
    return {
        "cpu": _cpu_model(info),
        "architecture": platform.machine() or "unknown",
        "isa": " ".join(isa_flags(info)) or "unknown",
        "cores": str(os.cpu_count() or "unknown"),
        "usable_cores": str(usable_cores()),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "unknown",
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def describe_moment() -> dict[str, str]:
    """Return how the machine is now: clock, temperature, how often it throttled; `load`, processes that want to run."""
    from edgeai_runtime.bench.meters import celsius, clock_mhz, throttle_count

    clock, heat, throttles = clock_mhz(), celsius(), throttle_count()
    return {
        "clock_mhz": "unknown" if clock is None else f"{clock:.0f}",
        "celsius": "unknown" if heat is None else f"{heat:.0f}",
        "throttle_count": "unknown" if throttles is None else str(throttles),
        "load": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown",
    }


def isa_flags(cpuinfo: str | None = None) -> list[str]:
    """Return those of `ISA_FLAGS` that this processor has, in that order; empty where the system does not tell."""
    text = _cpuinfo() if cpuinfo is None else cpuinfo
    match = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, flags=re.MULTILINE)
    present = set(match.group(1).split()) if match else set()
    return [flag for flag in ISA_FLAGS if flag in present]


def _cpu_model(cpuinfo: str) -> str:
    for key in ("model name", "Model", "Hardware", "Processor"):
        match = re.search(rf"^{key}\s*:\s*(.+)$", cpuinfo, flags=re.MULTILINE)
        if match:
            return match.group(1).strip()
    board = _read("/proc/device-tree/model").rstrip("\0")
    return board or platform.processor() or "unknown"


def _cpuinfo() -> str:
    return _read("/proc/cpuinfo")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""

"""How much memory this process holds and has held at most, from /proc or the `resource` module."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_MIB = 1024.0 * 1024.0


def resident_mib() -> float | None:
    """Return the memory this process holds now, in MiB; `None` where the system does not tell."""
    return _from_status("VmRSS")


def peak_resident_mib() -> float | None:
    """Return the most memory this process has held since it began (or since `reset_peak`), in MiB, or `None`.

    Measure a model in a process of its own: the peak of what ran before hides the model's.
    """
    peak = _from_status("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / _MIB if sys.platform == "darwin" else most / 1024.0


def reset_peak() -> bool:
    """Let the peak begin anew at what is held now; says whether the system could (Linux only)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def process_status() -> bytes:
    """Return what the system tells of this process now, to be read later; empty where it tells nothing (not Linux)."""
    try:
        return Path("/proc/self/status").read_bytes()
    except OSError:
        return b""


def _from_status(key: str) -> float | None:
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    match = re.search(rf"^{key}:\s+(\d+) kB", text, flags=re.MULTILINE)
    return int(match.group(1)) / 1024.0 if match else None

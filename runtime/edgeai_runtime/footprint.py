"""How much memory a loaded model takes, as far as the system tells.

The process's own numbers are told, and by how much they grew while the model was loaded: an engine's library counts for
the first model that needs it. Other threads of the process that take memory at the same time are in these numbers, too.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgeai_runtime.bench.memory import peak_resident_mib, process_status
from edgeai_runtime.cache import compiled_folder

_MIB = 1024.0 * 1024.0
_KEYS = {"RssAnon": "private", "RssFile": "mapped"}


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory in MiB; `None` where the system does not tell (everywhere but on Linux, except the peak).

    Attributes:
        private_mib: what the process holds for itself alone.
        mapped_mib: files that are mapped and lie in memory; shared with other processes that map them, and given back
            when the system needs it.
        peak_mib: the most the process has ever held.
        load_private_mib: by how much `private_mib` grew while this model was loaded.
        load_mapped_mib: by how much `mapped_mib` grew while this model was loaded.
        files_mib: the size of the artifact's files.
        files_mapped_mib: how much of the artifact's files (or of what was compiled from them) lies in memory, mapped.
    """

    private_mib: float | None
    mapped_mib: float | None
    peak_mib: float | None
    load_private_mib: float | None
    load_mapped_mib: float | None
    files_mib: float
    files_mapped_mib: float | None


def measure_loaded(path: Path | None, digest: str, before: bytes, after: bytes) -> Memory:
    """Return the memory of the model that was loaded from the artifact `path` between two `process_status`.

    With `digest`, that of its bundle, what was compiled of it counts as its files, too, where it is mapped.
    """
    paths = [] if path is None else [path, *([path.with_suffix(".bin")] if path.suffix == ".xml" else [])]
    compiled = sorted(compiled_folder(digest).glob("*.bin")) if digest else []
    first, last, now, files = (
        _read(before),
        _read(after),
        _read(process_status()),
        [one for one in paths if one.is_file()],
    )
    grown = {key: max(0.0, last[key] - first[key]) for key in ("private", "mapped") if key in first and key in last}
    return Memory(
        private_mib=now.get("private"),
        mapped_mib=now.get("mapped"),
        peak_mib=peak_resident_mib(),
        load_private_mib=grown.get("private"),
        load_mapped_mib=grown.get("mapped"),
        files_mib=sum(one.stat().st_size for one in files) / _MIB,
        files_mapped_mib=_mapped({str(one.resolve()) for one in (*files, *compiled)}),
    )


def _read(text: bytes) -> dict[str, float]:
    found = {}
    for line in text.decode("ascii", "replace").splitlines():
        key, _, rest = line.partition(":")
        if key in _KEYS:
            found[_KEYS[key]] = int(rest.split()[0]) / 1024.0
    return found


def give_back() -> None:
    """Let the C library return its free pages where it can (glibc)."""
    with suppress(OSError, AttributeError, ImportError):
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)


def _mapped(names: set[str]) -> float | None:
    """Return how much of the named files lies in memory, mapped by this process."""
    total, counts = 0.0, False
    try:
        with open("/proc/self/smaps", encoding="utf-8", errors="replace") as smaps:
            for line in smaps:
                if line.startswith("Rss:"):
                    total += int(line.split()[1]) / 1024.0 if counts else 0.0
                elif "-" in line.split(" ", 1)[0]:
                    slash, path = line.rstrip("\n").partition("/")[1:]
                    counts = slash + path in names
    except (OSError, ValueError):
        return None
    return total

"""Artifacts as an engine compiled them for this machine, so that a later start need not: OpenVINO blobs, ONNX Runtime's
optimized graphs and contexts of its providers.

An entry is one file, found by a hash of everything that it depends on: the digests of the artifact, engine and version,
delegate, driver, options, threads, processor, and this package. It is written beside and renamed, has a checksum, and
was compared with the artifact itself before it was kept. Entries are made for bundles that `warm` was run on, whose
digests were checked, and not where an engine says that they gain nothing (LiteRT loads in a millisecond or two).

The least recently used entries are deleted above `$EDGEAI_COMPILED_MIB` (512).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_runtime.cache import cache_folder, compiled_folder
from edgeai_runtime.engines.captured_log import say_debug
from edgeai_runtime.errors import EdgeAIError
from edgeai_runtime.manifest import Variant

if TYPE_CHECKING:
    from edgeai_runtime.engines.protocol import Engine, Session

SIZE_VARIABLE = "EDGEAI_COMPILED_MIB"
_MOST_MIB = 512.0
_MAGIC = "edgeai.compiled/1"
#: The payload begins at a page, so that it can be mapped.
_PAGE = 4096
#: The same kernels on the same values; several threads may add in another order.
_RTOL = 1e-4
_PROCESSOR = ("vendor_id", "model name", "cpu family", "model\t", "stepping", "flags", "Features", "CPU ")


def enable(digest: str) -> None:
    """Let loads of the bundle with this digest keep and use compiled artifacts; on a read-only device, do nothing."""
    with contextlib.suppress(OSError):
        compiled_folder(digest).mkdir(parents=True, exist_ok=True)


def forget(digest: str) -> None:
    """Delete the compiled artifacts of a bundle; the next loads make them again."""
    for path in list(_entries(compiled_folder(digest))):
        with contextlib.suppress(OSError):
            path.unlink()


def open_session(
    engine: Engine,
    path: Path,
    variant: Variant,
    digest: str,
    *,
    delegate: str,
    threads: int,
    options: Mapping[str, str],
) -> Session:
    """Do what `engine.open` does, with what was compiled before where there is such; else keep what is compiled now."""
    opener = getattr(engine, "open_compiled", None)
    if opener is None:
        return engine.open(path, delegate=delegate, threads=threads, options=options)
    key = entry_key(engine, variant, delegate=delegate, threads=threads, options=options)
    file = compiled_folder(digest) / f"{key}.bin"
    entry = read_entry(file)
    arguments: dict[str, Any] = {"delegate": delegate, "threads": threads, "options": options}
    if entry is not None and len(entry[1]):
        try:
            session: Session = opener(path, *entry, **arguments)
            with contextlib.suppress(OSError):
                os.utime(file)
            return session
        except Exception as error:  # whatever an engine says of it: the artifact itself is still there
            import logging

            logging.getLogger(__name__).warning("a compiled artifact is of no use and made again: %s", error)
            entry = None
    session = engine.open(path, **arguments)
    made = None if entry is not None else _export(session)
    if made is not None:
        with contextlib.suppress(EdgeAIError, OSError):
            info, payload = made
            write_entry(file, info, payload if _is_same(session, opener, path, info, payload, arguments) else b"")
    return session


def entry_key(engine: Engine, variant: Variant, *, delegate: str, threads: int, options: Mapping[str, str]) -> str:
    """Return the name of the entry: a hash of all that it depends on."""
    from edgeai_runtime import __version__

    driver = ""
    if not delegate.endswith(":cpu"):
        from edgeai_runtime.first_use import driver_of

        driver = driver_of(delegate)
    info = engine.info()
    files = [[entry.path, entry.sha256] for entry in variant.files]
    facts = [files, engine.name, info.version, delegate, driver, sorted(options.items()), threads, _processor()]
    return hashlib.sha256(json.dumps([*facts, __version__, _MAGIC]).encode()).hexdigest()[:32]


def read_entry(file: Path) -> tuple[dict[str, Any], Any] | None:
    """Return what an engine noted beside an entry, and its bytes as a mapped array; `None` if there is no sound one."""
    try:
        with file.open("rb") as opened:
            head = json.loads(opened.readline(1 << 24))
            start = -(-opened.tell() // _PAGE) * _PAGE
        if head["magic"] != _MAGIC or file.stat().st_size != start + head["size"]:
            raise ValueError("not whole")
        if not head["size"]:
            return head["info"], np.empty(0, np.uint8)
        payload: Any = np.memmap(file, np.uint8, "c", offset=start)  # private: nobody writes to the file
        if zlib.crc32(payload) != head["crc32"]:
            raise ValueError("damaged")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        say_debug(__name__, f"compiled artifact {file}: {error}")
        with contextlib.suppress(OSError):
            file.unlink()
        return None
    return head["info"], payload


def write_entry(file: Path, info: Mapping[str, Any], payload: bytes) -> None:
    """Keep an entry, an empty one to say that it is not worth it, and delete old ones above the limit.

    Raises:
        OutputError: the cache cannot be written.
    """
    from edgeai_runtime.atomic import open_beside

    head = {"magic": _MAGIC, "info": info, "size": len(payload), "crc32": zlib.crc32(payload)}
    line = json.dumps(head).encode() + b"\n"
    with open_beside(file) as opened:
        opened.write(line.ljust(-(-len(line) // _PAGE) * _PAGE, b" "))
        opened.write(payload)
    _prune(file)


def _prune(newest: Path) -> None:
    limit = float(os.environ.get(SIZE_VARIABLE) or _MOST_MIB) * 1024 * 1024
    found = []
    for path in _entries(cache_folder() / "compiled", "*/*.bin"):
        with contextlib.suppress(OSError):  # another process deletes, too
            status = path.stat()
            found.append((path == newest, status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, _, size, _ in found)
    for is_newest, _, size, path in sorted(found):
        if total <= limit or is_newest:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size


def _entries(folder: Path, pattern: str = "*.bin") -> Iterator[Path]:
    try:
        yield from sorted(folder.glob(pattern))
    except OSError:
        return


def _export(session: Session) -> tuple[dict[str, Any], bytes] | None:
    export = getattr(session, "export", None)
    try:
        return export() if export is not None else None
    except Exception as error:
        say_debug(__name__, f"not compiled for later: {error}")
        return {"failed": str(error)[:200]}, b""


def _is_same(
    session: Session, opener: Any, path: Path, info: dict[str, Any], payload: bytes, arguments: dict[str, Any]
) -> bool:
    """Say whether the compiled artifact opens and gives what the artifact gives, on drawn values."""
    if not payload:
        return False
    draw = np.random.default_rng(0)
    arrays = []
    for spec in session.inputs:
        shape, dtype = [size or 1 for size in spec.shape], np.dtype(spec.dtype)
        values = draw.normal(size=shape) if dtype.kind == "f" else draw.integers(0, 2, shape)
        arrays.append(values.astype(dtype))
    try:
        other = opener(path, info, np.frombuffer(bytearray(payload), np.uint8), **arguments)
        pairs = list(zip(session.run(arrays), other.run(arrays), strict=True))
        same = (session.inputs, session.outputs) == (other.inputs, other.outputs)
        other.close()
    except Exception as error:
        say_debug(__name__, f"the compiled artifact of {path.name} is of no use: {error}")
        return False
    return same and all(
        a.shape == b.shape
        and a.dtype == b.dtype
        and (
            np.allclose(a, b, _RTOL, _RTOL * float(np.abs(a).max(initial=0))) if a.dtype.kind == "f" else (a == b).all()
        )
        for a, b in pairs
    )


def _processor() -> list[str]:
    """Return what identifies the kind of processor: the lines of its first core."""
    facts = [sys.platform, str(sys.maxsize)]
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if not line.strip():
                    break
                if line.startswith(_PROCESSOR):
                    facts.append(line.strip())
    except OSError:
        import platform

        facts += [platform.machine(), platform.processor()]
    return facts

"""The work folder: results of finished steps, kept by content, so that an interrupted job goes on where it was.

A step is a name and a key (everything its result depends on). Its result is a folder that is made beside and renamed,
so a folder that exists is complete. Nothing here knows what a step does.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from edgeai_runtime.errors import OutputError

_KEY_FILE = "key.json"

_KEEP_DAYS = 30
"""Steps that nobody asked for in so many days are removed when a work folder is opened, unless it says otherwise."""

_IN_USE_S = 3600.0
"""A step that was asked for so lately is never removed to make room: its process may still read it."""

_NO_ROOM = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EACCES", "EPERM", "EROFS", "ENOTEMPTY", "EEXIST")
    if hasattr(errno, name)
}
"""What it means that a result cannot be kept; another error belongs to what makes it."""


def digest_of(value: Any) -> str:
    """Return the SHA-256 (hex) of a value of JSON types and dataclasses, independent of the order of keys."""
    return hashlib.sha256(_to_text(value).encode()).hexdigest()


def digest_of_path(path: Path) -> str:
    """Return the SHA-256 (hex) of a file, or of a folder's files and their relative names."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        if file != path:
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def folder_of(root: Path, name: str, key: Mapping[str, Any]) -> Path:
    """Return where `WorkFolder(root).step(name, key, …)` keeps its result; nothing is made or looked at."""
    return root / f"{name}-{digest_of(key)[:20]}"


class WorkFolder:
    """Finished steps under `root`, one folder each.

    Args:
        root: the folder; made when missing.
        keep_days: steps that nobody asked for in so many days are removed when it is opened; `None` keeps them.
        keep_bytes: when all steps are larger, those not asked for longest are removed when it is opened.
    """

    def __init__(self, root: Path, *, keep_days: float | None = _KEEP_DAYS, keep_bytes: int | None = None) -> None:
        self.root = root
        self._made: set[Path] = set()
        self._found: set[Path] = set()
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"The work folder cannot be made: {error}.",
                hint="Name another one with --work, or set EDGEAI_CACHE to a folder that can be written.",
            ) from error
        self._remove_leftovers()
        if keep_days is not None:
            self._remove_old(keep_days)
        if keep_bytes is not None:
            self._make_room(keep_bytes)

    @property
    def reused(self) -> int:
        """How many different steps were found finished that this object did not make."""
        return len(self._found)

    def step(self, name: str, key: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
        """Return the folder of the step's result; run `make(folder)` only when it is not there yet.

        Args:
            name: kind of step, part of the folder's name.
            key: JSON-able description of everything the result depends on.
            make: fills an empty folder.

        Raises:
            OutputError: the result cannot be written (disk full, no permission).
        """
        final = folder_of(self.root, name, key)
        if (final / _KEY_FILE).is_file():
            if final not in self._made:
                self._found.add(final)
                os.utime(final / _KEY_FILE)  # in use: not to be removed for its age
            return final
        building = self.root / f".making-{os.getpid()}-{secrets.token_hex(4)}-{final.name}"
        try:
            building.mkdir()
            make(building)
            (building / _KEY_FILE).write_text(_to_text(key))
            if final.exists():  # without a key file: not ours to trust
                shutil.rmtree(final)
            building.rename(final)
            self._made.add(final)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            if (final / _KEY_FILE).is_file():  # another process was first with the same step
                return final
            raise OutputError(
                f"The result of the step {name!r} cannot be kept in {self.root}: {error}.",
                hint="Free some space there, or name another folder with --work.",
            ) from error
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return final

    def _remove_old(self, days: float) -> None:
        oldest = time.time() - days * 24 * 3600
        for key_file in self.root.glob(f"*/{_KEY_FILE}"):
            if key_file.stat().st_mtime < oldest:
                shutil.rmtree(key_file.parent, ignore_errors=True)

    def _make_room(self, limit: int) -> None:
        """Remove steps until the rest is within the limit, those not asked for longest first."""
        found = []
        for key_file in self.root.glob(f"*/{_KEY_FILE}"):
            with contextlib.suppress(OSError):  # another process removes too
                size = sum(file.stat().st_size for file in key_file.parent.rglob("*") if file.is_file())
                found.append((key_file.stat().st_mtime, size, key_file.parent))
        too_much = sum(size for _, size, _ in found) - limit
        for asked, size, folder in sorted(found):
            if too_much <= 0 or asked > time.time() - _IN_USE_S:
                return
            shutil.rmtree(folder, ignore_errors=True)
            too_much -= size

    def _remove_leftovers(self) -> None:
        for folder in self.root.glob(".making-*"):
            pid = folder.name.split("-", 2)[1]
            if pid.isdigit() and not _is_alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)


def _to_text(value: Any) -> str:
    def plain(other: Any) -> Any:
        if is_dataclass(other) and not isinstance(other, type):
            return asdict(other)
        raise TypeError(f"A key of a step has a value of type {type(other).__name__}.")

    return json.dumps(value, indent=1, sort_keys=True, default=plain)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

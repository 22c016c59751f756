"""Digests of files, remembered by path, size, time and inode, so that an unchanged build reads no data again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

from edgeai_converters.workfolder import digest_of
from edgeai_runtime.atomic import write_atomically
from edgeai_runtime.errors import UsageError

_SETTLED_S = 2.0
"""A file written less than this before it was read may be written again within the same tick of its clock: its digest
is not remembered."""

_BLOCK = 1 << 20


class Digests:
    """Digests of files and folders, kept in the file `kept` between runs.

    A file counts as unchanged while its size, its time in nanoseconds and its inode are the same: what `touch -r` can
    fake, an editor or a download cannot.
    """

    def __init__(self, kept: Path) -> None:
        self._kept = kept
        self._known: dict[str, list[int | str]] = {}
        self._used: set[str] = set()
        self.read = 0
        try:
            document = json.loads(kept.read_text(encoding="utf-8"))
            self._known = document if isinstance(document, dict) else {}
        except (OSError, ValueError):
            pass  # nothing is remembered: everything is read once more
        self._before = dict(self._known)

    def of(self, path: Path) -> str:
        """Return the SHA-256 (hex) of a file's content, or of the names and contents of all files in a folder.

        Raises:
            UsageError: nothing is there, or it cannot be read.
        """
        try:
            if not path.is_dir():
                return self._of_file(path)
            files = sorted(Path(top) / name for top, _, names in os.walk(path, followlinks=True) for name in names)
            return digest_of([[file.relative_to(path).as_posix(), self._of_file(file)] for file in files])
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error

    def of_all(self, paths: tuple[Path, ...]) -> str:
        """Return one digest of several files and folders, in their order; the digest itself when there is one."""
        found = [self.of(path) for path in paths]
        return found[0] if len(found) == 1 else digest_of(found)

    def save(self) -> None:
        """Write what is remembered, when it changed; what was not asked for and is gone is forgotten."""
        for name in set(self._known) - self._used:
            if not os.path.exists(name):
                del self._known[name]
        if self._known != self._before:
            write_atomically(self._kept, json.dumps(self._known).encode())
            self._before = dict(self._known)

    def _of_file(self, file: Path) -> str:
        state = file.stat()
        name, mark = str(file), [state.st_size, state.st_mtime_ns, state.st_ino]
        self._used.add(name)
        known = self._known.get(name)
        if isinstance(known, list) and known[:3] == mark and len(known) == 4:
            return str(known[3])
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        self.read += 1
        found = digest.hexdigest()
        self._known.pop(name, None)
        if time.time() - state.st_mtime_ns / 1e9 > _SETTLED_S:
            self._known[name] = [*mark, found]
        return found

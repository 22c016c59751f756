"""Results of finished steps, by key; and, per step, the key it had last, so that one can say what changed since."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgeai_converters.workfolder import WorkFolder, folder_of
from edgeai_runtime.atomic import write_atomically
from edgeai_runtime.errors import OutputError

_LAST = "last.json"
KEY_FILE = "key.json"
_KEEP_DAYS = 60
_LISTING = "files.json"
"""In the folder of a result: the sizes of its files, so that a cache that was restored in part is noticed."""


class Cache:
    """The folder `.edgeai/build`: one folder per result, made beside and renamed, so that a folder there is whole."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._last = _read(root / _LAST)
        self._before = dict(self._last)

    def find(self, kind: str, key: Mapping[str, Any]) -> Path | None:
        """Return the folder of a result, or `None` when it was not made yet, or files in it are gone or cut off."""
        folder = folder_of(self._root, kind, key)
        if not (folder / KEY_FILE).is_file() or not _is_whole(folder):
            return None
        with contextlib.suppress(OSError):  # a read-only folder can be read from all the same
            os.utime(folder / KEY_FILE)  # in use: not to be removed for its age
        return folder

    def make(self, kind: str, key: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
        """Return the folder of a result; `make` fills an empty folder when it is not there, or not whole."""

        def make_listed(folder: Path) -> None:
            make(folder)
            (folder / _LISTING).write_text(json.dumps(_sizes(folder)), encoding="utf-8")

        if self.find(kind, key) is None:
            self.forget(kind, key)
        try:
            return WorkFolder(self._root, keep_days=_KEEP_DAYS).step(kind, key, make_listed)
        except OutputError as error:
            if "--work" in error.hint:  # an option that `build` does not have
                raise OutputError(error.message, hint="Free some space there.") from error
            raise

    def forget(self, kind: str, key: Mapping[str, Any]) -> None:
        """Remove a result, so that it is made again."""
        import shutil

        shutil.rmtree(folder_of(self._root, kind, key), ignore_errors=True)

    def last_key(self, step: str) -> Mapping[str, Any] | None:
        """Return the key that a step had when it was last up to date."""
        found = self._last.get(step)
        return found if isinstance(found, dict) else None

    def remember(self, step: str, key: Mapping[str, Any]) -> None:
        """Note the key of a step that is up to date."""
        self._last[step] = dict(key)

    def save(self) -> None:
        """Write the notes, when they changed."""
        if self._last != self._before:
            write_atomically(self._root / _LAST, json.dumps(self._last, indent=1, sort_keys=True).encode())
            self._before = dict(self._last)


def _sizes(folder: Path) -> dict[str, int]:
    own = (folder / KEY_FILE, folder / _LISTING)  # written after what a step made
    files = (file for file in folder.rglob("*") if file.is_file() and file not in own)
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in sorted(files)}


def _is_whole(folder: Path) -> bool:
    """Whether the files of a result are those that were made; of results without a listing one cannot tell."""
    file = folder / _LISTING
    if not file.exists():
        return True
    sizes = _read(file)
    try:
        return bool(sizes) and all((folder / name).stat().st_size == size for name, size in sizes.items())
    except OSError:
        return False


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}

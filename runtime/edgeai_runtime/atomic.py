"""Writing files so that nothing is ever half-written: beside, then renamed; and what the system says when it cannot.

Not here: whether an existing file may be replaced; that is the caller's question.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edgeai_runtime.errors import OutputError

_HINTS = {
    errno.ENOSPC: "The disk is full: free some space or choose another place.",
    errno.EDQUOT: "Your quota is used up: free some space or choose another place.",
    errno.EFBIG: "The file system takes no file of this size: choose another place.",
    errno.EACCES: "There is no permission to write there: choose another place.",
    errno.EPERM: "There is no permission to write there: choose another place.",
    errno.EROFS: "This file system is read-only: choose another place.",
}


def output_error(path: Path, error: OSError, *, hint: str = "") -> OutputError:
    """Return the `OutputError` for a failed write to `path`; `hint` is added to what the system's error suggests."""
    hints = [_HINTS.get(error.errno or 0, ""), hint]
    reason = error.strerror or type(error).__name__
    return OutputError(f"cannot write {path}: {reason}", hint=" ".join(text for text in hints if text))


@contextlib.contextmanager
def open_beside(path: Path, *, beside: Path | None = None, durable: bool = False, hint: str = "") -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` when the block ends well, and disappears when it does not.

    Safe for several processes: each writes its own file, and the rename is atomic. Missing folders are made.

    Args:
        path: what appears, whole, at the end; an existing file is replaced.
        beside: the folder of the unfinished file, on the same file system; by default the folder of `path`.
        durable: also wait until the bytes are on the disk, so that a loss of power leaves no empty file.
        hint: added to the error's hint.

    Raises:
        OutputError: no permission, disk full, a folder in the way.
    """
    folder = beside or path.parent
    unfinished: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".unfinished-{os.getpid()}-{os.urandom(6).hex()}"
        with unfinished.open("xb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        unfinished.replace(path)
        unfinished = None
    except OSError as error:
        raise output_error(path, error, hint=hint) from error
    finally:
        if unfinished is not None:
            with contextlib.suppress(OSError):
                unfinished.unlink()


def write_atomically(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write `content` to `path`, replacing what is there, so that a reader sees the old bytes or all of the new ones.

    Raises:
        OutputError: no permission, disk full, a folder in the way.
    """
    with open_beside(path, durable=durable) as file:
        file.write(content)

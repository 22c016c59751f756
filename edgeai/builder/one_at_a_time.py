"""One build at a time in a folder: a second one waits, as it shares the lock file, the cache and the output folder.

`make -j` and CMake start a build per target. Two at once would measure each other's load, search the same twice, and
the one that ends last would write lock and records without what the other had put in.
"""

from __future__ import annotations

import contextlib
import errno
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from edgeai_converters.progress import OnStep
from edgeai_runtime.atomic import output_error

_FILE = "busy"
_POLL_S = 0.2
WAITING = "waiting for another build in this folder"


@contextlib.contextmanager
def one_at_a_time(state: Path, *, on_step: OnStep | None = None) -> Iterator[None]:
    """Hold the folder `state`, made when missing; wait while another process holds it.

    The operating system frees it with the process, however that ends. Nobody waits where a file system has no locks, or
    where nothing can be written: there an unchanged build still works.

    Raises:
        OutputError: the folder cannot be made.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
        file = (state / _FILE).open("ab")
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and state.is_dir():
            yield
            return
        raise output_error(state, error) from error
    with file:
        told = False
        while not _take(file):
            if on_step is not None and not told:
                on_step(0, 1, WAITING)
            told = True
            time.sleep(_POLL_S)
        yield


def _take(file: IO[bytes]) -> bool:
    """Lock the file for this process, not for its children, or return `False` when another one has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True

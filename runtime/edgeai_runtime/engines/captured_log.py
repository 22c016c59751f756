"""Catch what an engine's C++ side writes to standard error, so that it can be attached to the error it belongs to.

Out of scope: Python's `logging` and `sys.stderr` as such. While the block runs, file descriptor 2 of the whole process
points at a temporary file; a lock keeps two threads from doing that at once. Blocks may be nested: an object that is
collected inside one may catch what its engine says in its destructor.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

_LOCK = threading.RLock()
_LONGEST_LOG = 4000


class CapturedLog:
    """What was written to standard error inside the block; complete once the block has ended."""

    text: str = ""

    def tail(self) -> str:
        """Return the last lines, ready to be appended to a message; empty when nothing was said."""
        text = "\n".join(line for line in self.text.splitlines() if not line.startswith("INFO:")).strip()
        return f"\n  engine log: {text[-_LONGEST_LOG:]}" if text else ""


@contextmanager
def capture_log() -> Iterator[CapturedLog]:
    """Run a block with file descriptor 2 caught; what was caught goes to the debug log and to `CapturedLog.text`.

    Where the process has no file descriptor 2, nothing is caught.
    """
    log = CapturedLog()
    with _LOCK:
        try:
            saved = os.dup(2)
        except OSError:
            saved = -1
        if saved < 0:
            yield log
            return
        with _nameless_file() as file:
            with suppress(Exception):
                sys.stderr.flush()
            os.dup2(file.fileno(), 2)
            try:
                yield log
            finally:
                os.dup2(saved, 2)
                os.close(saved)
                file.seek(0)
                log.text = file.read().decode(errors="replace")
    if log.text:
        say_debug(__name__, f"engine log: {log.text}")


def say_debug(name: str, text: str) -> None:
    """Tell the debug log of a module; without importing `logging`, for where nobody did, nobody listens."""
    if "logging" in sys.modules:
        import logging

        logging.getLogger(name).debug("%s", text)


def _nameless_file() -> BinaryIO:
    with suppress(AttributeError, OSError):  # not Linux, or an old one
        return open(os.memfd_create("log"), "w+b")
    import tempfile

    return cast("BinaryIO", tempfile.TemporaryFile())

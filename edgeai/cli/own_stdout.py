"""Standard output is for results: what engines print there by themselves, below Python, goes to stderr."""

from __future__ import annotations

import io
import os
import sys


def own_stdout() -> None:
    """Point the process's file 1 at stderr, and `sys.stdout` at where file 1 led.

    A simulator's greeting must not stand in front of a JSON document. Where `sys.stdout` is not file 1 (a test, a
    notebook), or one of them is closed, nothing is changed. It stays so until the process ends, since libraries may
    write what they hold back only then.
    """
    if not isinstance(sys.stdout, io.TextIOWrapper):
        return
    try:
        if sys.stdout.fileno() != 1:
            return
        sys.stdout.flush()
        ours = os.dup(1)
        os.dup2(2, 1)
    except OSError:
        return
    old = sys.stdout
    sys.stdout = open(ours, "w", encoding=old.encoding, errors=old.errors, buffering=1)  # noqa: SIM115

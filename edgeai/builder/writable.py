"""Whether a file can be written, asked before the work that it is to hold: nothing is left behind by asking."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgeai_runtime.atomic import output_error
from edgeai_runtime.errors import OutputError


def require_writable(file: Path, what: str) -> None:
    """Try to make a file where `file` is to be; folders that are missing would be made.

    Args:
        file: what is to be written, or replaced.
        what: the option or key that names it.

    Raises:
        OutputError: a folder or a file is in the way, there is no permission, or no room.
    """
    if file.is_dir():
        raise OutputError(f"{what}: {file} is a folder.", hint="Name a file.")
    folder = next(each for each in file.absolute().parents if os.path.lexists(each))
    if not folder.is_dir():
        raise OutputError(f"{what}: {file} cannot be written, since {folder} is no folder.", hint="Name another one.")
    probe = folder / f".unfinished-{os.getpid()}-{os.urandom(6).hex()}"
    try:
        probe.write_bytes(b"\0")
    except OSError as error:
        failure = output_error(file, error)
        raise OutputError(f"{what}: {failure.message}", hint=failure.hint) from error
    finally:
        with contextlib.suppress(OSError):  # on a read-only file system even a file that is not there
            probe.unlink()

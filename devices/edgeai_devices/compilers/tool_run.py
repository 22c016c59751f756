"""Running a vendor's command-line compiler: its output when it ends well, the end of its log in an error when not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgeai_runtime.errors import ModelError

_TIMEOUT_S = 3600
_LOG_LINES = 8
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def run_tool(
    command: Sequence[str],
    *,
    title: str,
    path: Path,
    quiet: Sequence[str] = (),
    reasons: str = r"(?i)^\S.*error",
    hint: str = "",
    folder: Path | None = None,
) -> str:
    """Run a compiler on the artifact `path` and return what it wrote, standard output first.

    Args:
        command: program and arguments.
        title: what people call it.
        path: the artifact, for messages.
        quiet: how lines begin that are of no use in an error.
        reasons: an expression that finds the first line worth telling.
        hint: how to go on when it refuses the model.
        folder: to run it in, where it leaves files of its own; `None`: this one.

    Raises:
        ModelError: it failed, crashed, or did not end; its first line of `reasons` and what follows it are told.
    """
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            cwd=folder,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{title} did not end within {_TIMEOUT_S} s on {path}.") from error
    except OSError as error:
        raise ModelError(f"{title} cannot be started ({command[0]}): {error}") from error
    if done.returncode == 0:
        return done.stdout + "\n" + done.stderr
    output = _COLOURS.sub("", done.stderr + "\n" + done.stdout).splitlines()
    said = [line for line in output if line.strip() and not line.startswith(tuple(quiet) or "\0")]
    first = next((index for index, line in enumerate(said) if re.search(reasons, line)), None)
    tail = "\n  ".join(said[-_LOG_LINES:] if first is None else said[first : first + _LOG_LINES])
    how = f"crashed (signal {-done.returncode})" if done.returncode < 0 else f"refused it (exit code {done.returncode})"
    raise ModelError(f"{title} cannot compile {path}: it {how}.\n  {tail}", hint=hint)

"""Running a guest: a tool in whichever interpreter has it, ours or that of its managed environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from edgeai_converters.sources.child import run_command
from edgeai_converters.tools.environments import ENVIRONMENTS, find_interpreter
from edgeai_converters.tools.own_packages import missing_here
from edgeai_runtime.errors import MissingEngineError, UnsupportedOperationError

_GUESTS = Path(__file__).with_name("guests")


def interpreter_of(tool: str) -> Path | None:
    """Return the interpreter that can run a tool: ours when it has the packages, else the managed one, else `None`."""
    if not missing_here(ENVIRONMENTS[tool].modules):
        return Path(sys.executable)
    return find_interpreter(tool)


def run_guest(tool: str, request: dict[str, Any], *, workdir: Path, timeout_s: float = 1200.0) -> bytes:
    """Let a tool convert a file, and return what it wrote.

    Args:
        tool: a name of `ENVIRONMENTS`.
        request: as in `edgeai_converters.tools`; its `source` is read.
        workdir: an existing folder for whatever the tool leaves behind, and the log.
        timeout_s: seconds after which it is ended.

    Raises:
        MissingEngineError: neither our environment nor a managed one has it.
        UnsupportedOperationError: the tool refuses the model.
        ChildError: it crashed or ran too long.
    """
    python = interpreter_of(tool)
    if python is None:
        raise MissingEngineError(f"{tool} is not installed.", hint=f"edgeai tools install {tool}")
    script = _GUESTS / f"{tool.replace('-', '_')}_guest.py"
    command = [os.fspath(python), "-I", os.fspath(_GUESTS / "run.py"), os.fspath(script), os.fspath(workdir)]
    asked = {**request, "folder": os.fspath(workdir.resolve())}
    what = f"{tool} on {Path(request['source']).name}"
    answer = run_command(command, asked, workdir=workdir, what=what, timeout_s=timeout_s)
    if "refusal" in answer:
        raise UnsupportedOperationError(answer["refusal"], hint="Try the format onnx or openvino.")
    return Path(answer["written"]).read_bytes()

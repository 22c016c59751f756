"""Rockchip NPUs through rknn-toolkit2: an ONNX or TFLite file, float or quantized, becomes a `.rknn`.

The toolkit needs older versions of numpy, onnx and PyTorch than edgeai does, so it lives in an environment of its own,
whose Python is named by `EDGEAI_RKNN_PYTHON`; a program of the standard library and the toolkit alone runs in it. The
model is built as it is: the toolkit quantizes nothing here.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

from edgeai_devices.compilers.protocol import Compiled, CompileReport, accelerator_for
from edgeai_devices.compilers.tool_run import run_tool
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import EngineError, MissingEngineError

PACKAGE = "rknn-toolkit2"
PYTHON_VARIABLE = "EDGEAI_RKNN_PYTHON"
_MARK = "edgeai-rknn:"
_PROGRAM = f"""
import importlib.metadata, json, sys
task = json.loads(sys.argv[1])
told = {{"version": importlib.metadata.version("{PACKAGE}")}}
if task:
    from rknn.api import RKNN
    rknn = RKNN(verbose=False)
    def check(step, code):
        if code not in (0, None):
            sys.exit(f"Error: {{step}} failed with code {{code}}")
    check("config", rknn.config(target_platform=task["platform"]))
    load = rknn.load_tflite if task["path"].endswith(".tflite") else rknn.load_onnx
    check("load", load(model=task["path"]))
    check("build", rknn.build(do_quantization=False))
    check("export", rknn.export_rknn(task["out"]))
    rknn.release()
print("\\n{_MARK}" + json.dumps(told))
"""


def version() -> str:
    """Return the version of rknn-toolkit2.

    Raises:
        MissingEngineError: it is not installed.
    """
    return _ask(_python(), {}, path=Path(PACKAGE))


def compile_model(path: Path, *, profile: Profile | None, folder: Path) -> Compiled:
    """Compile an ONNX or TFLite file; see the protocol.

    Raises:
        UsageError: the device has no Rockchip NPU.
        MissingEngineError: rknn-toolkit2 is not installed.
        ModelError: it refuses the model or crashed on it.
    """
    target = accelerator_for(profile, "rknn").rknn
    assert target is not None, "a profile that names rknn has its table; checked when it was read"
    python = _python()
    made = folder / f"{path.stem}.rknn"
    task = {"path": str(path.absolute()), "out": str(made), "platform": target.platform}
    # It leaves dumps of its steps in the working folder.
    found = _ask(python, task, path=path, folder=folder)
    if not made.is_file():
        raise EngineError(f"{PACKAGE} ended well and wrote nothing of {path}.")
    for other in folder.iterdir():
        if other != made and other.is_file():
            other.unlink()
    report = CompileReport(
        compiler="rknn",
        tool=PACKAGE,
        version=found,
        target=target.platform,
        options={"target_platform": target.platform},
        flash_bytes=made.stat().st_size,
    )
    return Compiled(files=(made,), report=report, notes=(f"The board needs librknnrt of the same version, {found}.",))


def _ask(python: str, task: dict[str, str], *, path: Path, folder: Path | None = None) -> str:
    said = run_tool(
        [python, "-c", _PROGRAM, json.dumps(task)], title=f"Rockchip's compiler ({PACKAGE})", path=path, folder=folder
    )
    told = [line for line in said.splitlines() if line.startswith(_MARK)]
    if not told:
        raise EngineError(f"{PACKAGE} ended without an answer on {path}.\n  {said.strip()[-400:]}")
    return str(json.loads(told[-1].removeprefix(_MARK))["version"])


def _python() -> str:
    named = os.environ.get(PYTHON_VARIABLE, "")
    if named:
        return named
    if importlib.util.find_spec("rknn") is not None:
        return sys.executable
    raise MissingEngineError(
        f"Rockchip's compiler ({PACKAGE}) is not installed.",
        hint=f"It needs an environment of its own: python -m venv rknn; rknn/bin/pip install {PACKAGE}; "
        f"export {PYTHON_VARIABLE}=$PWD/rknn/bin/python",
    )

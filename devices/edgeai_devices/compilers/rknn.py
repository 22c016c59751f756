"""Rockchip NPUs through rknn-toolkit2: an ONNX or TFLite file, float or quantized, becomes a `.rknn`.

The toolkit needs older versions of numpy, onnx and PyTorch than edgeai does, so it lives in an environment of its own,
whose Python is named by `EDGEAI_RKNN_PYTHON`; a program of the standard library and the toolkit alone runs in it. The
model is built as it is: the toolkit quantizes nothing here. An ONNX file newer than it reads is lowered first, and what
is built of one is run once in its simulator. TFLite files need TensorFlow 2.14 or older in that environment too.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

from edgeai_devices.compilers.protocol import Compiled, CompileReport, accelerator_for
from edgeai_devices.compilers.tool_run import run_tool
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import EngineError, MissingEngineError

PACKAGE = "rknn-toolkit2"
PYTHON_VARIABLE = "EDGEAI_RKNN_PYTHON"
_MARK = "edgeai-rknn:"
_NEWEST_OPSET = 19
_PROGRAM = f"""
import importlib.metadata, json, sys
task = json.loads(sys.argv[1])
told = {{"version": importlib.metadata.version("{PACKAGE}")}}
if task:
    import numpy, onnx
    from onnx import version_converter
    from rknn.api import RKNN
    rknn = RKNN(verbose=False)
    def check(step, code):
        if code not in (0, None):
            sys.exit(f"Error: {{step}} failed with code {{code}}")
    path = task["path"]
    load, sizes = rknn.load_tflite, None
    if not path.endswith(".tflite"):
        load, model = rknn.load_onnx, onnx.load(path)
        opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
        if opset > {_NEWEST_OPSET}:
            path = "lowered.onnx"
            onnx.save(version_converter.convert_version(model, {_NEWEST_OPSET}), path)
        sizes = [[axis.dim_value or 1 for axis in each.type.tensor_type.shape.dim] for each in model.graph.input]
    check("config", rknn.config(target_platform=task["platform"]))
    check("load", load(model=path))
    check("build", rknn.build(do_quantization=False))
    check("export", rknn.export_rknn(task["out"]))
    told["ran"] = sizes is not None and rknn.init_runtime() == 0
    if told["ran"]:
        zeros = [numpy.zeros(size, "float32") for size in sizes]
        told["ran"] = rknn.inference(inputs=zeros, data_format=["nchw"] * len(zeros)) is not None
    rknn.release()
print("\\n{_MARK}" + json.dumps(told))
"""


def version() -> str:
    """Return the version of rknn-toolkit2.

    Raises:
        MissingEngineError: it is not installed.
    """
    return str(_ask(_python(), {}, path=Path(PACKAGE))["version"])


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
    told = _ask(python, task, path=path, folder=folder)
    found = told["version"]
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
    notes = [f"The board needs librknnrt of the same version, {found}."]
    if told["ran"]:
        notes.append(f"It was run once in the simulator of {PACKAGE}.")
    return Compiled(files=(made,), report=report, notes=tuple(notes))


def _ask(python: str, task: dict[str, str], *, path: Path, folder: Path | None = None) -> dict[str, Any]:
    said = run_tool(
        [python, "-I", "-c", _PROGRAM, json.dumps(task)],
        title=f"Rockchip's compiler ({PACKAGE})",
        path=path,
        reasons=r"^[EW] load|^E |^\w*Error",
        folder=folder,
    )
    told = [line for line in said.splitlines() if line.startswith(_MARK)]
    if not told:
        raise EngineError(f"{PACKAGE} ended without an answer on {path}.\n  {said.strip()[-400:]}")
    answer: dict[str, Any] = json.loads(told[-1].removeprefix(_MARK))
    return answer


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

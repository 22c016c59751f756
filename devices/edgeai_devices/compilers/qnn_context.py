"""Qualcomm's Hexagon NPU (HTP): an ONNX file becomes a context binary, and a small ONNX file that holds its place.

ONNX Runtime's QNN provider compiles in a child process, on any x86-64 machine: its library has the compiler and a
simulator of the NPU. What was made is then loaded on the simulator and run once.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeai_devices.compilers.protocol import Compiled, CompileReport, LeftOnCpu, accelerator_for
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import MissingEngineError, ModelError, PlacementError
from edgeai_runtime.isolation import call_in_child

PACKAGE = "onnxruntime-qnn"
DELEGATE = "onnxruntime:qnn-htp"
_TIMEOUT_S = 3600


def version() -> str:
    """Return the version of the QNN provider.

    Raises:
        MissingEngineError: it is not installed.
    """
    try:
        importlib.metadata.version("onnxruntime")
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        hint = 'pip install "edgeai[qnn]" (Linux on x86-64)'
        raise MissingEngineError(f"Qualcomm's compiler ({PACKAGE}) is not installed.", hint=hint) from None


def compile_model(path: Path, *, profile: Profile | None, folder: Path) -> Compiled:
    """Compile an ONNX file; see the protocol.

    Raises:
        UsageError: the device has no Hexagon NPU.
        MissingEngineError: the QNN provider is not installed.
        ModelError: the compiler refuses the model or crashed on it, a shape is free, or what was made does not run.
    """
    target = accelerator_for(profile, "qnn").qnn
    assert target is not None, "a profile that names qnn has its table; checked when it was read"
    found = version()
    options = {"htp_arch": str(target.htp_arch)}
    if target.soc_model is not None:
        options["soc_model"] = str(target.soc_model)
    wrapper = folder / f"{path.stem}_ctx.onnx"
    what = f"{path} in Qualcomm's compiler"
    request = {"path": str(path.absolute()), "wrapper": str(wrapper), "options": options}
    module = "edgeai_devices.compilers.qnn_context"
    try:
        operations = call_in_child(f"{module}:make_context", request, timeout_s=_TIMEOUT_S, what=what)["operations"]
    except PlacementError as error:
        raise ModelError(
            f"Qualcomm's compiler cannot compile {path} for HTP v{target.htp_arch}: {error.message}",
            hint=error.hint or "`edgeai check MODEL --device ID` shows what the NPU accepts, and what would help.",
        ) from error
    call_in_child(f"{module}:run_context", request, timeout_s=_TIMEOUT_S, what=f"the compiled {path}")
    binaries = sorted(file for file in folder.iterdir() if file != wrapper)
    left: dict[str, list[str]] = {}
    for operation in operations:
        if operation["device"] != "npu":
            left.setdefault(operation["operator"], []).append(operation["name"])
    on_cpu = sum(map(len, left.values()))
    report = CompileReport(
        compiler="qnn",
        tool=PACKAGE,
        version=found,
        target=f"HTP v{target.htp_arch}",
        options=options,
        operators_on_accelerator=len(operations) - on_cpu,
        operators_on_cpu=on_cpu,
        left_on_cpu=tuple(LeftOnCpu(operator=name, outputs=tuple(labels)) for name, labels in left.items()),
        flash_bytes=sum(file.stat().st_size for file in (wrapper, *binaries)),
    )
    return Compiled(files=(wrapper, *binaries), report=report, notes=tuple(_notes(report)))


def make_context(request: Mapping[str, Any]) -> dict[str, Any]:
    """Compile as `compile_model` asks and return where each operation went; called in the child."""
    from edgeai_runtime.engines.table import get_engine

    options = {
        **request["options"],
        "ep.context_enable": "1",
        "ep.context_embed_mode": "0",
        "ep.context_file_path": request["wrapper"],
    }
    session = get_engine("onnxruntime").open(Path(request["path"]), delegate=DELEGATE, threads=1, options=options)
    placed = session.placement().operations
    return {"operations": [{"operator": one.op_type, "name": one.name, "device": one.device} for one in placed]}


def run_context(request: Mapping[str, Any]) -> None:
    """Run what was compiled once, on zeros, in the simulator; called in the child."""
    import numpy as np

    from edgeai_runtime.engines.table import get_engine

    engine = get_engine("onnxruntime")
    session = engine.open(Path(request["wrapper"]), delegate=DELEGATE, threads=1, options=request["options"])
    session.run([np.zeros([size or 1 for size in each.shape], each.dtype) for each in session.inputs])


def _notes(report: CompileReport) -> list[str]:
    notes = [f"It was run once in the simulator of {PACKAGE} {report.version}; use the same QNN on the device."]
    if report.left_on_cpu:
        names = ", ".join(f"{each.operator} ({len(each.outputs)})" for each in report.left_on_cpu)
        notes.append(f"The processor runs {report.operators_on_cpu} operators: {names}.")
    return notes

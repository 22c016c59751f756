"""OpenVINO blobs: a model compiled for an Intel NPU, or for the processor at hand, and written as one file.

The NPU's compiler is a library beside the NPU plugin, which OpenVINO's archives bring and its wheel does not; with it a
model is compiled on any machine, for the platform that the profile names. A blob is read by the version of OpenVINO
that wrote it. A blob for the processor is read by the same kind of processor, and saves the time of
compiling at the start of a program.
"""

from __future__ import annotations

import importlib.metadata
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeai_devices.compilers.protocol import Compiled, CompileReport, accelerator_for
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import EdgeAIError, MissingEngineError, ModelError
from edgeai_runtime.isolation import call_in_child

PACKAGE = "openvino"
_TIMEOUT_S = 3600
#: OpenVINO computes in bfloat16 where the processor can, and says so nowhere.
_OWN_PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}
_NO_COMPILER = "VCL compiler loading failed"


def version() -> str:
    """Return OpenVINO's version.

    Raises:
        MissingEngineError: it is not installed.
    """
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise MissingEngineError("OpenVINO is not installed.", hint='pip install "edgeai[openvino]"') from None


def compile_model(path: Path, *, profile: Profile | None, folder: Path) -> Compiled:
    """Compile an IR or ONNX file; without a profile, for the processor of this machine. See the protocol.

    Raises:
        UsageError: the device has no NPU that OpenVINO compiles for.
        MissingEngineError: OpenVINO or the NPU's compiler is not installed.
        ModelError: the compiler refuses the model or crashed on it.
    """
    found = version()
    device, options, model = "CPU", dict(_OWN_PRECISION), ""
    if profile is not None:
        accelerator = accelerator_for(profile, "openvino")
        device, model = "NPU", f", {accelerator.model}"
        assert accelerator.openvino is not None, "a profile that names openvino has its table; checked when it was read"
        options = {"NPU_PLATFORM": accelerator.openvino.platform}
    blob = folder / f"{path.stem}_{device.lower()}.blob"
    request = {"path": str(path.absolute()), "blob": str(blob), "device": device, "options": options}
    what = f"{path} in OpenVINO's compiler for {device}"
    told = call_in_child("edgeai_devices.compilers.openvino_blob:make_blob", request, timeout_s=_TIMEOUT_S, what=what)
    if "refused" in told:
        raise _error(path, device, told["refused"])
    report = CompileReport(
        compiler="openvino",
        tool=PACKAGE,
        version=found,
        target=f"{device}{model}",
        options=options,
        flash_bytes=blob.stat().st_size,
    )
    where = "this kind of processor" if device == "CPU" else "this NPU"
    notes = [f"OpenVINO {found} reads the blob, on {where}."]
    if not told["ran"]:
        notes.append("It was not run: this machine has no such device.")
    return Compiled(files=(blob,), report=report, notes=tuple(notes))


def _error(path: Path, device: str, said: str) -> EdgeAIError:
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("Exception from")]
    reason = "\n  ".join(lines)
    if _NO_COMPILER in said:
        return MissingEngineError(
            f"The compiler of Intel's NPUs is not installed, so {path} was not compiled.\n  {reason}",
            hint="OpenVINO's archive has it, its wheel does not; or compile on the device: its driver has it.",
        )
    return ModelError(f"OpenVINO cannot compile {path} for {device}:\n  {reason}")


def make_blob(request: Mapping[str, Any]) -> dict[str, Any]:
    """Compile and write the blob, or return what OpenVINO says; called in the child.

    Where the device is here, what was written is loaded again and run once on zeros.
    """
    import openvino

    device, options = request["device"], request["options"]
    stream = io.BytesIO()
    try:
        core = openvino.Core()
        core.compile_model(core.read_model(request["path"]), device, options).export_model(stream)
        ran = device in core.available_devices
        if ran:
            _run_once(openvino, core.import_model(stream.getvalue(), device, options))
    except RuntimeError as error:
        return {"refused": str(error)}
    Path(request["blob"]).write_bytes(stream.getvalue())
    return {"ran": ran}


def _run_once(openvino: Any, model: Any) -> None:
    inputs = []
    for port in model.inputs:
        shape = [axis.get_length() if axis.is_static else 1 for axis in port.get_partial_shape()]
        inputs.append(openvino.Tensor(port.get_element_type(), openvino.Shape(shape)))
    model.create_infer_request().infer(inputs)

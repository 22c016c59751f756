"""NVIDIA TensorRT through `trtexec`: an ONNX file becomes an engine for the GPU at hand.

An engine is for one kind of GPU and one version of TensorRT, so it is built on the device itself, where JetPack brings
`trtexec`, or on a machine with the same of both. Types are those of the model (strongly typed networks).
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from edgeai_devices.compilers.protocol import Compiled, CompileReport, accelerator_for
from edgeai_devices.compilers.tool_run import run_tool
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import EngineError, MissingEngineError

COMMAND = "trtexec"
_WHERE_JETPACK_HAS_IT = Path("/usr/src/tensorrt/bin/trtexec")
_VERSION = re.compile(r"\[TensorRT v(\d+)\]")


def version() -> str:
    """Return the version of TensorRT that `trtexec` tells.

    Raises:
        MissingEngineError: it is not installed.
    """
    return read_version(run_tool([_find(), "--help"], title=COMMAND, path=Path(COMMAND)))


def read_version(said: str) -> str:
    """Return the version in `[TensorRT v8501]` (8.5.1) or, since 10, `[TensorRT v100300]` (10.3.0) of a log."""
    found = _VERSION.search(said)
    if found is None:
        return "unknown"
    number, step = int(found[1]), 10 if len(found[1]) < 5 else 100
    return f"{number // (100 * step)}.{number // 100 % step}.{number % 100}"


def compile_model(path: Path, *, profile: Profile | None, folder: Path) -> Compiled:
    """Build an engine of an ONNX file on this machine's GPU; see the protocol.

    Raises:
        UsageError: the device has no GPU of NVIDIA's.
        MissingEngineError: `trtexec` is not installed.
        ModelError: it refuses the model, or finds no GPU.
    """
    accelerator = accelerator_for(profile, "tensorrt")
    engine = folder / f"{path.stem}.engine"
    options = {"stronglyTyped": "", "skipInference": ""}
    given = [f"--{name}" for name in options]
    said = run_tool(
        [_find(), f"--onnx={path.absolute()}", f"--saveEngine={engine}", *given],
        title="TensorRT (trtexec)",
        path=path,
        hint="It builds on a machine with the same GPU and the same TensorRT as the device.",
    )
    if not engine.is_file():
        raise EngineError(f"trtexec ended well and wrote no engine of {path}.\n  {said.strip()[-400:]}")
    report = CompileReport(
        compiler="tensorrt",
        tool=COMMAND,
        version=read_version(said),
        target=accelerator.model,
        options=options,
        flash_bytes=engine.stat().st_size,
    )
    note = f"It runs on the kind of GPU that it was built on, with TensorRT {report.version}."
    return Compiled(files=(engine,), report=report, notes=(note,))


def _find() -> str:
    found = shutil.which(COMMAND)
    if found is None and _WHERE_JETPACK_HAS_IT.is_file():
        found = str(_WHERE_JETPACK_HAS_IT)
    if found is None:
        raise MissingEngineError(
            f"NVIDIA's compiler ({COMMAND} of TensorRT) is not installed.",
            hint="Run it on the device: JetPack brings it. Elsewhere, install TensorRT beside a GPU of the same kind.",
        )
    return found

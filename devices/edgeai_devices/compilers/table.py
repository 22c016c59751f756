"""The table of compilers, and the one function that runs one: into a folder beside, then each file renamed."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from edgeai_devices.compilers.protocol import Compiled, CompilerModule, CompilerSpec
from edgeai_devices.profile import Profile
from edgeai_runtime.atomic import output_error
from edgeai_runtime.engines.artifact_file import check_artifact_file, format_of
from edgeai_runtime.errors import ModelError, OutputError, UsageError

OnStep = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, what begins now)."""

_BY_EXPORT = "`edgeai export MODEL --to` makes it of any model."
_FOLDER = "edgeai_devices.compilers"

COMPILERS: dict[str, CompilerSpec] = {
    spec.name: spec
    for spec in (
        CompilerSpec(
            name="vela",
            export="ethos-u",
            title="Arm Vela, for Ethos-U55, U65 and U85",
            formats=("tflite",),
            module=f"{_FOLDER}.vela",
            extra="vela",
        ),
        CompilerSpec(
            name="qnn",
            export="qnn-context",
            title="Qualcomm QNN, for the Hexagon NPU",
            formats=("onnx",),
            module=f"{_FOLDER}.qnn_context",
            extra="qnn",
            verified="emulated",
        ),
        CompilerSpec(
            name="openvino",
            export="openvino-blob",
            title="OpenVINO, for Intel NPUs and the processor at hand",
            formats=("openvino", "onnx"),
            module=f"{_FOLDER}.openvino_blob",
            needs_profile=False,
            extra="openvino",
            verified="device",
        ),
        CompilerSpec(
            name="coreml",
            export="coreml",
            title="Apple Core ML",
            formats=("onnx",),
            reads=".pt2",
            module=f"{_FOLDER}.coreml",
            needs_profile=False,
            extra="coreml",
        ),
        CompilerSpec(
            name="edgetpu",
            export="edgetpu",
            title="Google's Edge TPU compiler",
            formats=("tflite",),
            module=f"{_FOLDER}.edgetpu",
        ),
        CompilerSpec(
            name="tensorrt",
            export="tensorrt",
            title="NVIDIA TensorRT",
            formats=("onnx",),
            module=f"{_FOLDER}.tensorrt",
        ),
        CompilerSpec(
            name="rknn",
            export="rknn",
            title="Rockchip RKNN, for Rockchip NPUs",
            formats=("onnx", "tflite"),
            module=f"{_FOLDER}.rknn",
            verified="emulated",
        ),
    )
}
"""By the names that profiles use."""


def find_compiler(name: str) -> CompilerSpec:
    """Return the compiler of this name, or of what `edgeai export --to` calls its results.

    Raises:
        UsageError: there is none; the nearest name is offered.
    """
    by_export = {spec.export: spec for spec in COMPILERS.values()}
    found = COMPILERS.get(name) or by_export.get(name)
    if found is not None:
        return found
    close = get_close_matches(name.lower(), [*COMPILERS, *by_export], n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(by_export)}."
    raise UsageError(f"There is no compiler {name!r}.", hint=hint)


def load_compiler(spec: CompilerSpec) -> CompilerModule:
    """Return the module that drives a compiler; the compiler itself is not loaded."""
    return cast(CompilerModule, importlib.import_module(spec.module))


def compile_artifact(
    path: Path,
    *,
    compiler: str,
    profile: Profile | None,
    out: Path,
    force: bool = False,
    on_step: OnStep | None = None,
) -> Compiled:
    """Compile an artifact for the accelerator of a device.

    Args:
        path: in one of the formats that the compiler reads; a file of `CompilerSpec.reads` where that is set.
        compiler: a name of the table, or of an export.
        profile: the device; `None` where the compiler needs none.
        out: folder of the results; made when it is not there.
        force: replace files of the same names.
        on_step: called with what begins.

    Returns:
        The files in `out`, and the compiler's report.

    Raises:
        UsageError: an unknown compiler, or a device without an accelerator for it.
        MissingEngineError: the compiler is not installed, or not to be had on this machine.
        ModelError: no such file, or the compiler refuses the model.
        OutputError: a file of the result is there already, or cannot be written.
    """
    spec = find_compiler(compiler)
    _check_format(path, spec)
    module = load_compiler(spec)
    if on_step:
        on_step(0, 2, f"compile with {spec.name}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out) as made:
            compiled = module.compile_model(path, profile=profile, folder=Path(made))
            if on_step:
                on_step(1, 2, "write")
            files = _move(compiled.files, Path(made), out, force=force)
    except OSError as error:
        raise output_error(out, error) from error
    return replace(compiled, files=files)


def _check_format(path: Path, spec: CompilerSpec) -> None:
    if spec.reads:
        if path.suffix != spec.reads or not path.is_file():
            raise ModelError(f"{spec.title} is given a {spec.reads} file. Received: {path}", hint=_BY_EXPORT)
        return
    found = format_of(path)
    if found not in spec.formats:
        hint = f"edgeai convert MODEL --to {spec.formats[0]}"
        raise ModelError(f"{path} is {found}; {spec.title} reads {' or '.join(spec.formats)}.", hint=hint)
    check_artifact_file(path, found)


def _move(files: tuple[Path, ...], made: Path, out: Path, *, force: bool) -> tuple[Path, ...]:
    targets = tuple(out / file.relative_to(made) for file in files)
    there = [target for target in targets if target.exists()]
    if there and not force:
        raise OutputError(f"{there[0]} exists already.", hint="Use --force to replace it.")
    for file, target in zip(reversed(files), reversed(targets), strict=True):  # the first, which names the others, last
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        file.replace(target)
    return targets

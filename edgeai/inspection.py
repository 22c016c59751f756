"""`edgeai.inspect`: what is in a model file or bundle, without running it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

from edgeai_converters.inspection.record import Inspection
from edgeai_converters.inspection.table import inspect_artifact
from edgeai_runtime.errors import ModelError, UsageError
from edgeai_runtime.manifest import Variant

__all__ = ["Inspection", "inspect"]


def inspect(path: str | os.PathLike[str]) -> Inspection:
    """Say what is in a `.tflite`, `.onnx` or OpenVINO `.xml` model, or in a bundle (each of its variants).

    The kind is determined by the content, not the suffix. No engine is needed and nothing is run.

    Args:
        path: the file, or the folder of an unpacked bundle.

    Raises:
        UsageError: nothing is there.
        ModelError: empty, damaged or foreign content, or a kind that is not inspected.
        BundleError: a bundle that is damaged or was changed.

    Example:
        >>> edgeai.inspect("model.edge").macs  # doctest: +SKIP
        12501632
    """
    from edgeai_runtime.bundle import is_bundle

    file = Path(path)
    if not file.exists():
        raise UsageError(f"There is no file {file}.")
    if is_bundle(file) or file.suffix.lower() == ".edge":  # what claims to be one gets the error of one
        return _inspect_bundle(file)
    return inspect_artifact(file, format_of(file))


def _inspect_bundle(path: Path) -> Inspection:
    from edgeai_runtime.bundle import open_bundle
    from edgeai_runtime.manifest_checks import stage_folder

    bundle = open_bundle(path)
    variants = []
    for variant in bundle.manifest.variants:
        if variant.encryption is None:
            found = inspect_artifact(bundle.file(variant.files[0]), variant.format)
        else:
            found = _inspect_encrypted(variant)
        size = sum(entry.size_bytes for entry in variant.files)
        variants.append(replace(found, id=variant.id, declared_precision=variant.precision, size_bytes=size))
    pipeline = bundle.manifest.pipeline
    for stage in pipeline.stages if pipeline is not None else ():
        inner = _inspect_bundle(bundle.root / stage_folder(stage))
        variants += [replace(one, id=f"{stage.name}/{one.id}") for one in inner.variants]
    if not variants:
        raise ModelError(f"The bundle {path} has no variants.")
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return replace(
        variants[0],
        format="bundle",
        inputs=bundle.manifest.inputs,
        outputs=bundle.manifest.outputs,
        size_bytes=sum(each.stat().st_size for each in files),
        id=None,
        declared_precision=None,
        variants=tuple(variants),
    )


def _inspect_encrypted(variant: Variant) -> Inspection:
    """Return what the manifest says of a variant whose files nobody can look into."""
    return Inspection(
        format=variant.format,
        inputs=variant.inputs,
        outputs=variant.outputs,
        operators={},
        parameters=0,
        macs=sum(variant.macs.values()) or None,
        size_bytes=0,
        precision=variant.precision,
        notes=("It is encrypted: this is what the manifest states; operators and parameters are not visible.",),
    )


def format_of(path: Path) -> Literal["tflite", "onnx", "openvino"]:
    """Tell the format by the first bytes; ONNX has no mark of its own and is what is left with its suffix."""
    if path.is_dir():
        raise ModelError(f"{path} is a folder without manifest.json: no bundle.", hint="Give a model file or a bundle.")
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise ModelError(f"{path} is empty.", hint="Copy or download it again.")
    if head[4:8] == b"TFL3" or path.suffix.lower() == ".tflite":
        return "tflite"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") or path.suffix.lower() == ".xml":
        return "openvino"
    if path.suffix.lower() == ".onnx":
        return "onnx"
    hint = "Sources such as .keras and .pt2 are converted first: edgeai convert MODEL --to onnx."
    raise ModelError(f"{path} is no .tflite, .onnx or OpenVINO .xml model and no bundle.", hint=hint)

"""What another tool wrote, held against the boundary that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.inspection.openvino import inspect_openvino
from edgeai_converters.inspection.tflite import inspect_tflite
from edgeai_runtime.errors import UnsupportedOperationError
from edgeai_runtime.manifest import Format, TensorSpec


def describe_artifact(
    path: Path, format: Format, *, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], notes: tuple[str, ...]
) -> Artifact:
    """Return the artifact at `path`, with shapes as they are in the file and names and layouts of the source.

    Args:
        path: what a tool wrote.
        format: `tflite` or `openvino`.
        inputs: what was asked for, in order.
        outputs: likewise.
        notes: what the tool said.

    Raises:
        UnsupportedOperationError: a dimension that was asked to be fixed is free or another.
    """
    found = inspect_openvino(path) if format == "openvino" else inspect_tflite(path)
    return Artifact(
        format=format,
        files=(path, path.with_suffix(".bin")) if format == "openvino" else (path,),
        inputs=_checked(inputs, found.inputs),
        outputs=_checked(outputs, found.outputs),
        operators=found.operators,
        notes=notes,
    )


def _checked(wanted: Sequence[TensorSpec], found: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    by_name = {spec.name: spec for spec in found}
    own = [by_name.get(spec.name, other) for spec, other in zip(wanted, found, strict=True)]
    specs = []
    for spec, other in zip(wanted, own, strict=True):
        fits = len(spec.shape) == len(other.shape) and all(
            size in (None, got) for size, got in zip(spec.shape, other.shape, strict=True)
        )
        if not fits:
            raise UnsupportedOperationError(
                f"The tool gave {spec.name!r} the shape {list(other.shape)} instead of {list(spec.shape)}."
            )
        specs.append(replace(other, name=spec.name, layout=spec.layout))
    return tuple(specs)

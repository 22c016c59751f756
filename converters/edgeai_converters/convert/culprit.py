"""Which tensor of an artifact is wrong first: bisection with our own emitters and the artifact's own engine.

An ONNX artifact gets inner outputs. TFLite and OpenVINO have no way to ask for inner tensors that survives their
fusions, so parts of the graph are written and run instead.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnx_ir as ir

from edgeai_converters.convert.gates import TOLERANCES, run_artifact
from edgeai_converters.convert.write import write_graph
from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.graph.bisect import Culprit, RunPrefix, bisect, take_prefix
from edgeai_converters.graph.boundary import input_specs, output_specs
from edgeai_converters.graph.execute import model_size
from edgeai_runtime.errors import EdgeAIError, ModelError
from edgeai_runtime.manifest import Format, Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

LARGEST = 200_000_000
"""Bytes of constants above which no bisection is made: each of its runs writes a part of the model."""


def find_culprit(
    model: ir.Model, artifact: Artifact, inputs: Mapping[str, NDArray[Any]], *, precision: Precision, folder: Path
) -> Culprit | None:
    """Return the first wrong tensor of an artifact that our own route wrote; `None` when it cannot be determined.

    Args:
        model: the simplified float graph that the artifact was made from.
        artifact: what was written.
        inputs: what it was run on, by name.
        precision: how its weights are stored.
        folder: an existing folder for parts of the model.
    """
    if model_size(model) > LARGEST:
        return None
    with tempfile.TemporaryDirectory(dir=folder) as place:
        if artifact.format == "onnx":
            run = _inner_outputs(artifact, model, inputs, Path(place))
        else:
            run = _written_prefixes(model, artifact.format, inputs, precision, Path(place))
        tolerance = TOLERANCES[precision]
        try:
            return bisect(model, run, inputs=inputs, max_rel=tolerance.max_rel, min_cosine=tolerance.min_cosine)
        except EdgeAIError as error:
            logger.info("the bisection failed: %s", error)
            return None


def _inner_outputs(artifact: Artifact, model: ir.Model, inputs: Mapping[str, NDArray[Any]], folder: Path) -> RunPrefix:
    """Return a function that runs the artifact's own file with inner values for outputs."""
    proto = onnx.load(str(artifact.path))
    written = {name for node in proto.graph.node for name in node.output}
    specs = {value.name: value for value in take_all(model)}

    def run(names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        missing = [name for name in names if name not in written]
        if missing:
            raise ModelError(f"The artifact has no value {missing[0]!r}.")
        del proto.graph.output[:]
        proto.graph.output.extend(_value_info(specs[name]) for name in names)
        path = folder / "inner.onnx"
        path.write_bytes(proto.SerializeToString())
        outputs = output_specs(take_prefix(model, names))
        return run_artifact(replace(artifact, files=(path,), outputs=outputs), inputs)

    return run


def _written_prefixes(
    model: ir.Model, format: Format, inputs: Mapping[str, NDArray[Any]], precision: Precision, folder: Path
) -> RunPrefix:
    """Return a function that writes the part of the graph up to some values and runs it."""

    def run(names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        part = take_prefix(model, names)
        used = {spec.name: inputs[spec.name] for spec in input_specs(part)}
        return run_artifact(write_graph(part, format, folder, precision=precision, stem="part"), used)

    return run


def take_all(model: ir.Model) -> list[ir.Value]:
    """Return every named value that a node of the graph writes."""
    return [value for node in model.graph for value in node.outputs if value.name]


def _value_info(value: ir.Value) -> onnx.ValueInfoProto:
    return ir.serde.serialize_value(value)

"""ONNX as a source: the file is run as it is in a child process, then raised to the graph's opset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google.protobuf.message  # type: ignore[import-untyped]
import numpy as np
import onnx
import onnx.checker
import onnx.external_data_helper

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.shapes import BATCH, fix_shapes
from edgeai_converters.sources.child import run_in_child
from edgeai_converters.sources.imported import Imported
from edgeai_converters.sources.probe import load_arrays, probe_linked_inputs, save_arrays
from edgeai_converters.sources.symbolic_sizes import Dim, is_expression
from edgeai_runtime.errors import EdgeAIError, MissingEngineError, ModelError
from edgeai_runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")


def import_onnx(
    source: Path,
    *,
    workdir: Path,
    samples: Mapping[str, NDArray[Any]] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
) -> Imported:
    """Bring an ONNX file to the graph, with the outputs of ONNX Runtime on the file itself.

    Args:
        source: the file; external data is read from beside it.
        workdir: an existing folder for probe files and the log of the child.
        samples: arrays `[n, …]` ready for the model, by input name; drawn when not given.
        input_shapes: shapes by input name for free dimensions.
        seed: seed of drawn inputs.

    Raises:
        ModelError: the file is cut off, damaged, no ONNX model, or ONNX Runtime does not run it.
        DataError: samples that do not fit.
    """
    shapes = dict(input_shapes or {})
    proto = _load(source)
    _check_boundary(proto, source)
    inputs, _ = probe_linked_inputs(
        _specs(proto), dims=_dims(proto), limits={}, samples=samples, input_shapes=shapes, seed=seed
    )
    names = save_arrays(workdir / "probe_inputs.npz", inputs)
    request = {"path": str(source.resolve()), "folder": str(workdir.resolve()), "inputs": names}
    try:
        answer = run_in_child(
            "edgeai_converters.sources.onnx:run_file", request, workdir=workdir, what=f"ONNX Runtime reading {source}"
        )
    except ModelError as error:
        free = [spec.name for spec in _specs(proto) if None in spec.shape[1:] and spec.name not in shapes]
        if free:
            raise type(error)(error.message, hint=f"Input {free[0]!r} has free dimensions; give its shape.") from error
        raise
    model = fix_shapes(prepare_graph(proto, what=str(source)), shapes)
    return Imported(
        kind="onnx",
        model=model,
        probe_inputs=inputs,
        probe_outputs=load_arrays(workdir / "probe_outputs.npz", answer["outputs"]),
        route=("onnx",),
    )


def run_file(request: dict[str, Any]) -> dict[str, Any]:
    """Check and run an ONNX file; the task of the child process.

    Args:
        request: `path` of the file, `folder` with `probe_inputs.npz`, names of the `inputs`.
    """
    path, folder = Path(request["path"]), Path(request["folder"])
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise ModelError(
            f"{path} is no valid ONNX model: {str(error).strip().splitlines()[0]}", hint="Export it again."
        ) from error
    try:
        outputs = GraphRunner(path).run(load_arrays(folder / "probe_inputs.npz", request["inputs"]))
    except MissingEngineError:
        raise
    except EdgeAIError as error:
        raise ModelError(
            f"{path} does not run in ONNX Runtime: {error.message}", hint=error.hint or "Export it again."
        ) from error
    return {"outputs": save_arrays(folder / "probe_outputs.npz", outputs)}


def _load(source: Path) -> onnx.ModelProto:
    """Read the file and its external data, without any engine."""
    try:
        proto = onnx.load(str(source), load_external_data=False)
    except (google.protobuf.message.DecodeError, OSError) as error:
        raise ModelError(f"{source} cannot be read as ONNX: {error}", hint="Copy or export it again.") from error
    try:
        onnx.external_data_helper.load_external_data_for_model(proto, str(source.resolve().parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"{source} keeps weights in another file that cannot be read: {error}",
            hint="Copy the .onnx file together with its data file.",
        ) from error
    return proto


def _check_boundary(proto: onnx.ModelProto, source: Path) -> None:
    if not proto.graph.node or not proto.graph.output:
        raise ModelError(f"{source} has no operations or no outputs.", hint="Export it again.")
    foreign = {node.domain for node in proto.graph.node} - set(_KNOWN_DOMAINS)
    local = {function.domain for function in proto.functions}
    if foreign - local:
        raise ModelError(
            f"{source} uses operators of the domain {sorted(foreign - local)[0]!r}, which no engine here has.",
            hint="Export it with standard ONNX operators.",
        )
    for value in proto.graph.input:
        if not value.type.HasField("tensor_type"):
            raise ModelError(f"{source}: the input {value.name!r} is no tensor.", hint="Only tensors are supported.")


def _specs(proto: onnx.ModelProto) -> list[TensorSpec]:
    constants = {tensor.name for tensor in proto.graph.initializer}
    return [_spec(value) for value in proto.graph.input if value.name not in constants]


def _dims(proto: onnx.ModelProto) -> dict[str, tuple[Dim, ...]]:
    """Return the dimensions of each input: those of one name are one size, the first without a name is the batch."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    shapes = {v.name: v.type.tensor_type.shape.dim for v in proto.graph.input if v.name not in constants}
    aliases: dict[str, str] = {}

    def dim(name: str, axis: int, given: Any) -> Dim:
        if given.HasField("dim_value") and given.dim_value > 0:
            return int(given.dim_value)
        if not given.dim_param:
            return BATCH if axis == 0 else f"free_{list(shapes).index(name)}_{axis}"
        word = str(given.dim_param)
        return word if is_expression(word) else aliases.setdefault(word, f"named_{len(aliases)}")

    return {name: tuple(dim(name, axis, given) for axis, given in enumerate(dims)) for name, dims in shapes.items()}


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in tensor.shape.dim
    )
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    return TensorSpec(name=value.name, shape=shape, dtype=dtype)

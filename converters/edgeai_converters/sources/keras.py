"""Keras as a source: `.keras` and `.h5` files (Keras 2 files too) in a child process, live models in this one.

Keras → tf2onnx → the graph. Inputs keep the layout they have in Keras (NHWC for images). The source's answers are
those of `model(x, training=False)`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from edgeai_converters.graph.prepare import OPSET, prepare_graph
from edgeai_converters.graph.shapes import fix_shapes
from edgeai_converters.require import require
from edgeai_converters.sources.child import run_in_child
from edgeai_converters.sources.imported import Imported
from edgeai_converters.sources.probe import load_arrays, probe_inputs, run_in_pieces, save_arrays
from edgeai_runtime.errors import ModelError
from edgeai_runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXTRA = "keras"
_INPUT = "edgeai_input_"


def import_keras(
    source: Path | object,
    *,
    workdir: Path,
    samples: Mapping[str, NDArray[Any]] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
) -> Imported:
    """Bring a Keras file or live model to the graph, with Keras's own outputs.

    Args:
        source: a `.keras` or `.h5` file, or a live model (not changed).
        workdir: an existing folder for the ONNX file, probe files and the log.
        samples: arrays `[n, …]` ready for the model, by input name; drawn when not given.
        input_shapes: shapes by input name for free dimensions.
        seed: seed of drawn inputs.

    Raises:
        ModelError: Keras can not read the file, or tf2onnx can not convert the model.
        MissingEngineError: TensorFlow, Keras or tf2onnx is not installed.
    """
    shapes = {name: [int(size) for size in shape] for name, shape in (input_shapes or {}).items()}
    sample_names = save_arrays(workdir / "samples.npz", samples) if samples is not None else None
    request = {"folder": str(workdir.resolve()), "samples": sample_names, "input_shapes": shapes, "seed": seed}
    if isinstance(source, Path):
        request["path"] = str(source.resolve())
        answer = run_in_child(
            "edgeai_converters.sources.keras:convert_file", request, workdir=workdir, what=f"Keras reading {source}"
        )
    else:
        answer = convert_model(source, request)
    proto = onnx.load(str(workdir / "keras.onnx"))
    _rename_boundary(proto, answer["inputs"], answer["outputs"])
    return Imported(
        kind="keras",
        model=fix_shapes(prepare_graph(proto, what="the Keras model"), shapes),
        probe_inputs=load_arrays(workdir / "probe_inputs.npz", answer["inputs"]),
        probe_outputs=load_arrays(workdir / "probe_outputs.npz", answer["outputs"]),
        route=("keras", "tf2onnx"),
    )


def convert_file(request: dict[str, Any]) -> dict[str, Any]:
    """Load a Keras file and convert it; the task of the child process."""
    path = request["path"]
    require("tensorflow", extra=_EXTRA)
    keras = require("keras", extra=_EXTRA)
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever the file provokes: OSError, TypeError, ValueError …
        raise ModelError(
            f"Keras {keras.__version__} can not read {path}: {type(error).__name__}: {_first_line(error)}",
            hint="Copy a damaged file again; give a model with custom layers as a live object, or as ONNX.",
        ) from error
    return convert_model(model, request)


def convert_model(model: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Run a live model on probe inputs and write it as ONNX.

    Args:
        model: a built Keras model.
        request: `folder` (written: `keras.onnx`, `probe_inputs.npz`, `probe_outputs.npz`), `samples` (names in
            `samples.npz` or `None`), `input_shapes`, `seed`.

    Returns:
        `inputs` and `outputs`: the names, in the order of the model.
    """
    folder = Path(request["folder"])
    tensorflow = require("tensorflow", extra=_EXTRA)
    tf2onnx = require("tf2onnx", extra=_EXTRA)
    samples = load_arrays(folder / "samples.npz", request["samples"]) if request["samples"] else None
    specs = _specs(model)
    inputs = probe_inputs(specs, samples=samples, input_shapes=request["input_shapes"], seed=request["seed"])
    flatten = require("keras", extra=_EXTRA).tree.flatten

    def answer(*tensors: Any) -> list[Any]:
        return list(flatten(model(tensors[0] if len(tensors) == 1 else list(tensors), training=False)))

    def call(feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        return [np.asarray(item) for item in answer(*(tensorflow.constant(array) for array in feed.values()))]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = dict(zip(_output_names(model), run_in_pieces(specs, inputs, call), strict=True))
        signature = [tensorflow.TensorSpec(spec.shape, spec.dtype, f"{_INPUT}{i}") for i, spec in enumerate(specs)]
        traced = tensorflow.function(answer)
        try:
            handlers: dict[str, Any] = {"Erfc": (_write_erfc, [])}
            proto, _ = tf2onnx.convert.from_function(traced, signature, opset=OPSET, custom_op_handlers=handlers)
            _hold_captured(proto, traced.get_concrete_function(*signature))
        except Exception as error:  # tf2onnx raises whatever the graph provokes
            raise ModelError(
                f"tf2onnx can not convert the Keras model: {type(error).__name__}: {_first_line(error)}",
                hint="Export the model to ONNX by other means and give that file.",
            ) from error
    (folder / "keras.onnx").write_bytes(proto.SerializeToString())
    return {
        "inputs": save_arrays(folder / "probe_inputs.npz", inputs),
        "outputs": save_arrays(folder / "probe_outputs.npz", outputs),
    }


def _specs(model: Any) -> list[TensorSpec]:
    tensors = getattr(model, "inputs", None)
    if not tensors:
        raise ModelError(
            "The Keras model has no inputs: it was never built.",
            hint="Call it once, or give an Input layer, then save.",
        )
    return [
        TensorSpec(name=_name(tensor), shape=tuple(tensor.shape), dtype=np.dtype(str(tensor.dtype)).name)
        for tensor in tensors
    ]


def _name(tensor: Any) -> str:
    """Return the name of an input or output: the tensor's, or its layer's where Keras just numbered the tensor."""
    name = str(tensor.name).split(":")[0]
    history = getattr(tensor, "_keras_history", None)
    return str(history.operation.name) if name.startswith("keras_tensor") and history is not None else name


def _output_names(model: Any) -> list[str]:
    """Return one name per output tensor: Keras's own, numbered where they repeat."""
    names = [str(name) for name in getattr(model, "output_names", None) or []]
    if len(names) != len(model.outputs):
        names = [_name(tensor).split("/")[0] for tensor in model.outputs]
    taken = {_name(tensor) for tensor in model.inputs}
    unique = []
    for name in names:
        fresh, i = name, 0
        while fresh in taken:
            i += 1
            fresh = f"{name}_{i}"
        taken.add(fresh)
        unique.append(fresh)
    return unique


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:500]


def _write_erfc(context: Any, node: Any, name: str, args: Any) -> None:
    """Write `Erfc(x)` as `1 - Erf(x)`: tf2onnx passes the operator through, and ONNX has none."""
    node.type = "Erf"
    output = node.output[0]
    one = context.make_const(f"{name}_one", np.float32(1).reshape(()))
    shape, dtype = context.get_shape(output), context.get_dtype(output)
    difference = context.make_node("Sub", [one.output[0], output], shapes=[shape], dtypes=[dtype])
    readers = [reader for reader in context.get_nodes() if reader.name != difference.name]
    context.replace_all_inputs(output, difference.output[0], ops=readers)


def _hold_captured(proto: onnx.ModelProto, concrete: Any) -> None:
    """Make constants of the tensors that a traced function holds (such as the mean of a Normalization layer), in place.

    tf2onnx knows variables only, and takes other captured tensors for inputs.
    """
    captured = {inner.name.split(":")[0]: outer for outer, inner in concrete.graph.captures}
    for value in tuple(proto.graph.input):
        name = value.name.split(":")[0]
        if name in captured and not name.startswith(_INPUT):
            array = np.asarray(captured[name])
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
            proto.graph.input.remove(value)


def _rename_boundary(proto: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Give the graph's inputs (named `edgeai_input_<i>`) and outputs (by position) Keras's names, in place."""
    graph = proto.graph
    renames = {}
    for value in graph.input:
        index = int(value.name.split(":")[0].removeprefix(_INPUT))
        renames[value.name] = inputs[index]
    renames.update(zip((value.name for value in graph.output), outputs, strict=True))
    fresh = set(renames.values())
    for node in graph.node:  # an inner value that has a name we need steps aside
        for name in node.output:
            if name in fresh and name not in renames:
                renames[name] = f"{name}_inner"
    for node in graph.node:
        node.input[:] = [renames.get(name, name) for name in node.input]
        node.output[:] = [renames.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = renames.get(value.name, value.name)

"""Keras as a source: `.keras` and `.h5` files (Keras 2 files too) in a child process, live models in this one.

Keras → tf2onnx → the graph, or, where that fails, Keras → TensorFlow's TFLite converter → our reader. Inputs keep
the layout they have in Keras (NHWC for images). The source's answers are those of `model(x, training=False)`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from edgeai_converters.graph.free_names import take_name
from edgeai_converters.graph.prepare import OPSET
from edgeai_converters.graph.shapes import fix_shapes
from edgeai_converters.graph.space_to_batch import add_functions
from edgeai_converters.require import require
from edgeai_converters.sources.child import run_in_child
from edgeai_converters.sources.imported import Imported
from edgeai_converters.sources.keras_file import load_keras_file
from edgeai_converters.sources.probe import load_arrays, probe_inputs, run_in_pieces, save_arrays
from edgeai_converters.sources.tensorflow import ONNX_FILE, bring_answer
from edgeai_converters.sources.tensorflow_frozen import Frozen, first_line, freeze_function, write_frozen
from edgeai_converters.sources.tf2onnx_handlers import HANDLERS
from edgeai_converters.sources.ways import ways_of
from edgeai_runtime.errors import ModelError, UnsupportedOperationError
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
    way: str = "tf2onnx",
) -> Imported:
    """Bring a Keras file or live model to the graph, with Keras's own outputs.

    Args:
        source: a `.keras` or `.h5` file, or a live model (not changed).
        workdir: an existing folder for the ONNX file, probe files and the log.
        samples: arrays `[n, …]` ready for the model, by input name; drawn when not given.
        input_shapes: shapes by input name for free dimensions.
        seed: seed of drawn inputs.
        way: `tf2onnx` or `tflite`.

    Raises:
        ModelError: Keras cannot read the file.
        UnsupportedOperationError: this way does not lead to the graph.
        MissingEngineError: TensorFlow, Keras or tf2onnx is not installed.
    """
    shapes = {name: [int(size) for size in shape] for name, shape in (input_shapes or {}).items()}
    sample_names = save_arrays(workdir / "samples.npz", samples) if samples is not None else None
    request = {"folder": str(workdir.resolve()), "samples": sample_names, "input_shapes": shapes, "seed": seed}
    request["way"] = way
    if isinstance(source, Path):
        request["path"] = str(source.resolve())
        answer = run_in_child(
            "edgeai_converters.sources.keras:convert_file", request, workdir=workdir, what=f"Keras reading {source}"
        )
    else:
        answer = convert_model(source, request)
    return Imported(
        kind="keras",
        model=fix_shapes(bring_answer(workdir, answer, way, what="the Keras model"), shapes),
        probe_inputs=load_arrays(workdir / "probe_inputs.npz", answer["inputs"]),
        probe_outputs=load_arrays(workdir / "probe_outputs.npz", answer["outputs"]),
        route=next(entry.steps for entry in ways_of("keras") if entry.name == way),
        notes=tuple(answer["notes"]),
    )


def convert_file(request: dict[str, Any]) -> dict[str, Any]:
    """Load a Keras file and convert it; the task of the child process."""
    require("tensorflow", extra=_EXTRA)
    model, notes = load_keras_file(Path(request["path"]), workdir=Path(request["folder"]))
    answer = convert_model(model, request)
    return {**answer, "notes": [*notes, *answer["notes"]]}


def convert_model(model: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Run a live model on probe inputs and write it as ONNX.

    Args:
        model: a built Keras model.
        request: `folder` (written: `source.onnx` or `source.tflite`, `probe_inputs.npz`, `probe_outputs.npz`),
            `samples` (names in `samples.npz` or `None`), `input_shapes`, `seed`, `way`.

    Returns:
        `inputs` and `outputs`: the names, in the order of the model; `feeds`: the inputs' names in the ONNX file;
        `notes`.
    """
    folder = Path(request["folder"])
    tensorflow = require("tensorflow", extra=_EXTRA)
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
        if request["way"] == "tflite":
            notes = _write_tflite(tensorflow, answer, specs, list(outputs), folder)
            feeds = []
        else:
            notes = []
            feeds = _write_onnx(tensorflow, answer, specs, folder)
    return {
        "inputs": save_arrays(folder / "probe_inputs.npz", inputs),
        "outputs": save_arrays(folder / "probe_outputs.npz", outputs),
        "feeds": feeds,
        "notes": notes,
    }


def _write_onnx(tensorflow: Any, answer: Callable[..., Any], specs: Sequence[TensorSpec], folder: Path) -> list[str]:
    """Write a model's function as ONNX, and return the names of its inputs there, in the order of the model."""
    tf2onnx = require("tf2onnx", extra=_EXTRA)
    traced = tensorflow.function(answer)
    signature = [tensorflow.TensorSpec(spec.shape, spec.dtype, f"{_INPUT}{i}") for i, spec in enumerate(specs)]
    try:
        proto, _ = tf2onnx.convert.from_function(traced, signature, opset=OPSET, custom_op_handlers=HANDLERS)
        _hold_captured(proto, traced.get_concrete_function(*signature))
        add_functions(proto)
    except Exception as error:  # tf2onnx raises whatever the graph provokes
        raise UnsupportedOperationError(
            f"tf2onnx cannot convert the Keras model: {type(error).__name__}: {first_line(error)}",
            hint="Export the model to ONNX by other means and give that file.",
        ) from error
    (folder / ONNX_FILE).write_bytes(proto.SerializeToString())
    by_number = {int(value.name.split(":")[0].removeprefix(_INPUT)): value.name for value in proto.graph.input}
    return [by_number[i] for i in range(len(by_number))]


def _write_tflite(
    tensorflow: Any, answer: Callable[..., Any], specs: Sequence[TensorSpec], outputs: Sequence[str], folder: Path
) -> list[str]:
    """Write a model's function as TFLite, with a batch of 1 where a free one does not convert (recurrent layers)."""

    def freeze(shapes: Sequence[tuple[int | None, ...]]) -> Frozen:
        pairs = enumerate(zip(specs, shapes, strict=True))
        signature = [tensorflow.TensorSpec(shape, spec.dtype, f"{_INPUT}{i}") for i, (spec, shape) in pairs]
        traced = tensorflow.function(answer)  # anew: one that was traced with a free batch serves a batch of 1 as well
        return freeze_function(traced.get_concrete_function(*signature), specs, outputs)

    shapes = [spec.shape for spec in specs]
    ones = [(1, *shape[1:]) if shape and shape[0] is None else shape for shape in shapes]
    return write_frozen(freeze(shapes), folder, way="tflite", single=lambda: freeze(ones) if ones != shapes else None)


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
    return [take_name(name, taken) for name in names]


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

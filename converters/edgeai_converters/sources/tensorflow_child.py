"""Reading a SavedModel or a frozen graph with TensorFlow: the tasks of the child process."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_converters.require import require
from edgeai_converters.sources.frozen_boundary import find_boundary
from edgeai_converters.sources.probe import load_arrays, probe_inputs, run_in_pieces, save_arrays
from edgeai_converters.sources.tensorflow_frozen import (
    Frozen,
    first_line,
    freeze_function,
    place_inputs,
    run_frozen,
    with_batch_of_one,
    write_frozen,
)
from edgeai_runtime.errors import EdgeAIError, ModelError, UnsupportedOperationError
from edgeai_runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

Call = Callable[[Mapping[str, "NDArray[Any]"]], list["NDArray[Any]"]]

_EXTRA = "keras"
_SERVING = "serving_default"


def convert_saved_model(request: dict[str, Any]) -> dict[str, Any]:
    """Load a SavedModel, run its signature and write it as ONNX or TFLite."""
    tensorflow = _quiet_tensorflow()
    path = request["path"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            frozen, call = _load(tensorflow, path)
        except ModelError:
            raise
        except Exception as first:  # TensorFlow 2 raises whatever the objects in the file provoke
            try:
                frozen, call = _load_as_graph(tensorflow, path)
            except ModelError:
                raise
            except Exception as error:
                raise ModelError(
                    f"TensorFlow {tensorflow.__version__} cannot read {path}: {first_line(first)} "
                    f"Read as a TensorFlow 1 graph: {first_line(error)}",
                    hint="Copy the whole folder, with variables/, or export it again.",
                ) from error
    return _answer(frozen, call, request, [])


def convert_frozen_graph(request: dict[str, Any]) -> dict[str, Any]:
    """Read a frozen graph, run it and write it as ONNX or TFLite."""
    tensorflow = _quiet_tensorflow()
    graph_def = tensorflow.compat.v1.GraphDef()
    path = request["path"]
    try:
        graph_def.ParseFromString(Path(path).read_bytes())
        samples = _samples(request)
        wanted = dict.fromkeys((*request["input_shapes"], *(samples or {})))
        boundary = find_boundary(tensorflow, graph_def, wanted=list(wanted), where=path)
    except EdgeAIError:
        raise
    except Exception as error:  # protobuf's and TensorFlow's errors have no common base
        raise ModelError(
            f"TensorFlow {tensorflow.__version__} cannot read {path}: {first_line(error)}",
            hint="Copy it again; a graph with custom operations must be exported without them.",
        ) from error
    inputs = _with_shapes(boundary.inputs, request["input_shapes"], samples)
    frozen = Frozen(
        graph_def=place_inputs(boundary.graph_def, boundary.feeds, inputs),
        inputs=inputs,
        feeds=boundary.feeds,
        outputs=boundary.outputs,
        fetches=boundary.fetches,
    )
    notes = list(boundary.notes)
    try:
        return _answer(frozen, lambda feed: run_frozen(frozen, feed), request, notes)
    except UnsupportedOperationError:
        raise
    except ModelError as error:  # graphs of TensorFlow 1 often declare a free batch and hold states of one sample
        single = with_batch_of_one(frozen)
        if single is None or samples is not None:
            raise
        notes.append(f"The batch is fixed to 1: {error.message}")
        return _answer(single, lambda feed: run_frozen(single, feed), request, notes)


def _answer(frozen: Frozen, call: Call, request: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Run the source on probe inputs, write the graph, and tell the names."""
    folder = Path(request["folder"])
    inputs = probe_inputs(
        frozen.inputs, samples=_samples(request), input_shapes=request["input_shapes"], seed=request["seed"]
    )
    outputs = dict(zip(frozen.outputs, run_in_pieces(frozen.inputs, inputs, call), strict=True))
    notes = [*notes, *write_frozen(frozen, folder, way=request["way"])]
    return {
        "inputs": save_arrays(folder / "probe_inputs.npz", inputs),
        "outputs": save_arrays(folder / "probe_outputs.npz", outputs),
        "feeds": list(frozen.feeds),
        "notes": notes,
    }


def _samples(request: dict[str, Any]) -> dict[str, NDArray[Any]] | None:
    if not request["samples"]:
        return None
    return load_arrays(Path(request["folder"]) / "samples.npz", request["samples"])


def _load(tensorflow: Any, path: str) -> tuple[Frozen, Call]:
    """Read a SavedModel with its objects, and freeze its signature."""
    loaded = tensorflow.saved_model.load(path)
    function = loaded.signatures[_signature_name(list(loaded.signatures), path)]
    arguments: dict[str, Any] = function.structured_input_signature[1]
    inputs = [_spec(name, item.shape, item.dtype, path) for name, item in arguments.items()]
    outputs = list(function.structured_outputs)

    def answer(*tensors: Any) -> list[Any]:
        answers = function(**dict(zip(arguments, tensors, strict=True)))
        return [answers[name] for name in outputs]

    def call(feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        return [np.asarray(item) for item in answer(*(tensorflow.constant(array) for array in feed.values()))]

    signature = [tensorflow.TensorSpec(spec.shape, spec.dtype, f"input_{i}") for i, spec in enumerate(inputs)]
    concrete = tensorflow.function(answer).get_concrete_function(*signature)
    return freeze_function(concrete, inputs, outputs), call


def _load_as_graph(tensorflow: Any, path: str) -> tuple[Frozen, Call]:
    """Read a SavedModel as TensorFlow 1 did, as a graph without objects, and freeze its signature."""
    v1 = tensorflow.compat.v1
    with v1.Session(graph=tensorflow.Graph()) as session:
        meta = v1.saved_model.load(session, [v1.saved_model.tag_constants.SERVING], path)
        names = [name for name, entry in meta.signature_def.items() if entry.outputs and not name.startswith("__")]
        signature = meta.signature_def[_signature_name(names, path)]
        fetches = tuple(info.name for info in signature.outputs.values())
        nodes = list(dict.fromkeys(name.split(":")[0] for name in fetches))
        graph_def = v1.graph_util.convert_variables_to_constants(session, session.graph.as_graph_def(), nodes)
    inputs = tuple(
        _spec(name, tensorflow.TensorShape(info.tensor_shape), tensorflow.as_dtype(info.dtype), path)
        for name, info in signature.inputs.items()
    )
    frozen = Frozen(
        graph_def=graph_def,
        inputs=inputs,
        feeds=tuple(info.name for info in signature.inputs.values()),
        outputs=tuple(signature.outputs),
        fetches=fetches,
    )
    return frozen, lambda feed: run_frozen(frozen, feed)


def _signature_name(names: Sequence[str], path: str) -> str:
    if _SERVING in names:
        return _SERVING
    if len(names) == 1:
        return names[0]
    listed = ", ".join(names) if names else "none"
    raise ModelError(
        f"{path} has no signature {_SERVING!r} to take; its signatures: {listed}.",
        hint="Export it with tf.saved_model.save(model, folder, signatures=function.get_concrete_function(spec)).",
    )


def _spec(name: str, shape: Any, dtype: Any, path: str) -> TensorSpec:
    if dtype.name in ("string", "resource", "variant"):
        raise ModelError(
            f"{path}: the input {name!r} is a {dtype.name}, which no format here takes.",
            hint="Export a signature that begins after the decoding, with numbers for inputs.",
        )
    if shape.rank is None:
        raise ModelError(
            f"{path}: the input {name!r} has no shape at all.",
            hint="Export a signature with a TensorSpec that has one.",
        )
    return TensorSpec(name=name, shape=tuple(shape.as_list()), dtype=np.dtype(dtype.as_numpy_dtype).name)


def _with_shapes(
    inputs: Sequence[TensorSpec], shapes: Mapping[str, Sequence[int]], samples: Mapping[str, NDArray[Any]] | None
) -> tuple[TensorSpec, ...]:
    """Return the inputs with the shapes that the user gave; an input without any rank needs one."""
    known = {name: array.shape[:1] and (-1, *array.shape[1:]) for name, array in (samples or {}).items()}
    return tuple(_with_shape(spec, shapes.get(spec.name, known.get(spec.name))) for spec in inputs)


def _with_shape(spec: TensorSpec, shape: Sequence[int] | None) -> TensorSpec:
    if shape is None:
        return spec
    return replace(spec, shape=tuple(size if size > 0 else None for size in shape))


def _quiet_tensorflow() -> Any:
    tensorflow = require("tensorflow", extra=_EXTRA)
    tensorflow.get_logger().setLevel("ERROR")
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    return tensorflow

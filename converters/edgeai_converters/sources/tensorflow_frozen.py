"""A frozen TensorFlow graph in the child process: running it, and writing it as ONNX or TFLite."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_converters.emit.tflite.flatbuffer import read_model
from edgeai_converters.emit.tflite.reader import read_graph
from edgeai_converters.graph.prepare import OPSET
from edgeai_converters.graph.space_to_batch import add_functions
from edgeai_converters.require import require
from edgeai_converters.sources.tensor_lists import write_tensor_lists
from edgeai_converters.sources.tensorflow import ONNX_FILE, TFLITE_FILE
from edgeai_converters.sources.tf2onnx_handlers import HANDLERS
from edgeai_runtime.errors import MissingEngineError, ModelError, UnsupportedOperationError
from edgeai_runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXTRA = "keras"
_SAYS_NOTHING = ("Graph execution error", "Detected at node", "File ", "<stack traces unavailable>", "Node:")


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A graph whose variables are constants, and its boundary.

    Attributes:
        graph_def: a `tf.compat.v1.GraphDef`; its inputs are placeholders.
        inputs: the inputs with the source's names.
        feeds: the tensors that stand for them (`x:0`), in the same order.
        outputs: the source's names of the outputs.
        fetches: the tensors that stand for them, in the same order.
    """

    graph_def: Any
    inputs: tuple[TensorSpec, ...]
    feeds: tuple[str, ...]
    outputs: tuple[str, ...]
    fetches: tuple[str, ...]


def freeze_function(function: Any, inputs: Sequence[TensorSpec], outputs: Sequence[str]) -> Frozen:
    """Make constants of the variables that a concrete function reads.

    Args:
        function: a `tf` concrete function whose tensors are `inputs` and `outputs`, in order.
        inputs: the names and shapes of its inputs in the source.
        outputs: the names of its outputs in the source.
    """
    require("tensorflow", extra=_EXTRA)
    constants = require("tensorflow.python.framework.convert_to_constants", extra=_EXTRA)
    frozen = constants.convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)
    feeds = [tensor.name for tensor in frozen.inputs if tensor.dtype.name != "resource"]
    fetches = [tensor.name for tensor in frozen.outputs]
    if len(feeds) != len(inputs) or len(fetches) != len(outputs):
        raise UnsupportedOperationError(
            f"Freezing the graph left {len(feeds)} inputs and {len(fetches)} outputs; "
            f"the source has {len(inputs)} and {len(outputs)}.",
            hint="The model may use lookup tables or other resources, which no format holds.",
        )
    return Frozen(
        graph_def=frozen.graph.as_graph_def(),
        inputs=tuple(inputs),
        feeds=tuple(feeds),
        outputs=tuple(outputs),
        fetches=tuple(fetches),
    )


def run_frozen(frozen: Frozen, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Run a frozen graph on one set of inputs and return the outputs in order.

    Raises:
        ModelError: TensorFlow cannot run it on them.
    """
    tensorflow = require("tensorflow", extra=_EXTRA)
    graph = tensorflow.Graph()
    with graph.as_default():
        tensorflow.graph_util.import_graph_def(frozen.graph_def, name="")
    feeds = {name: feed[spec.name] for name, spec in zip(frozen.feeds, frozen.inputs, strict=True)}
    config = tensorflow.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    with tensorflow.compat.v1.Session(graph=graph, config=config) as session:
        try:
            return [np.asarray(item) for item in session.run(list(frozen.fetches), feeds)]
        except (tensorflow.errors.OpError, ValueError, TypeError) as error:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in feed.items())
            raise ModelError(
                f"TensorFlow cannot run the graph on {shapes}: {first_line(error)}",
                hint="If the inputs have free dimensions, give their shapes.",
            ) from error


def write_frozen(
    frozen: Frozen, folder: Path, *, way: str, single: Callable[[], Frozen | None] | None = None
) -> list[str]:
    """Write a frozen graph as ONNX (`tf2onnx`) or TFLite (`tflite`) to the folder, and return notes.

    Args:
        frozen: the graph.
        folder: where `source.onnx` or `source.tflite` is written.
        way: `tf2onnx` or `tflite`.
        single: makes the same graph with a batch of 1, for TFLite; by default from the graph itself.

    Raises:
        UnsupportedOperationError: the converter refuses the graph.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if way == "tflite":
            return _write_tflite(frozen, folder, single or (lambda: with_batch_of_one(frozen)))
        return _write_onnx(frozen, folder)


def first_line(error: Exception) -> str:
    """Return the first line of an error's text that says something, cut to 500 characters."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(_SAYS_NOTHING)]
    return (telling or lines or [""])[0][:500]


def _write_onnx(frozen: Frozen, folder: Path) -> list[str]:
    tf2onnx = require("tf2onnx", extra=_EXTRA)
    try:
        proto, _ = tf2onnx.convert.from_graph_def(
            frozen.graph_def,
            input_names=list(frozen.feeds),
            output_names=list(frozen.fetches),
            opset=OPSET,
            custom_op_handlers=HANDLERS,
        )
    except MissingEngineError:
        raise
    except Exception as error:  # tf2onnx raises whatever the graph provokes
        raise UnsupportedOperationError(
            f"tf2onnx cannot convert the model: {type(error).__name__}: {first_line(error)}",
            hint="Export the model to ONNX by other means and give that file.",
        ) from error
    write_tensor_lists(proto)
    add_functions(proto)
    if [value.name for value in proto.graph.input] != list(frozen.feeds):
        proto = _reorder(proto, frozen.feeds)
    (folder / ONNX_FILE).write_bytes(proto.SerializeToString())
    return []


def _reorder(proto: Any, feeds: Sequence[str]) -> Any:
    values = {value.name: value for value in proto.graph.input}
    missing = [name for name in feeds if name not in values]
    if missing or len(values) != len(feeds):
        raise UnsupportedOperationError(
            f"tf2onnx gave the model the inputs {', '.join(values)}; it has {', '.join(feeds)}.",
            hint="An input that nothing reads cannot be kept.",
        )
    ordered = [values[name] for name in feeds]
    copies = [type(value).FromString(value.SerializeToString()) for value in ordered]
    del proto.graph.input[:]
    proto.graph.input.extend(copies)
    return proto


def _write_tflite(frozen: Frozen, folder: Path, single: Callable[[], Frozen | None]) -> list[str]:
    """Convert with a free batch, or, where TensorFlow refuses that (recurrent layers), with a batch of 1."""
    tensorflow = require("tensorflow", extra=_EXTRA)
    notes: list[str] = []
    try:
        content = _readable(_lite(tensorflow, frozen))
    except Exception as error:  # the converter raises whatever the graph provokes
        one = single()
        if one is None:
            raise _refused(error) from error
        try:
            content = _readable(_lite(tensorflow, one))
        except UnsupportedOperationError:
            raise
        except Exception as second:
            raise _refused(second) from error
        notes = [
            "The batch is fixed to 1, since the model does not come through TensorFlow's converter with a free one."
        ]
    (folder / TFLITE_FILE).write_bytes(content)
    return notes


def with_batch_of_one(frozen: Frozen) -> Frozen | None:
    """Return the graph with 1 for every free first dimension of its inputs; `None` when there is none."""
    if not any(spec.shape and spec.shape[0] is None for spec in frozen.inputs):
        return None
    inputs = tuple(
        replace(spec, shape=(1, *spec.shape[1:])) if spec.shape and spec.shape[0] is None else spec
        for spec in frozen.inputs
    )
    return replace(frozen, graph_def=place_inputs(frozen.graph_def, frozen.feeds, inputs), inputs=inputs)


def place_inputs(graph_def: Any, feeds: Sequence[str], inputs: Sequence[TensorSpec]) -> Any:
    """Return a copy of a graph in which the nodes of `feeds` are placeholders of the given shapes and types."""
    tensorflow = require("tensorflow", extra=_EXTRA)
    specs = {feed.split(":")[0]: spec for feed, spec in zip(feeds, inputs, strict=True)}
    copy = tensorflow.compat.v1.GraphDef()
    copy.versions.CopyFrom(graph_def.versions)
    copy.library.CopyFrom(graph_def.library)
    for node in graph_def.node:
        spec = specs.get(node.name)
        added = copy.node.add()
        if spec is None:
            added.CopyFrom(node)
            added.attr.pop("_output_shapes", None)  # noted for other inputs
            continue
        added.name, added.op = node.name, "Placeholder"
        added.attr["dtype"].type = tensorflow.as_dtype(spec.dtype).as_datatype_enum
        added.attr["shape"].shape.CopyFrom(tensorflow.TensorShape(spec.shape).as_proto())
    return copy


def _lite(tensorflow: Any, frozen: Frozen) -> bytes:
    def body() -> None:
        tensorflow.graph_util.import_graph_def(frozen.graph_def, name="")

    wrapped = tensorflow.compat.v1.wrap_function(body, [])
    graph = wrapped.graph
    pruned = wrapped.prune(
        [graph.as_graph_element(name) for name in frozen.feeds],
        [graph.as_graph_element(name) for name in frozen.fetches],
    )
    return bytes(tensorflow.lite.TFLiteConverter.from_concrete_functions([pruned], None).convert())


def _readable(content: bytes) -> bytes:
    """Return the content of a TFLite file, once our reader has read it."""
    read_graph(read_model(content, where="the TFLite file"), where="the TFLite file that TensorFlow's converter wrote")
    return content


def _refused(error: Exception) -> UnsupportedOperationError:
    if isinstance(error, UnsupportedOperationError):
        return error
    return UnsupportedOperationError(
        f"TensorFlow's TFLite converter refuses the model: {first_line(error)}",
        hint="Export the model to ONNX by other means and give that file.",
    )

"""TensorFlow's own converter, from Keras files and SavedModel folders to TFLite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeai_converters.require import require
from edgeai_converters.tools.tflite_boundary import rename_boundary
from edgeai_runtime.errors import UnsupportedOperationError

_EXTRA = "keras"


def convert_file(request: dict[str, Any]) -> dict[str, Any]:
    """Convert a `.keras` or `.h5` file, or a SavedModel folder; the task of the child process.

    A Keras model that does not convert with a free batch (recurrent layers) is cloned with a batch of 1.
    """
    tensorflow = require("tensorflow", extra=_EXTRA)
    source = Path(request["source"])
    notes: list[str] = []
    try:
        if source.is_dir():
            content = _convert(tensorflow, tensorflow.lite.TFLiteConverter.from_saved_model(str(source)), request)
        else:
            content, notes = _convert_keras(tensorflow, source, request)
    except Exception as error:  # the converter raises whatever the model provokes
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UnsupportedOperationError(
            f"TensorFlow's converter refuses the model: {lines[0][:400]}", hint="Try the format onnx or openvino."
        ) from error
    if not content:
        raise UnsupportedOperationError("TensorFlow's converter wrote an empty file.")
    Path(request["target"]).write_bytes(rename_boundary(content, request["inputs"], request["outputs"]))
    return {"notes": ["Written by TensorFlow's converter.", *notes]}


def _convert_keras(tensorflow: Any, source: Path, request: dict[str, Any]) -> tuple[bytes, list[str]]:
    keras = require("keras", extra=_EXTRA)
    model = keras.models.load_model(source, compile=False)
    shapes = [spec["shape"] for spec in request["inputs"]]
    if len(shapes) == len(model.inputs) and all(None not in shape for shape in shapes):
        model = _with_shapes(keras, model, shapes)
        return _convert(tensorflow, tensorflow.lite.TFLiteConverter.from_keras_model(model), request), []
    try:
        return _convert(tensorflow, tensorflow.lite.TFLiteConverter.from_keras_model(model), request), []
    except Exception as first:  # the converter raises whatever the model provokes
        single = [[1, *tensor.shape[1:]] for tensor in model.inputs]
        try:
            model = _with_shapes(keras, model, single)
            content = _convert(tensorflow, tensorflow.lite.TFLiteConverter.from_keras_model(model), request)
        except Exception:
            raise first from None
        return content, ["The batch is fixed to 1: the model does not convert with a free one."]


def _convert(tensorflow: Any, converter: Any, request: dict[str, Any]) -> bytes:
    if request["precision"] != "float32":
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    if request["precision"] == "float16":
        converter.target_spec.supported_types = [tensorflow.float16]
    return bytes(converter.convert())


def _with_shapes(keras: Any, model: Any, shapes: list[list[int]]) -> Any:
    pairs = zip(model.inputs, shapes, strict=True)
    inputs = [keras.Input(batch_shape=tuple(shape), dtype=tensor.dtype) for tensor, shape in pairs]
    clone = keras.models.clone_model(model, input_tensors=inputs if len(inputs) > 1 else inputs[0])
    clone.set_weights(model.get_weights())
    return clone

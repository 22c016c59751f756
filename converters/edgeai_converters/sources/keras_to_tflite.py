"""TensorFlow's own converter from Keras to TFLite, in a child process: the road taken where ours does not lead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeai_converters.require import require
from edgeai_converters.sources.child import run_in_child
from edgeai_runtime.errors import ModelError, UnsupportedOperationError
from edgeai_runtime.manifest import Precision

_EXTRA = "keras"


def write_with_tensorflow(source: Path, target: Path, *, precision: Precision, workdir: Path) -> None:
    """Write a Keras file as TFLite with TensorFlow's converter.

    Args:
        source: a `.keras` or `.h5` file.
        target: the file to write.
        precision: `float32`, `float16` or `dynamic_int8`.
        workdir: an existing folder for the log.

    Raises:
        UnsupportedOperationError: TensorFlow's converter refuses the model.
        MissingEngineError: TensorFlow is not installed.
    """
    request = {"source": str(source.resolve()), "target": str(target.resolve()), "precision": precision}
    task = "edgeai_converters.sources.keras_to_tflite:convert_file"
    run_in_child(task, request, workdir=workdir, what=f"TensorFlow's converter on {source}")


def convert_file(request: dict[str, Any]) -> dict[str, Any]:
    """Convert; the task of the child process.

    A model that does not convert with a free batch (recurrent layers) is cloned with a batch of 1.
    """
    tensorflow = require("tensorflow", extra=_EXTRA)
    keras = require("keras", extra=_EXTRA)
    model = keras.models.load_model(request["source"], compile=False)
    try:
        content = _convert(tensorflow, model, request["precision"])
    except Exception as first:  # the converter raises whatever the model provokes
        try:
            content = _convert(tensorflow, _with_batch_of_one(keras, model), request["precision"])
        except Exception:
            lines = str(first).strip().splitlines() or [""]
            raise UnsupportedOperationError(
                f"TensorFlow's converter refuses the model: {lines[0][:400]}", hint="Try the format onnx or openvino."
            ) from first
    if not content:
        raise ModelError("TensorFlow's converter wrote an empty file.")
    Path(request["target"]).write_bytes(content)
    return {}


def _convert(tensorflow: Any, model: Any, precision: str) -> bytes:
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(model)
    if precision != "float32":
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tensorflow.float16]
    return bytes(converter.convert())


def _with_batch_of_one(keras: Any, model: Any) -> Any:
    inputs = [keras.Input(batch_shape=(1, *tensor.shape[1:]), dtype=tensor.dtype) for tensor in model.inputs]
    clone = keras.models.clone_model(model, input_tensors=inputs if len(inputs) > 1 else inputs[0])
    clone.set_weights(model.get_weights())
    return clone

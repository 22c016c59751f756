"""Writing a float graph in one format and a precision that needs no data."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.table import emit
from edgeai_converters.quantize.store_float16 import store_float16
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Format, Precision


def write_graph(
    model: ir.Model, format: Format, folder: Path, *, precision: Precision = "float32", stem: str = "model"
) -> Artifact:
    """Write a simplified float graph in one format and a precision that needs no data.

    Args:
        model: the graph; not changed.
        format: `tflite`, `onnx` or `openvino`.
        folder: an existing folder.
        precision: `float32`, `float16` (weights stored so) or `dynamic_int8` (weights stored as int8).
        stem: name of the files without suffix.

    Raises:
        UsageError: static int8.
        UnsupportedOperationError: the format cannot hold an operation of the graph.
    """
    if precision == "float16":
        model, _ = store_float16(model)
    elif precision == "dynamic_int8":
        model, _ = store_int8_weights(model, format=format)
    elif precision != "float32":
        raise UsageError(f"The precision {precision} needs calibration data.", hint="Use edgeai compress.")
    return emit(model, format, folder, stem=stem)

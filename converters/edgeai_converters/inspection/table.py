"""The inspection of an artifact by its format."""

from __future__ import annotations

from pathlib import Path

from edgeai_converters.inspection.record import Inspection
from edgeai_runtime.manifest import Format


def inspect_artifact(path: Path, format: Format) -> Inspection:
    """Say what is in the file `path` of `format`; for the errors see `inspect_tflite` and its like."""
    if format == "tflite":
        from edgeai_converters.inspection.tflite import inspect_tflite

        return inspect_tflite(path)
    if format == "openvino":
        from edgeai_converters.inspection.openvino import inspect_openvino

        return inspect_openvino(path)
    from edgeai_converters.inspection.onnx import inspect_onnx

    return inspect_onnx(path)

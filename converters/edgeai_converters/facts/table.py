"""The facts of an artifact by its format."""

from __future__ import annotations

from pathlib import Path

from edgeai_devices.operator_facts import ModelFacts
from edgeai_runtime.manifest import Format


def read_facts(path: Path, format: Format) -> ModelFacts:
    """Return the facts of the file `path` of `format`; for the errors see `read_tflite_facts` and its like."""
    if format == "tflite":
        from edgeai_converters.facts.tflite import read_tflite_facts

        return read_tflite_facts(path)
    if format == "openvino":
        from edgeai_converters.facts.openvino import read_openvino_facts

        return read_openvino_facts(path)
    from edgeai_converters.facts.onnx import read_onnx_facts

    return read_onnx_facts(path)

"""The table of emitters: format → the function that writes the graph in it."""

from __future__ import annotations

import importlib
from pathlib import Path

import onnx_ir as ir

from edgeai_converters.emit.artifact import Artifact
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Format

EMITTERS: dict[str, str] = {
    "tflite": "edgeai_converters.emit.tflite.writer:emit_tflite",
    "onnx": "edgeai_converters.emit.onnx:emit_onnx",
    "openvino": "edgeai_converters.emit.openvino:emit_openvino",
}
"""Format → `module:function`, resolved when asked for."""


def emit(model: ir.Model, format: Format, folder: Path, *, stem: str = "model") -> Artifact:
    """Write the graph in one format.

    Args:
        model: a simplified graph: float, or with quantization as standard nodes. Not changed.
        format: `tflite`, `onnx` or `openvino`.
        folder: an existing folder; files of the same names are replaced, each at once.
        stem: name of the files without suffix.

    Raises:
        UnsupportedOperationError: the format cannot hold an operation of the graph; the message names the nodes.
        MissingEngineError: a package that writes the format is not installed.
    """
    if format not in EMITTERS:
        raise UsageError(f"Unknown format. Allowed: {', '.join(EMITTERS)}. Received: {format!r}")
    module, _, function = EMITTERS[format].partition(":")
    artifact: Artifact = getattr(importlib.import_module(module), function)(model, folder, stem=stem)
    return artifact

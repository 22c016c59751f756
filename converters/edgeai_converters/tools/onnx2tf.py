"""onnx2tf, from ONNX to TFLite. Outputs that it leaves channels-last are turned back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeai_converters.tools.guest import run_guest
from edgeai_converters.tools.tflite_boundary import rename_boundary, turn_outputs


def convert_file(request: dict[str, Any]) -> dict[str, Any]:
    """Convert an ONNX file."""
    target = Path(request["target"])
    written = run_guest("onnx2tf", request, workdir=target.parent)
    content = rename_boundary(written, request["inputs"], request["outputs"])
    target.write_bytes(turn_outputs(content, request["outputs"]))
    return {"notes": ["Written by onnx2tf."]}

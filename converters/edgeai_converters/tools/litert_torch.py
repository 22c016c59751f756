"""Google's litert-torch, from `.pt2` files to TFLite. The batch is fixed: it converts with free sizes badly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeai_converters.tools.guest import run_guest
from edgeai_converters.tools.tflite_boundary import rename_boundary


def convert_file(request: dict[str, Any]) -> dict[str, Any]:
    """Convert an exported program."""
    target = Path(request["target"])
    written = run_guest("litert-torch", request, workdir=target.parent)
    target.write_bytes(rename_boundary(written, request["inputs"], request["outputs"]))
    free = any(None in spec["shape"] for spec in request["inputs"])
    note = ["Its free dimensions are fixed to 1."] if free else []
    return {"notes": ["Written by litert-torch.", *note]}

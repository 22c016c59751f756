"""Google's litert-torch, from `.pt2` files to TFLite. The batch is fixed: it converts with free sizes badly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeai_converters.require import require
from edgeai_converters.tools.tflite_boundary import rename_boundary
from edgeai_runtime.errors import UnsupportedOperationError


def convert_file(request: dict[str, Any]) -> dict[str, Any]:
    """Convert an exported program; the task of the child process."""
    torch = require("torch", extra="torch")
    litert_torch = require("litert_torch", extra="torch")
    program = torch.export.load(request["source"])
    free = any(None in spec["shape"] for spec in request["inputs"])
    examples = tuple(
        torch.zeros([size or 1 for size in spec["shape"]], dtype=getattr(torch, spec["dtype"]))
        for spec in request["inputs"]
    )
    written = Path(request["target"]).with_name("litert_torch.tflite")
    try:
        litert_torch.convert(program.module(), examples).export(str(written))
    except Exception as error:  # the converter raises whatever the program provokes
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UnsupportedOperationError(
            f"litert-torch refuses the program: {lines[0][:400]}", hint="Try the format onnx or openvino."
        ) from error
    content = rename_boundary(written.read_bytes(), request["inputs"], request["outputs"])
    Path(request["target"]).write_bytes(content)
    note = ["Its free dimensions are fixed to 1."] if free else []
    return {"notes": ["Written by litert-torch.", *note]}

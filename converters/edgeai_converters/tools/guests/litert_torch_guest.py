"""Google's litert-torch, from `.pt2` files to TFLite, with its own names at the boundary."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Convert an exported program; free dimensions become 1."""
    litert_torch: Any = importlib.import_module("litert_torch")
    torch: Any = importlib.import_module("torch")
    program = torch.export.load(request["source"])
    examples = tuple(
        torch.zeros([size or 1 for size in spec["shape"]], dtype=getattr(torch, spec["dtype"]))
        for spec in request["inputs"]
    )
    written = Path(request["folder"]) / "litert_torch.tflite"
    try:
        litert_torch.convert(program.module(), examples).export(str(written))
    except Exception as error:  # the converter raises whatever the program provokes
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return {"refusal": f"litert-torch refuses the program: {lines[0][:400]}"}
    return {"written": str(written)}

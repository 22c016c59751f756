"""What tf2onnx lacks: handlers for operators that it passes through, given to it with each conversion."""

from __future__ import annotations

from typing import Any

import numpy as np


def _write_erfc(context: Any, node: Any, name: str, args: Any) -> None:
    """Write `Erfc(x)` as `1 - Erf(x)`: ONNX has no such operator."""
    node.type = "Erf"
    output = node.output[0]
    one = context.make_const(f"{name}_one", np.float32(1).reshape(()))
    shape, dtype = context.get_shape(output), context.get_dtype(output)
    difference = context.make_node("Sub", [one.output[0], output], shapes=[shape], dtypes=[dtype])
    readers = [reader for reader in context.get_nodes() if reader.name != difference.name]
    context.replace_all_inputs(output, difference.output[0], ops=readers)


HANDLERS: dict[str, Any] = {"Erfc": (_write_erfc, [])}
"""TensorFlow operator → handler."""

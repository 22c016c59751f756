"""What tf2onnx lacks or takes apart: handlers for operators, given to it with each conversion."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeai_converters.graph.space_to_batch import DOMAIN, TO_BATCH, TO_SPACE, op_type


def _write_erfc(context: Any, node: Any, name: str, args: Any) -> None:
    """Write `Erfc(x)` as `1 - Erf(x)`: ONNX has no such operator."""
    node.type = "Erf"
    output = node.output[0]
    one = context.make_const(f"{name}_one", np.float32(1).reshape(()))
    shape, dtype = context.get_shape(output), context.get_dtype(output)
    difference = context.make_node("Sub", [one.output[0], output], shapes=[shape], dtypes=[dtype])
    readers = [reader for reader in context.get_nodes() if reader.name != difference.name]
    context.replace_all_inputs(output, difference.output[0], ops=readers)


def _write_blocks(context: Any, node: Any, name: str, args: Any) -> None:
    """Write `SpaceToBatchND` and `BatchToSpaceND` as nodes whose functions the model gets.

    tf2onnx makes some dozen nodes of each, in which no dilated convolution is to be found; with a free length some of
    them are in no other format.
    """
    source, blocks, amounts = node.input
    kind = TO_BATCH if node.type == "SpaceToBatchND" else TO_SPACE
    sizes = [int(size) for size in context.get_node_by_output(blocks).get_tensor_value(as_list=False).reshape(-1)]
    rest = len(context.get_shape(source)) - 1 - len(sizes)
    known = context.get_node_by_output(amounts)
    table = known.get_tensor_value(as_list=False).reshape(-1, 2) if known.is_const() else None

    def column(place: int) -> str:
        """Return the amounts at the begins (0) or the ends (1) of all axes."""
        stem = f"{name}/amounts{place}"
        if table is not None:
            vector = np.asarray([0, *table[:, place], *[0] * rest], np.int64)
            return str(context.make_const(stem, vector).output[0])
        index = context.make_const(f"{stem}/index", np.array(place, np.int64)).output[0]
        chosen = context.make_node("Gather", [amounts, index], attr={"axis": 1}).output[0]
        wide = context.make_node("Cast", [chosen], attr={"to": _INT64}).output[0]
        parts = [context.make_const(f"{stem}/batch", np.zeros(1, np.int64)).output[0], wide]
        if rest:
            parts.append(context.make_const(f"{stem}/rest", np.zeros(rest, np.int64)).output[0])
        return str(context.make_node("Concat", parts, attr={"axis": 0}).output[0])

    inputs = [source, column(0), column(1)]
    output = node.output[0]
    shape, dtype = context.get_shape(output), context.get_dtype(output)
    context.remove_node(node.name)
    context.make_node(
        op_type(kind, [1, *sizes, *[1] * rest]),
        inputs,
        name=name,
        outputs=[output],
        shapes=[shape],
        dtypes=[dtype],
        domain=DOMAIN,
    )


_INT64 = 7
"""ONNX's number of the type."""

HANDLERS: dict[str, Any] = {
    "Erfc": (_write_erfc, []),
    "SpaceToBatchND": (_write_blocks, []),
    "BatchToSpaceND": (_write_blocks, []),
}
"""TensorFlow operator → handler."""

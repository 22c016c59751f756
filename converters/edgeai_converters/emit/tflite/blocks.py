"""SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND, with which TensorFlow dilates convolutions; only read, never written."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.read_context import Operator, ReadContext
from edgeai_converters.graph.space_to_batch import DOMAIN, TO_BATCH, TO_SPACE, op_type


def read_blocks(context: ReadContext, operator: Operator) -> None:
    """Read either as a node of the domain `edgeai`, whose function the model gets; amounts may be computed."""
    sizes = [int(size) for size in context.known(operator, 1, "the block").reshape(-1)]
    blocks = [1, *sizes, *[1] * (len(context.shape(operator.inputs[0])) - 1 - len(sizes))]
    amounts = [_column(context, operator, column, len(blocks)) for column in (0, 1)]
    kind = TO_BATCH if operator.name == "SPACE_TO_BATCH_ND" else TO_SPACE
    inputs = [context.source(operator.inputs[0]), *amounts]
    context.finish(operator, context.add(op_type(kind, blocks), inputs, domain=DOMAIN))


def _column(context: ReadContext, operator: Operator, column: int, rank: int) -> str:
    """Return the amounts at the begins (column 0) or the ends (column 1) of all axes, as an int64 vector."""
    table = operator.inputs[2]
    name = f"{context.name(operator.outputs[0])}/amounts{column}"
    known = context.constant(table)
    if known is not None:
        inner = [int(amount) for amount in known.reshape(-1, 2)[:, column]]
        return context.integers([0, *inner, *[0] * (rank - 1 - len(inner))], name)
    chosen = context.add("Gather", [context.source(table), context.integers(np.asarray(column), name)], axis=1)
    wide = context.add("Cast", [chosen], to=ir.DataType.INT64.value)
    count = context.shape(table)[0] or rank - 1
    rest = [context.integers([0] * (rank - 1 - count), name)] if rank - 1 > count else []
    return context.add("Concat", [context.integers([0], name), wide, *rest], axis=0)

"""Products of matrices: MatMul, Einsum, attention."""

from __future__ import annotations

import numpy as np

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, UnreadableError


def read_matmul(context: ReadContext, operation: Operation) -> str:
    """`MatMul`: a transposed operand is transposed in place when it is a constant; vectors are never transposed."""
    return context.add("MatMul", [_operand(context, operation, 0, "a"), _operand(context, operation, 1, "b")])


def _operand(context: ReadContext, operation: Operation, position: int, side: str) -> str:
    rank = operation.rank(position)
    if not operation.attribute(f"transpose_{side}", False) or rank < 2:
        return context.source(operation, position)
    order = [*range(rank - 2), rank - 1, rank - 2]
    constant = context.constant(operation, position)
    if constant is not None:
        return context.add_constant(constant.transpose(order), f"{operation.name}/operand{position}")
    return context.transpose(context.source(operation, position), order)


def read_einsum(context: ReadContext, operation: Operation) -> str:
    """`Einsum`."""
    return context.add("Einsum", context.sources(operation), equation=str(operation.attribute("equation")))


def read_attention(context: ReadContext, operation: Operation) -> str:
    """`ScaledDotProductAttention(q, k, v[, mask[, scale]])` → softmax(q · kᵀ · scale + mask) · v."""
    if operation.input_count > 5:
        raise UnreadableError("attention with a sink")
    rank, size = operation.rank(1), operation.shape(0)[-1]
    query, key, value = (context.source(operation, position) for position in range(3))
    scale: str
    if operation.input_count > 4:
        scale = context.source(operation, 4)
        if operation.rank(4) > 0:
            scale = context.reshape(scale, [1])
    elif size is not None:
        scale = context.number(1 / np.sqrt(size))
    else:
        raise UnreadableError("the size of the heads is free")
    order = [*range(rank - 2), rank - 1, rank - 2]
    scores = context.add("Mul", [context.add("MatMul", [query, context.transpose(key, order)]), scale])
    scores = _masked(context, operation, scores)
    weights = context.add("Softmax", [scores], axis=-1)
    return context.add("MatMul", [weights, value])


def _masked(context: ReadContext, operation: Operation, scores: str) -> str:
    if operation.attribute("causal", False):
        queries, keys = operation.shape(0)[-2], operation.shape(1)[-2]
        if queries is None or keys is None:
            raise UnreadableError("causal attention over a free number of steps")
        mask = np.triu(np.full((queries, keys), -np.inf, np.float32), 1)
        return context.add("Add", [scores, context.add_constant(mask, f"{operation.name}/mask")])
    if operation.input_count < 4:
        return scores
    constant = context.constant(operation, 3)
    if constant is not None and constant.size == 1 and constant.dtype != np.bool_ and not constant.any():
        return scores
    mask_name = context.source(operation, 3)
    if operation.dtype(3) == np.bool_:
        mask_name = context.add("Where", [mask_name, context.number(0), context.number(-np.inf)])
    return context.add("Add", [scores, mask_name])

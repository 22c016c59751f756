"""SpaceToBatch and BatchToSpace, which a model from TensorFlow has where it dilates convolutions."""

from __future__ import annotations

from edgeai_converters.graph.space_to_batch import DOMAIN, TO_BATCH, TO_SPACE, op_type
from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, UnreadableError


def read_blocks(context: ReadContext, operation: Operation) -> str:
    """`SpaceToBatch`, `BatchToSpace`: a node of the domain `edgeai`, whose function the model gets."""
    blocks = context.known_integers(operation, 1, "the blocks")
    if blocks[0] != 1:
        raise UnreadableError(f"a block of {blocks[0]} along the batch")
    kind = TO_BATCH if operation.type == "SpaceToBatch" else TO_SPACE
    amounts = [context.int64(operation, position, rank=1) for position in (2, 3)]
    return context.add(op_type(kind, blocks), [context.source(operation, 0), *amounts], domain=DOMAIN)

"""Recurrent layers that were not unrolled."""

from __future__ import annotations

import onnx_ir as ir

from edgeai_converters.emit.tflite.write_context import UnwritableError, WriteContext
from edgeai_converters.graph.passes.unroll_recurrent import refusal
from edgeai_converters.graph.recurrent.layer import RecurrentError, read_layer


def write_recurrent(context: WriteContext, node: ir.Node) -> None:
    """Say why a recurrent layer could not be written."""
    try:
        reason = refusal(read_layer(node))
    except RecurrentError as error:
        raise UnwritableError(str(error)) from error
    raise UnwritableError(reason or "it was not unrolled")

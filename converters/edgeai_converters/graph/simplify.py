"""Simplifying the graph: the visible list of passes, run until nothing changes."""

from __future__ import annotations

import logging
from collections.abc import Callable

import onnx_ir as ir

from edgeai_converters.graph.boundary import infer_layouts
from edgeai_converters.graph.passes.collect_rows import collect_rows
from edgeai_converters.graph.passes.fold_affine import fold_affine
from edgeai_converters.graph.passes.fold_batch_norm import fold_batch_norm
from edgeai_converters.graph.passes.fold_constants import fold_constants
from edgeai_converters.graph.passes.fold_recurrent_loop import fold_recurrent_loop
from edgeai_converters.graph.passes.fold_shape_arithmetic import fold_shape_arithmetic
from edgeai_converters.graph.passes.fuse_functions import fuse_functions
from edgeai_converters.graph.passes.fuse_layer_norm import fuse_layer_norm
from edgeai_converters.graph.passes.pad_explicitly import pad_explicitly
from edgeai_converters.graph.passes.remove_no_ops import remove_no_ops
from edgeai_converters.graph.passes.sink_transposes import sink_transposes
from edgeai_converters.graph.passes.tidy import merge_equal_constants, remove_dead_nodes, separate_biases
from edgeai_converters.graph.passes.tidy_loop_bodies import tidy_loop_bodies
from edgeai_converters.graph.passes.tidy_recurrent import tidy_recurrent
from edgeai_converters.graph.passes.unroll_loop import unroll_loop
from edgeai_converters.graph.passes.write_einsum import write_einsum
from edgeai_converters.graph.passes.write_gemm import write_gemm
from edgeai_converters.graph.passes.write_global_pool import write_global_pool
from edgeai_converters.graph.passes.write_reshape import write_reshape
from edgeai_converters.graph.passes.write_resize import write_resize
from edgeai_converters.graph.passes.write_scan import write_scan
from edgeai_converters.graph.shapes import infer_shapes

Pass = Callable[[ir.Model], tuple[ir.Model, bool]]

PASSES: tuple[Pass, ...] = (
    fold_constants,
    fold_shape_arithmetic,
    tidy_loop_bodies,
    write_scan,
    collect_rows,
    fold_recurrent_loop,
    unroll_loop,
    tidy_recurrent,
    remove_no_ops,
    write_einsum,
    fuse_layer_norm,
    fuse_functions,
    pad_explicitly,
    write_gemm,
    fold_batch_norm,
    fold_affine,
    write_global_pool,
    write_reshape,
    write_resize,
    sink_transposes,
    remove_dead_nodes,
)
FINAL_PASSES: tuple[Pass, ...] = (merge_equal_constants, separate_biases, remove_dead_nodes)

_MOST_ROUNDS = 50

logger = logging.getLogger(__name__)


def simplify(model: ir.Model) -> tuple[ir.Model, list[str]]:
    """Return a simpler model that computes the same, and the names of the passes that changed it.

    The model given is not changed. Outputs agree to rounding (1e-5 relative); names, shapes and order of inputs and
    outputs stay. Precondition: the form of `prepare_graph`.
    """
    model = model.clone()
    infer_shapes(model)
    names: list[str] = []
    for _ in range(_MOST_ROUNDS):
        changes = [_run(one, model, names) for one in PASSES]
        if not any(changes):
            break
    else:
        logger.warning("simplify stopped after %d rounds", _MOST_ROUNDS)
    for one in FINAL_PASSES:
        _run(one, model, names)
    infer_layouts(model)
    return model, names


def _run(one: Pass, model: ir.Model, names: list[str]) -> bool:
    _, changed = one(model)
    if changed:
        infer_shapes(model)
        if one.__name__ not in names:
            names.append(one.__name__)
    return changed

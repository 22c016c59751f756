"""The table of rules: which axes an operator ties together, by operator. An operator that is not here protects all."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from edgeai_converters.prune import rules_elementwise as elementwise
from edgeai_converters.prune import rules_layers as layers
from edgeai_converters.prune import rules_moves as moves
from edgeai_converters.prune.axis_labels import AxisLabels, names_of
from edgeai_converters.prune.rules_reshape import tie_reshape

Rule = Callable[[AxisLabels, ir.Node], None]

RULES: dict[str, Rule] = {
    **dict.fromkeys(sorted(elementwise.ELEMENTWISE), elementwise.tie_elementwise),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "LpNormalization"), elementwise.tie_along_one),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), elementwise.tie_pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), elementwise.tie_pool),
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"), elementwise.tie_reduction),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceSumSquare"), elementwise.tie_reduction),
    **dict.fromkeys(("ReduceLogSum", "ReduceLogSumExp"), elementwise.tie_reduction),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), layers.tie_layer_norm),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), layers.tie_channel_norm),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), layers.tie_recurrent),
    **dict.fromkeys(("Squeeze", "Unsqueeze"), moves.tie_squeeze),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), moves.tie_depth_to_space),
    **dict.fromkeys(("Reshape", "Flatten"), tie_reshape),
    "Concat": moves.tie_concat,
    "Conv": layers.tie_conv,
    "ConvTranspose": layers.tie_conv_transpose,
    "CumSum": elementwise.tie_cumulative,
    "Expand": moves.tie_expand,
    "Gather": moves.tie_gather,
    "Gemm": layers.tie_gemm,
    "MatMul": layers.tie_matmul,
    "Pad": moves.tie_pad,
    "Resize": elementwise.tie_resize,
    "Slice": moves.tie_slice,
    "Split": moves.tie_split,
    "Tile": moves.tie_tile,
    "Transpose": moves.tie_transpose,
}


def label_graph(model: ir.Model) -> AxisLabels:
    """Return the labels of a graph, tied and protected by what its nodes say; not changed."""
    labels = AxisLabels()
    for value in model.graph.inputs:
        labels.protect_value(value, f"the graph's input {value.name!r} has it")
    for value in model.graph.outputs:
        labels.protect_value(value, f"the graph's output {value.name!r} has it")
    for node in model.graph:
        labels.begin_node()
        rule = RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if rule is not None:
            rule(labels, node)
            labels.protect_untouched(node, f"{names_of(node)} works across it")
        else:
            labels.protect_untouched(node, f"no rule for {names_of(node)}")
            for inner in ir.traversal.RecursiveGraphIterator(model.graph) if node.attributes else ():
                _protect_captured(labels, node, inner)
    while labels.later:
        labels.later.pop(0)()
    return labels


def _protect_captured(labels: AxisLabels, node: ir.Node, inner: ir.Node) -> None:
    """Protect what the bodies of a node with graphs read from outside."""
    if inner.graph is node.graph:
        return
    for value in inner.inputs:
        if value is not None and value.graph is node.graph:
            labels.protect_value(value, f"a body of {names_of(node)} reads it")

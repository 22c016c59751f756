"""A narrower copy of a graph, as a student: the same layers with a share of their channels, heads and hidden units.

Half the width is about a quarter of the weights: a layer loses channels on both sides. What a graph's inputs and
outputs show stays. Which channels can go, and together with which, is found as for pruning.
"""

from __future__ import annotations

import onnx_ir as ir

from edgeai_converters.prune.groups import find_groups, prunable
from edgeai_converters.prune.importance import magnitude_importance
from edgeai_converters.prune.plan import plan_pruning
from edgeai_converters.prune.slice import slice_channels
from edgeai_converters.train.fresh_weights import draw_weights
from edgeai_runtime.errors import ModelError, UsageError


def scaled_copy(
    model: ir.Model, *, width: float = 0.5, seed: int = 0, multiple_of: int = 1, fresh: bool = True
) -> ir.Model:
    """Return a copy of a graph in which every layer that can be cut has `width` of its channels.

    Args:
        model: the float graph, simplified, shapes inferred; not changed.
        width: share of the channels that stay, above 0 and up to 1; at least one of each group stays.
        seed: of the weights that are drawn.
        multiple_of: what the widths of layers are rounded up to.
        fresh: draw all weights anew (`draw_weights`): a student that begins from nothing. Else the channels of the
            largest weights stay as they are: a student that begins from what its source has learned.

    Raises:
        UsageError: the width is not a share.
        ModelError: no channel of the graph can be cut.

    Example:
        >>> import numpy as np, onnx
        >>> text = '<ir_version: 9, opset_import: ["" : 20]> g (float[N,3] x) => (float[N,2] y) '
        >>> proto = onnx.parser.parse_model(text + '{ a = MatMul(x, w) b = Relu(a) y = MatMul(b, v) }')
        >>> weights = {"w": np.eye(3, 8, dtype=np.float32), "v": np.eye(8, 2, dtype=np.float32)}
        >>> proto.graph.initializer.extend(onnx.numpy_helper.from_array(one, name) for name, one in weights.items())
        >>> from edgeai_converters.graph.prepare import prepare_graph
        >>> student = scaled_copy(prepare_graph(proto), width=0.5)
        >>> student.graph.initializers["w"].const_value.numpy().shape
        (3, 4)
    """
    if not 0 < width <= 1:
        raise UsageError(f"The width of a student is a share of its source's, above 0 and up to 1. Received: {width}")
    groups = find_groups(model)
    able = prunable(groups)
    if not able and width < 1:
        reasons = dict.fromkeys(group.reason for group in groups if group.reason)
        raise ModelError(
            "No channel of this graph can be cut, so there is no narrower copy of it.",
            hint="; ".join(list(reasons)[:3]) or "It has no layers with weights.",
        )
    plan = plan_pruning(
        groups,
        magnitude_importance(model, able),
        keep={group.id: max(1, round(width * group.size)) for group in able},
        multiple_of=multiple_of,
    )
    student = slice_channels(model, plan.cuts, groups=groups)[0].clone()
    return draw_weights(student, seed=seed) if fresh else student

"""Remove Identity nodes from the bodies of loops, so that what is looked for in them is found.

Before: x → Identity → y.   After: readers of y read x; an Identity that gives out a result of the body stays.
"""

from __future__ import annotations

import onnx_ir as ir

from edgeai_converters.graph.edit import is_op, nodes


def tidy_loop_bodies(model: ir.Model) -> tuple[ir.Model, bool]:
    """Remove Identity nodes from the bodies of loops, in place."""
    changed = False
    for loop in nodes(model, "Loop", "Scan"):
        body = loop.attributes["body"].as_graph()
        for node in tuple(body):
            if not is_op(node, "Identity") or node.outputs[0].is_graph_output() or node.inputs[0] is None:
                continue
            ir.convenience.replace_all_uses_with(node.outputs[0], node.inputs[0])
            body.remove(node, safe=True)
            changed = True
    return model, changed

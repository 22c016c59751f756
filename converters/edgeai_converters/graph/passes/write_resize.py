"""Let Resize say only the axes it changes, so that the batch may stay free.

Before: Shape(x) → Slice → Concat with [32, 32] → Resize(x, sizes).   After: Resize(x, [32, 32], axes = [2, 3]).
Sizes that are constant, with one batch written into them while the batch is free, are treated alike.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import add_constant, attribute, constant_of, input_of, nodes
from edgeai_converters.graph.passes.fold_shape_arithmetic import sizes_of
from edgeai_converters.graph.shapes import Dim, shape_of


def write_resize(model: ir.Model) -> tuple[ir.Model, bool]:
    """Make the sizes of Resize constant and leave out the axes that stay."""
    changed = False
    for node in nodes(model, "Resize"):
        changed |= _write(model, node)
    return model, changed


def _write(model: ir.Model, node: ir.Node) -> bool:
    source, given = shape_of(node.inputs[0]), input_of(node, 3)
    sizes = sizes_of(given) if given is not None else None
    if source is None or sizes is None or len(sizes) != len(source) or attribute(node, "axes", None) is not None:
        return False
    constant = constant_of(given) is not None
    axes = [axis for axis, size in enumerate(sizes) if not _stays(source[axis], size, axis)]
    wanted = [size for axis in axes if isinstance(size := sizes[axis], int)]
    if not axes or len(wanted) != len(axes) or (constant and len(axes) == len(sizes)):
        return False
    if attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        return False
    stem = f"{node.outputs[0].name}_sizes"
    node.replace_input_with(3, add_constant(model, stem, np.array(wanted, np.int64)))
    node.attributes["axes"] = ir.AttrInt64s("axes", axes)
    if (region := constant_of(input_of(node, 1))) is not None and region.size == 2 * len(sizes):
        kept = [*axes, *(len(sizes) + axis for axis in axes)]
        node.replace_input_with(1, add_constant(model, f"{node.outputs[0].name}_region", region[kept]))
    return True


def _stays(old: Dim, new: Dim, axis: int) -> bool:
    """Tell whether a size stays; the number written for a free batch can only be that of the batch."""
    if axis == 0 and not isinstance(old, int) and isinstance(new, int):
        return True
    return old is not None and old == new

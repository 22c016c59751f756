"""The layout of maps at the graph's boundary: derived from what reads and writes them, and changed on request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.boundary import LAYOUT_PREFIX, infer_layouts, set_layout
from edgeai_converters.graph.edit import unique_name
from edgeai_converters.graph.shapes import infer_shapes, shape_of
from edgeai_converters.spec import Layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TO: dict[Layout, tuple[int, ...]] = {"NHWC": (0, 2, 3, 1), "NCHW": (0, 3, 1, 2)}
"""Wanted layout → the permutation that leads there from the other one."""

_MAPS = (
    "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize",
    "BatchNormalization", "InstanceNormalization", "DepthToSpace", "SpaceToDepth",
)  # fmt: skip
_KEEPS = (
    "Add", "Sub", "Mul", "Div", "Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "PRelu", "Elu", "HardSwish",
    "HardSigmoid", "Softmax", "Concat", "Pad", "Cast", "Identity", "QuantizeLinear", "DequantizeLinear", "Max", "Min",
)  # fmt: skip
_MOST_STEPS = 16


@dataclass(frozen=True, kw_only=True)
class LayoutChange:
    """What a change of layout did: by name, the permutation from an array as it was to one as it is now."""

    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]
    notes: tuple[str, ...] = ()

    def apply(self, arrays: Mapping[str, NDArray[Any]], *, outputs: bool = False) -> dict[str, NDArray[Any]]:
        """Return inputs (or outputs) `[n, …]` of the graph as it was in the layout they have now."""
        orders = self.outputs if outputs else self.inputs
        return {
            name: np.ascontiguousarray(array.transpose(orders[name])) if name in orders else array
            for name, array in arrays.items()
        }


def note_layouts(model: ir.Model) -> None:
    """Note the layout of the rank-4 inputs and outputs that are known to be maps, in place."""
    infer_layouts(model)
    for value in model.graph.outputs:
        layout = _layout_by_producer(value, 0) if _rank(value) == 4 else None
        if layout is not None and value.name and LAYOUT_PREFIX + value.name not in model.metadata_props:
            set_layout(model, value.name, layout)


def change_layout(model: ir.Model, layout: Layout) -> tuple[ir.Model, LayoutChange]:
    """Return the graph with its maps in `layout` at the boundary, names kept, and what was changed.

    A transpose is put behind each such input and before each such output; simplifying cancels those that meet their
    reverse. Inputs and outputs that are no maps, or not known to be, stay as they are; the notes name rank-4 ones.

    Args:
        model: the graph; not changed.
        layout: `NHWC` or `NCHW`.
    """
    model = model.clone()
    note_layouts(model)
    change = LayoutChange(inputs={}, outputs={})
    unknown = []
    for value in [*model.graph.inputs, *model.graph.outputs]:
        name = value.name or ""
        known = model.metadata_props.get(LAYOUT_PREFIX + name)
        if _rank(value) != 4 or known == layout or name in model.graph.initializers:
            continue
        if known not in _TO:
            unknown.append(name)
        elif value.is_graph_input():
            _turn_input(model, value, known, layout)
            change.inputs[name] = _TO[layout]
        else:
            _turn_output(model, value, layout)
            change.outputs[name] = _TO[layout]
        if known in _TO:
            set_layout(model, name, layout)
    infer_shapes(model)
    notes = tuple(f"The layout of {name!r} is not known: it stays as it is." for name in unknown)
    return model, LayoutChange(inputs=change.inputs, outputs=change.outputs, notes=notes)


def _turn_input(model: ir.Model, value: ir.Value, before: Layout, layout: Layout) -> None:
    """`x` → readers becomes `x` in its new layout → Transpose back → readers."""
    shape = shape_of(value) or ()
    inside = ir.Value(name=unique_name(model, f"{value.name}_{before.lower()}"), shape=value.shape, type=value.type)
    ir.convenience.replace_all_uses_with(value, inside)
    node = ir.Node("", "Transpose", [value], [ir.AttrInt64s("perm", _TO[before])], outputs=[inside])
    value.shape = ir.Shape([shape[axis] for axis in _TO[layout]])
    model.graph.insert_before(model.graph[0], node)


def _turn_output(model: ir.Model, value: ir.Value, layout: Layout) -> None:
    """Producer → `y` becomes producer → inner value → Transpose → `y` in its new layout."""
    name, shape = value.name, shape_of(value) or ()
    value.name = unique_name(model, f"{name}_inside")
    turned = ir.Value(name=name, shape=ir.Shape([shape[axis] for axis in _TO[layout]]), type=value.type)
    node = ir.Node("", "Transpose", [value], [ir.AttrInt64s("perm", _TO[layout])], outputs=[turned])
    model.graph.append(node)
    model.graph.outputs[list(model.graph.outputs).index(value)] = turned


def _rank(value: ir.Value) -> int | None:
    return len(value.shape) if value.shape is not None else None


def _layout_by_producer(value: ir.Value, steps: int) -> str | None:
    node = value.producer()
    if node is None or steps > _MOST_STEPS:
        return None
    if node.op_type in _MAPS:
        return "NCHW"
    if node.op_type == "Transpose":
        order = node.attributes.get("perm")
        return "NHWC" if order is not None and list(order.as_ints()) == [0, 2, 3, 1] else None
    if node.op_type in _KEEPS:
        for one in node.inputs:
            found = _layout_by_producer(one, steps + 1) if one is not None and _rank(one) == 4 else None
            if found is not None:
                return found
    return None

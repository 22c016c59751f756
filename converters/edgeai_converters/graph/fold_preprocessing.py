"""Fold the last pre-processing steps into the graph, so that the device does not run them in numpy.

Before: raw → cast → scale / normalize / dequantize → channels → layout → x → Conv / Gemm / MatMul (W, b)
After:  raw → x → [Cast] → [Transpose] → the layer, per input channel c, with W[c] · s[c] and b + Σ W[c] · t[c],
        where the steps compute x[c] = s[c] · raw[order[c]] + t[c].

Exact but for rounding (constants are computed in float64). Where a Conv pads with zeros, which the steps would not map
to zero, its padding is written out as a Pad by the value that they do map to zero; where that differs from channel to
channel, `t / s` is added before the layer and only `s` goes into the weights. Nothing is folded past `resize`, `crop`
or another step that is not affine, nor when anything but such layers reads the input.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.boundary import set_layout
from edgeai_converters.graph.edit import (
    add_constant,
    add_node,
    attribute,
    change_constant,
    constant_of,
    input_of,
    is_op,
)
from edgeai_converters.graph.shapes import infer_shapes, shape_of
from edgeai_runtime.manifest import Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

_KEEP_DTYPE = ("resize", "crop", "pad", "channels", "layout", "expand", "fit_length")
_INTEGERS = {"uint8": ir.DataType.UINT8, "int8": ir.DataType.INT8, "int16": ir.DataType.INT16}


def fold_preprocessing(
    model: ir.Model, steps: Mapping[str, Sequence[Step]], *, raw_dtypes: Mapping[str, str] | None = None
) -> tuple[ir.Model, dict[str, tuple[Step, ...]], bool]:
    """Return the graph with the steps folded that can be, the steps that remain, and whether anything changed.

    The graph given is not changed. Names stay; an input's shape is that of what it takes now.

    Args:
        model: a float graph, simplified.
        steps: per input: its pre-processing.
        raw_dtypes: per input, the dtype of raw samples where it is known (`uint8`): the input takes them as they are,
            and the graph casts.
    """
    model = model.clone()
    remaining = {name: tuple(each) for name, each in steps.items()}
    changed = False
    for value in list(model.graph.inputs):
        name = value.name or ""
        shape = shape_of(value)
        if shape is None or value.dtype != ir.DataType.FLOAT or value.is_graph_output():
            continue
        given = remaining.get(name, ())
        for one in reversed(_maps(given, shape)):
            if _absorb(model, value, one):
                break
        else:
            one = _Map(axes=tuple(range(len(shape))))
        raw = (raw_dtypes or {}).get(name, "")
        left = given[: len(given) - one.folded]
        cast = raw in _INTEGERS and all(step.op in _KEEP_DTYPE for step in left)
        if not one.folded and not cast:
            continue
        _put_first(model, value, one, _INTEGERS[raw] if cast else None, given)
        remaining[name] = left
        changed = True
    if changed:
        infer_shapes(model)
    return model, {name: each for name, each in remaining.items() if each}, changed


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Map:
    """What the last `folded` steps compute: x = scale · raw[order] + shift along `axis` of x, its axes moved by `axes`.

    Scale and shift are `[C]`, or `[1]` where all channels have the same; axis i of x is axis `axes[i]` of raw.
    """

    axes: tuple[int, ...]
    axis: int | None = None
    scale: Vector = dataclasses.field(default_factory=lambda: np.ones(1))
    shift: Vector = dataclasses.field(default_factory=lambda: np.zeros(1))
    order: tuple[int, ...] | None = None
    folded: int = 0

    @property
    def plain(self) -> bool:
        """Whether no value is changed."""
        return bool((self.scale == 1).all() and (self.shift == 0).all() and self.order is None)


def _maps(steps: Sequence[Step], shape: Sequence[Any]) -> list[_Map]:
    """Return what the last step computes, the last two, and so on, as far as there is a map for it."""
    current = _Map(axes=tuple(range(len(shape))))
    maps = []
    for step in reversed(steps):
        following = _before(current, step, shape)
        if following is None:
            break
        current = dataclasses.replace(following, folded=current.folded + 1)
        maps.append(current)
    return maps


def _before(known: _Map, step: Step, shape: Sequence[Any]) -> _Map | None:
    """Return `known` after `step`; `None` where that is no map."""
    params = step.params
    if step.op == "cast":
        return known if params["dtype"] == "float32" else None
    if step.op == "layout":
        if len(params["from"]) != len(shape):
            return None
        moved = [params["from"].index(letter) for letter in params["to"]]
        return dataclasses.replace(known, axes=tuple(moved[axis] for axis in known.axes))
    if step.op == "scale":
        return _affine(known, [params["factor"]], [params.get("offset", 0)], None)
    if step.op == "dequantize":
        return _affine(known, [params["scale"]], [-params.get("zero_point", 0) * params["scale"]], None)
    if step.op not in ("normalize", "channels"):
        return None
    axis = known.axes.index(params.get("axis", -1) % len(shape))
    size = shape[axis]
    if step.op == "normalize":
        mean, std = (np.atleast_1d(np.asarray(params[name], np.float64)) for name in ("mean", "std"))
        if any(len(each) not in (1, size) for each in (mean, std)):
            return None
        return _affine(known, 1 / std, -mean / std, axis)
    order = tuple(params["order"])
    if known.axis not in (None, axis) or sorted(order) != list(range(size if isinstance(size, int) else -1)):
        return None
    first = known.order if known.order is not None else range(len(order))
    return dataclasses.replace(known, axis=axis, order=tuple(order[place] for place in first))


def _affine(known: _Map, scale: Any, shift: Any, axis: int | None) -> _Map | None:
    scale, shift = np.broadcast_arrays(np.asarray(scale, np.float64), np.asarray(shift, np.float64))
    if not scale.all():
        return None
    if len(scale) == 1:
        axis = known.axis
    elif known.axis not in (None, axis):
        return None
    elif known.order is not None:
        scale, shift = scale[list(known.order)], shift[list(known.order)]
    return dataclasses.replace(known, axis=axis, scale=known.scale * scale, shift=known.scale * shift + known.shift)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Layer:
    """A layer that reads the input, `axis` of which is the layer's channels; `None` when it does not matter."""

    node: ir.Node
    axis: int | None


def _absorb(model: ir.Model, value: ir.Value, one: _Map) -> bool:
    """Change the layers that read `value` as the map says; tell whether all of them can."""
    if one.plain:
        return True
    layers = _layers(value, tuple(range(len(one.axes))), one)
    if not layers:
        return False
    for layer in layers:
        _change(model, layer, one)
    return True


def _layers(value: ir.Value, axes: tuple[int, ...] | None, one: _Map) -> list[_Layer]:
    """Return the layers behind `value`, whose axis i is axis `axes[i]` of the input; none when one cannot be changed.

    `axes` is `None` behind a Reshape, which a map that is the same for all channels does not mind.
    """
    found: list[_Layer] = []
    for use in value.uses():
        node = use.node
        output = node.outputs[0]
        if is_op(node, "Transpose") and not output.is_graph_output():
            order = attribute(node, "perm", None)
            behind = tuple(axes[axis] for axis in order) if axes is not None and order is not None else None
            inner = _layers(output, behind, one) if behind is not None or one.axis is None else []
        elif is_op(node, "Reshape", "Flatten") and use.idx == 0 and one.axis is None and not output.is_graph_output():
            inner = _layers(output, None, one)
        else:
            inner = [_Layer(node=node, axis=one.axis)] if use.idx == 0 and _fits(node, axes, one) else []
        if not inner:
            return []
        found += inner
    return found


def _fits(node: ir.Node, axes: tuple[int, ...] | None, one: _Map) -> bool:
    if not is_op(node, "Conv", "Gemm", "MatMul"):
        return False
    weight = constant_of(input_of(node, 1))
    if weight is None or weight.dtype.kind != "f":
        return False
    if node.op_type == "Conv":
        channels = 1
        if one.order is not None and attribute(node, "group", 1) != 1:
            return False
    else:
        rank = len(axes) if axes is not None else len(shape_of(node.inputs[0]) or ())
        channels = rank - 1
        if weight.ndim != 2 or rank < 2 or attribute(node, "transA", 0):
            return False
        if any(attribute(node, name, 1.0) != 1.0 for name in ("alpha", "beta")):
            return False
    return one.axis is None or (axes is not None and axes[channels] == one.axis)


def _change(model: ir.Model, layer: _Layer, one: _Map) -> None:
    """Write the map into the layer's weights and bias, or what cannot go there before it."""
    node = layer.node
    weight = constant_of(node.inputs[1])
    assert weight is not None, "a layer that fits has constant weights"
    bias = constant_of(input_of(node, 2))
    inputs = _by_input(node, weight)  # [input channels of a row, …] per output row
    channels = inputs.shape[1] * (int(attribute(node, "group", 1)) if node.op_type == "Conv" else 1)
    scale, shift = (np.broadcast_to(each, (channels,)) for each in (one.scale, one.shift))
    rows = np.arange(len(inputs)) * (channels // inputs.shape[1]) // len(inputs) * inputs.shape[1]
    places = rows[:, np.newaxis] + np.arange(inputs.shape[1])  # the channel that each weight multiplies
    rest = (1,) * (inputs.ndim - 2)
    scaled = inputs * scale[places].reshape(*places.shape, *rest)
    inverse = np.argsort(one.order) if one.order is not None else np.arange(channels)
    if one.order is not None:
        scaled = scaled[:, inverse]
    change_constant(model, node, 1, _from_input(node, scaled).astype(weight.dtype))
    if not shift.any():
        return
    if _takes_shift(model, node, -shift / scale, bias):
        added = (inputs * shift[places].reshape(*places.shape, *rest)).sum(axis=tuple(range(1, inputs.ndim)))
        _add_to_bias(model, node, bias, added, weight.dtype)
        return
    source = node.inputs[0]
    assert source is not None, "a layer has an input"
    rank = len(shape_of(source) or ()) or weight.ndim
    form = (1, -1) + (1,) * (rank - 2) if node.op_type == "Conv" else (1,) * (rank - 1) + (-1,)
    offset = add_constant(model, f"{source.name}_offset", (shift / scale)[inverse].astype(np.float32).reshape(form))
    node.replace_input_with(0, add_node(model, node, "Add", [source, offset], name=f"{source.name}_moved", like=source))


def _takes_shift(model: ir.Model, node: ir.Node, zeros: Vector, bias: NDArray[Any] | None) -> bool:
    """Make the layer ready for a shift in its bias: it has room for one, and pads with what becomes zero, `zeros`."""
    if node.op_type == "MatMul" or (input_of(node, 2) is not None and bias is None):
        return False
    if node.op_type == "Gemm":
        return True
    mode, pads = attribute(node, "auto_pad", "NOTSET"), attribute(node, "pads", ())
    if mode == "VALID" or (mode == "NOTSET" and not any(pads)):
        return True
    source = node.inputs[0]
    if mode != "NOTSET" or source is None or not np.allclose(zeros, zeros[0], rtol=1e-12, atol=0):
        return False
    half = len(pads) // 2
    amounts = np.array([0, 0, *pads[:half], 0, 0, *pads[half:]], np.int64)
    filling = add_constant(model, f"{source.name}_padding", np.array(zeros[0], np.float32))
    padded = add_node(
        model, node, "Pad", [source, add_constant(model, f"{source.name}_pads", amounts), filling], name="padded"
    )
    node.replace_input_with(0, padded)
    node.attributes["pads"] = ir.AttrInt64s("pads", [0] * len(pads))
    return True


def _add_to_bias(model: ir.Model, node: ir.Node, bias: NDArray[Any] | None, added: Vector, dtype: Any) -> None:
    if bias is not None:
        change_constant(model, node, 2, (bias.astype(np.float64) + added).astype(dtype))
        return
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(2, add_constant(model, f"{node.name or node.outputs[0].name}_bias", added.astype(dtype)))


def _by_input(node: ir.Node, weight: NDArray[Any]) -> Vector:
    """Return the weights as [rows of output, input channels, …]."""
    wide = weight.astype(np.float64)
    return wide if node.op_type == "Conv" or attribute(node, "transB", 0) else wide.T


def _from_input(node: ir.Node, weight: Vector) -> Vector:
    return weight if node.op_type == "Conv" or attribute(node, "transB", 0) else weight.T


def _put_first(model: ir.Model, value: ir.Value, one: _Map, dtype: ir.DataType | None, steps: Sequence[Step]) -> None:
    """Let the input take what comes before the folded steps: cast and transpose it as they did."""
    before = list(value.uses())
    shape, order = shape_of(value) or (), one.axes
    first = min((use.node for use in before), key=list(model.graph).index)
    current = value
    if dtype is not None:
        current = add_node(model, first, "Cast", [current], name=f"{value.name}_cast", attributes={"to": 1})
        current.type = ir.TensorType(ir.DataType.FLOAT)
    if order != tuple(range(len(order))):
        current = add_node(
            model, first, "Transpose", [current], name=f"{value.name}_moved", attributes={"perm": list(order)}
        )
    if current is not value:
        for use in before:
            use.node.replace_input_with(use.idx, current)
    value.shape = ir.Shape([shape[order.index(axis)] for axis in range(len(shape))])
    if dtype is not None:
        value.type = ir.TensorType(dtype)
    layouts = [step.params["from"] for step in steps[len(steps) - one.folded :] if step.op == "layout"]
    if layouts and value.name:
        set_layout(model, value.name, layouts[0])

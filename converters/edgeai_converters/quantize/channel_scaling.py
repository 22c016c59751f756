"""Where a value's channels can be scaled without changing what the graph computes, and how.

    carriers ── … homogeneous … ── value ── readers          carriers: weights · 1/s     readers: weights · s

A *site* is a value that only layers with constant weights read (the readers multiply by `s`), and whose factor `1/s`
can be carried by constants further up (the carriers). On the way up lie only operators for which `f(x/s) = f(x)/s`
holds channel by channel for every `s > 0`, and values with one reader: where something else reads a value, or the
operator is not homogeneous (a clip at 6, swish, sigmoid, softmax), there is no site.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.edit import (
    attribute,
    axes_of,
    change_constant,
    channel_vector,
    constant_of,
    input_of,
    is_op,
)
from edgeai_converters.graph.passes.scale_layer import output_channels, scale_layer
from edgeai_converters.graph.shapes import shape_of

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """A node whose constants take the factor `1/s`.

    Attributes:
        node: a layer, a LayerNormalization, or an Add or Mul with a constant.
        constants: positions of the constants; empty for a layer, whose weights and bias both take it.
        axis: channel axis of the node's output, from 0.
        channels: for each of the node's channels, which channel of the site it is.
    """

    node: ir.Node
    constants: tuple[int, ...]
    axis: int
    channels: Indices


@dataclass(frozen=True, kw_only=True)
class Site:
    """A value whose channels can be scaled.

    Attributes:
        value: the value that the readers read.
        readers: layers with constant weights, all that read it.
        carriers: what takes `1/s`.
        leader: `[channels]`; channels with the same leader have one factor (positions of one map behind a Flatten).
    """

    value: ir.Value
    readers: tuple[ir.Node, ...]
    carriers: tuple[Carrier, ...]
    leader: Indices


def find_sites(model: ir.Model) -> list[Site]:
    """Return all sites of the graph, in its order."""
    sites = []
    for value in [*model.graph.inputs, *(output for node in model.graph for output in node.outputs)]:
        uses = list(value.uses())
        shape = shape_of(value)
        if not uses or value.is_graph_output() or value.is_graph_input() or shape is None:
            continue
        axes = {_read_axis(use.node, use.idx, len(shape)) for use in uses}
        axis = axes.pop() if len(axes) == 1 else None
        size = None if axis is None else shape[axis]
        if axis is None or not isinstance(size, int) or any(input_channels(use.node) != size for use in uses):
            continue
        walk = _Walk(size)
        if walk.up(value, axis, np.arange(size), last=True):
            leader = walk.leaders()
            readers = tuple(dict.fromkeys(use.node for use in uses))
            sites.append(Site(value=value, readers=readers, carriers=tuple(walk.carriers), leader=leader))
    return sites


def apply_scale(model: ir.Model, site: Site, scale: Array) -> None:
    """Divide the site's channels by `scale`, `[channels]` and above 0, and multiply them in its readers; in place."""
    for carrier in site.carriers:
        factor = 1.0 / scale[carrier.channels]
        if not carrier.constants:
            _scale_outputs(model, carrier.node, factor)
            continue
        value = carrier.node.outputs[0]
        rank = len(shape_of(value) or ())
        for index in carrier.constants:
            array = constant_of(carrier.node.inputs[index])
            assert array is not None
            aligned = factor if carrier.node.op_type == "LayerNormalization" else _align(factor, rank, carrier.axis)
            change_constant(model, carrier.node, index, (array.astype(np.float64) * aligned).astype(array.dtype))
    for reader in site.readers:
        weight = _weight(reader)
        scaled = _by_input(reader, weight) * scale.reshape(_groups(reader), 1, -1, 1)
        change_constant(model, reader, 1, _from_input(reader, weight, scaled).astype(weight.dtype))


def output_ranges(site: Site) -> Array:
    """Return the largest weight magnitude per channel of the layers that carry the site's factor; 0 where none does."""
    found = np.zeros(site.leader.size)
    for carrier in site.carriers:
        if not carrier.constants:
            weight = np.abs(_weight(carrier.node).astype(np.float64))
            np.maximum.at(found, carrier.channels, _by_output(carrier.node, weight).max(axis=1))
    return merge(site, found)


def input_ranges(site: Site, *, relative: bool) -> Array:
    """Return the largest weight magnitude per channel over the site's readers.

    Args:
        site: the site.
        relative: as a share of the largest of the same output channel, which has a scale of its own.
    """
    found = np.zeros(site.leader.size)
    for reader in site.readers:
        weight = np.abs(_by_input(reader, _weight(reader).astype(np.float64)))
        if relative:
            largest = weight.max(axis=(2, 3), keepdims=True)
            weight = np.divide(weight, largest, out=np.zeros_like(weight), where=largest > 0)
        found = np.maximum(found, weight.max(axis=(1, 3)).reshape(-1))
    return merge(site, found)


def reader_weights(site: Site) -> list[Array]:
    """Return the readers' weights as `[groups, outputs per group, inputs per group, positions]`."""
    return [_by_input(reader, _weight(reader)) for reader in site.readers]


def merge(site: Site, ranges: Array) -> Array:
    """Give channels that must have one factor the largest of their ranges."""
    merged = np.zeros(ranges.size)
    np.maximum.at(merged, site.leader, ranges)
    return np.asarray(merged[site.leader])


def input_channels(reader: ir.Node) -> int | None:
    """Return the number of channels that a layer with constant weights reads; `None` for other nodes."""
    weight = constant_of(input_of(reader, 1))
    if weight is None or weight.ndim < 2:
        return None
    match reader.op_type:
        case "Conv":
            return int(weight.shape[1]) * _groups(reader)
        case "ConvTranspose":
            return int(weight.shape[0])
        case "MatMul":
            return int(weight.shape[0]) if weight.ndim == 2 else None
        case "Gemm":
            return int(weight.shape[1] if attribute(reader, "transB", 0) else weight.shape[0])
        case _:
            return None


class _Walk:
    """The way up from a value to the constants that carry its factor."""

    def __init__(self, channels: int) -> None:
        self.carriers: list[Carrier] = []
        self._leader = np.arange(channels)

    def leaders(self) -> Indices:
        """Return for every channel the one whose factor it has."""
        leader = self._leader
        while (leader[leader] != leader).any():
            leader = leader[leader]
        return leader

    def up(self, value: ir.Value | None, axis: int, channels: Indices, *, last: bool = False) -> bool:
        """Tell whether the value's channels along `axis` can be divided; on success the carriers are noted."""
        if value is None or value.is_graph_output() or (not last and len(value.uses()) != 1):
            return False
        node, shape = value.producer(), shape_of(value)
        if node is None or shape is None or node.domain not in ("", "ai.onnx"):
            return False
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") and _is_layer(node):
            wanted = 1 if node.op_type in ("Conv", "ConvTranspose") else len(shape) - 1
            return axis == wanted and channels.size == _output_channels(node) and self._carry(node, (), axis, channels)
        if node.op_type == "LayerNormalization":
            fit = attribute(node, "axis", -1) in (-1, len(shape) - 1) and axis == len(shape) - 1
            constants = tuple(i for i in (1, 2) if input_of(node, i) is not None)
            known = all(constant_of(node.inputs[i]) is not None for i in constants)
            return fit and known and 1 in constants and self._carry(node, constants, axis, channels)
        if node.op_type in ("Add", "Mul"):
            return self._through_arithmetic(node, len(shape), axis, channels)
        if node.op_type in ("Concat", "Transpose", "Flatten", "Reshape", "Squeeze"):
            return self._through_moves(node, shape, axis, channels)
        refused = _HOMOGENEOUS.get(node.op_type)
        if refused is None or refused(node, axis):
            return False
        source = shape_of(node.inputs[0])
        same_axis = source is not None and axis < len(source) and source[axis] == channels.size
        return same_axis and self.up(node.inputs[0], axis, channels)

    def _carry(self, node: ir.Node, constants: tuple[int, ...], axis: int, channels: Indices) -> bool:
        self.carriers.append(Carrier(node=node, constants=constants, axis=axis, channels=channels))
        return True

    def _through_arithmetic(self, node: ir.Node, rank: int, axis: int, channels: Indices) -> bool:
        for index in (0, 1):
            array = constant_of(node.inputs[index])
            if array is None:
                continue
            if array.dtype.kind != "f" or channel_vector(array, rank, channels.size, axis) is None:
                return False
            return (
                node.op_type == "Mul" or self._covers(node.inputs[1 - index], rank, axis, channels)
            ) and self._carry(node, (index,), axis, channels)
        if node.op_type == "Add":
            return all(self._covers(value, rank, axis, channels) for value in node.inputs)
        for value in node.inputs:  # a product of two values: one of them takes it all
            before = len(self.carriers)
            if self._covers(value, rank, axis, channels):
                return True
            del self.carriers[before:]
        return False

    def _covers(self, value: ir.Value | None, rank: int, axis: int, channels: Indices) -> bool:
        """Go up where the value has the full rank and all channels, so that no broadcast mixes them."""
        shape = shape_of(value)
        return (
            shape is not None and len(shape) == rank and shape[axis] == channels.size and self.up(value, axis, channels)
        )

    def _through_moves(self, node: ir.Node, shape: tuple[object, ...], axis: int, channels: Indices) -> bool:
        source = shape_of(node.inputs[0])
        if source is None:
            return False
        if node.op_type == "Concat":
            if attribute(node, "axis", 0) % len(shape) != axis:
                return all(self.up(value, axis, channels) for value in node.inputs)
            start = 0
            for value in node.inputs:
                size = (shape_of(value) or ())[axis]
                if not isinstance(size, int) or not self.up(value, axis, channels[start : start + size]):
                    return False
                start += size
            return start == channels.size
        if node.op_type == "Transpose":
            order = attribute(node, "perm", tuple(reversed(range(len(shape)))))
            return self.up(node.inputs[0], int(order[axis]), channels)
        # Behind maps [N, C, …]: a dense layer's [N, C · positions].
        sizes = source[1:]
        if len(shape) != 2 or axis != 1 or len(source) < 3 or not all(isinstance(size, int) for size in sizes):
            return False
        known = [size for size in sizes if isinstance(size, int)]
        if math.prod(known) != channels.size:
            return False
        rows = channels.reshape(known[0], -1)
        for row in rows:
            self._leader[self._leader[row]] = self._leader[row].min()
        return self.up(node.inputs[0], 1, rows[:, 0])


def _clips_above(node: ir.Node, axis: int) -> bool:
    low, high = constant_of(input_of(node, 1)), constant_of(input_of(node, 2))
    if input_of(node, 1) is None or low is None or low.size != 1 or float(low.reshape(-1)[0]) != 0.0:
        return True
    return input_of(node, 2) is not None and (high is None or not np.isposinf(high).all())


def _reduces_channels(node: ir.Node, axis: int) -> bool:
    axes, rank = axes_of(node), len(shape_of(node.inputs[0]) or ())
    if not axes or not rank or (not attribute(node, "keepdims", 1) and any(a % rank < axis for a in axes)):
        return True
    return axis in {a % rank for a in axes}


def _pads_with_other_than_zero(node: ir.Node, axis: int) -> bool:
    value = input_of(node, 2)
    array = constant_of(value)
    zero = value is None or (array is not None and not array.any())
    return attribute(node, "mode", "constant") == "constant" and not zero


def _slopes_differ(node: ir.Node, axis: int) -> bool:
    return constant_of(node.inputs[1]) is None


def _never(node: ir.Node, axis: int) -> bool:
    return False


def _off_map(node: ir.Node, axis: int) -> bool:
    return axis != 1


_HOMOGENEOUS: dict[str, Callable[[ir.Node, int], bool]] = {
    "Relu": _never,
    "LeakyRelu": _never,
    "PRelu": _slopes_differ,
    "Identity": _never,
    "Dropout": _never,
    "Clip": _clips_above,
    "MaxPool": _off_map,
    "AveragePool": _off_map,
    "GlobalAveragePool": _off_map,
    "GlobalMaxPool": _off_map,
    "ReduceMean": _reduces_channels,
    "ReduceMax": _reduces_channels,
    "Pad": _pads_with_other_than_zero,
    "Resize": _off_map,
}
"""Operators that let a positive factor per channel through, and what makes a node of them refuse."""


def _read_axis(node: ir.Node, index: int, rank: int) -> int | None:
    """Return the axis of the value, of this rank, that a layer's weights sum over, or `None` if it is no such layer."""
    if (
        index != 0
        or not is_op(node, "Conv", "ConvTranspose", "Gemm", "MatMul")
        or constant_of(input_of(node, 1)) is None
    ):
        return None
    if node.op_type == "Gemm" and attribute(node, "transA", 0):
        return None
    return 1 if node.op_type in ("Conv", "ConvTranspose") else rank - 1


def _is_layer(node: ir.Node) -> bool:
    """Tell whether the node's output channels can be scaled by its constants."""
    weight, bias = constant_of(input_of(node, 1)), input_of(node, 2)
    if weight is None or (node.op_type == "MatMul" and weight.ndim != 2):
        return False
    if node.op_type == "Gemm" and (attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0):
        return False
    if bias is None:
        return True
    array = constant_of(bias)
    return array is not None and array.size in (1, _output_channels(node))


def _output_channels(node: ir.Node) -> int:
    return int(_weight(node).shape[1]) if node.op_type == "MatMul" else output_channels(node)


def _scale_outputs(model: ir.Model, node: ir.Node, factor: Array) -> None:
    if node.op_type == "MatMul":
        weight = _weight(node)
        change_constant(model, node, 1, (weight.astype(np.float64) * factor).astype(weight.dtype))
    else:
        scale_layer(model, node, factor, None)


def _weight(node: ir.Node) -> NDArray[np.floating]:
    array = constant_of(node.inputs[1])
    assert array is not None
    return array


def _groups(node: ir.Node) -> int:
    return int(attribute(node, "group", 1)) if node.op_type in ("Conv", "ConvTranspose") else 1


def _by_input(node: ir.Node, weight: NDArray[np.floating]) -> Array:
    """Return the weight as `[groups, outputs per group, inputs per group, positions]`."""
    groups = _groups(node)
    if node.op_type == "Conv":
        return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1).astype(np.float64)
    if node.op_type == "ConvTranspose":
        shaped = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
        return shaped.transpose(0, 2, 1, 3).astype(np.float64)
    turned = weight if node.op_type == "Gemm" and attribute(node, "transB", 0) else weight.T
    return turned[None, :, :, None].astype(np.float64)


def _from_input(node: ir.Node, weight: NDArray[np.floating], arranged: Array) -> Array:
    """Undo `_by_input`, for a weight of the same shape."""
    if node.op_type == "Conv":
        return arranged.reshape(weight.shape)
    if node.op_type == "ConvTranspose":
        return arranged.transpose(0, 2, 1, 3).reshape(weight.shape)
    matrix = arranged[0, :, :, 0]
    return matrix if node.op_type == "Gemm" and attribute(node, "transB", 0) else matrix.T


def _by_output(node: ir.Node, weight: NDArray[np.floating]) -> Array:
    """Return the weight as `[output channels, rest]`."""
    arranged = _by_input(node, weight)
    return arranged.reshape(arranged.shape[0] * arranged.shape[1], -1)


def _align(vector: Array, rank: int, axis: int) -> Array:
    return vector.reshape((-1,) + (1,) * (rank - 1 - axis))

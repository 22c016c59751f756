"""Blocks of a network that can go as a whole: the value behind them has the shape of the value before them.

A block is a region with one way in and one way out, found by walking the graph from its entry and watching which
values are still waited for: when it is one value only, all paths meet there. Two kinds:

- `residual`: the exit is a sum that the entry is part of. `x + f(x)` becomes `x`. Attention and feed-forward halves of
  transformers, blocks of ResNets and MobileNets.
- `chain`: entry and exit are made by the same kind of operator, and a layer that mixes channels lies between: stages of
  depthwise networks with stride 1 and equal width, hidden layers of a dense network, layers of stacked LSTMs.

Blocks do not overlap. Residual blocks come before chains that lie inside them; a sum around the whole network is no
block where it holds smaller ones. A chain is one only where nothing flows past it: not in one of several branches, and
not below a shortcut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from edgeai_converters.graph.edit import attribute, constant_of, is_op
from edgeai_converters.graph.shapes import shape_of

BlockKind = Literal["residual", "chain"]

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "Gather")
_RECURRENT = ("LSTM", "GRU", "RNN")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A region that can go.

    Attributes:
        id: name of the value behind it, which is stable for a graph.
        kind: see above.
        entry: name of the value before it.
        values: names of the values made inside, the exit last.
        weights: names of the weights of its layers.
        parameters: trained values that nothing outside reads.
    """

    id: str
    kind: BlockKind
    entry: str
    values: tuple[str, ...]
    weights: tuple[str, ...]
    parameters: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Region:
    kind: BlockKind
    entry: ir.Value
    exit: ir.Value
    nodes: tuple[ir.Node, ...]
    mixing: frozenset[ir.Node]
    start: int

    def contains(self, other: _Region) -> bool:
        return other is not self and set(other.nodes) < set(self.nodes)


def find_blocks(model: ir.Model) -> tuple[Block, ...]:
    """Return the blocks of a graph, in its order.

    Args:
        model: the float graph, simplified, shapes inferred; not changed.
    """
    order = tuple(model.graph)
    behind = _layers_behind(model, order)
    starts = dict.fromkeys(model.graph.inputs, 0)
    starts |= {value: i + 1 for i, node in enumerate(order) for value in node.outputs}
    found = [region for value, start in starts.items() for region in _region_from(value, start, order, behind)]
    mixing = sum(map(_mixes, order))
    return tuple(_block(region) for region in _disjoint(found, mixing))


def _mixes(node: ir.Node) -> bool:
    """Whether a node is a layer that mixes channels by constant weights."""
    if is_op(node, "Conv"):
        return int(attribute(node, "group", 1)) == 1
    if is_op(node, "MatMul"):
        return any(constant_of(value) is not None for value in node.inputs)
    return is_op(node, "Gemm", "ConvTranspose", *_RECURRENT)


def _layers_behind(model: ir.Model, order: Sequence[ir.Node]) -> dict[ir.Value, int]:
    """Return, per value, the set of layers it depends on, one bit each."""
    found: dict[ir.Value, int] = dict.fromkeys(model.graph.inputs, 0)
    for i, node in enumerate(order):
        bits = 0
        for value in node.inputs:
            bits |= found.get(value, 0) if value is not None else 0
        if is_op(node, *_LAYERS) and any(constant_of(value) is not None for value in node.inputs):
            bits |= 1 << i
        found.update(dict.fromkeys(node.outputs, bits))
    return found


def _region_from(
    entry: ir.Value, start: int, order: Sequence[ir.Node], behind: dict[ir.Value, int]
) -> Iterator[_Region]:
    """Yield the smallest region that begins behind a value and can go, if there is one."""
    shape = _known_shape(entry)
    if shape is None or len(entry.uses()) == 0:
        return
    waiting = {entry: len(entry.uses())}
    made = {entry}
    nodes: list[ir.Node] = []
    crossed = False
    for node in order[start:]:
        read = [value for value in node.inputs if value in made]
        if not read:
            continue
        if any(attr.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for attr in node.attributes.values()):
            return
        if any(constant_of(value) is None and shape_of(value) == shape for value in node.inputs if value not in made):
            crossed = True
        nodes.append(node)
        for value in read:
            assert value is not None
            waiting[value] -= 1
            if not waiting[value]:
                del waiting[value]
        for value in node.outputs:
            made.add(value)
            uses = len(value.uses()) + value.is_graph_output()
            if uses:
                waiting[value] = uses
        ends = [value for value in waiting if value is not entry]
        kind = _kind(entry, ends[0], shape) if len(ends) == 1 else None
        mixing = frozenset(filter(_mixes, nodes)) if kind is not None else frozenset()
        if kind == "chain" and (entry in waiting or not mixing):
            continue
        if kind == "chain" and (crossed or _has_a_way_around(entry, start, order, behind)):
            return
        if kind is not None and mixing:
            yield _Region(kind=kind, entry=entry, exit=ends[0], nodes=tuple(nodes), mixing=mixing, start=start)
            return


def _has_a_way_around(entry: ir.Value, start: int, order: Sequence[ir.Node], behind: dict[ir.Value, int]) -> bool:
    """Whether anything behind `entry` in the graph reads what layers before it made: then it lies in a branch."""
    later = {value for node in order[start:] for value in node.outputs} | {entry}
    read = (value for node in order[start:] for value in node.inputs)
    return any(value is not None and value not in later and behind.get(value, 0) for value in read)


def _known_shape(value: ir.Value) -> tuple[int | str | None, ...] | None:
    """Return the shape of a float value of rank 2 or more with no unknown sizes (names are known)."""
    shape = shape_of(value)
    is_float = value.dtype == ir.DataType.FLOAT
    return shape if is_float and shape is not None and len(shape) >= 2 and None not in shape else None


def _kind(entry: ir.Value, exit: ir.Value, shape: tuple[int | str | None, ...]) -> BlockKind | None:
    """Return what kind of block ends at a value where all paths meet; `None` when none does."""
    first, last = entry.producer(), exit.producer()
    if exit is entry or last is None or _known_shape(exit) != shape:
        return None
    if is_op(last, "Add", "Sum") and any(value is entry for value in last.inputs):
        return "residual"
    if first is None or (first.domain, first.op_type) != (last.domain, last.op_type):
        return None
    before, after = _layer_behind(entry), _layer_behind(exit)
    return "chain" if before is not None and after is not None and _mixes(before) == _mixes(after) else None


def _layer_behind(value: ir.Value) -> ir.Node | None:
    """Return the last layer before a value, along the first operands; half a depthwise stage is recognized by it."""
    node = value.producer()
    while node is not None and not is_op(node, *_LAYERS):
        flowing = [each for each in node.inputs if each is not None and constant_of(each) is None]
        node = flowing[0].producer() if flowing else None
    return node


def _disjoint(found: Sequence[_Region], mixing: int) -> list[_Region]:
    """Return the regions to be offered, none of which overlap, in the order of the graph."""
    by_layers: dict[frozenset[ir.Node], _Region] = {}
    for region in found:
        rival = by_layers.get(region.mixing)
        if rival is None or _preference(region) < _preference(rival):
            by_layers[region.mixing] = region
    kept = list(by_layers.values())
    kept = [region for region in kept if not _is_outer(region, kept, mixing)]
    residual = [region for region in kept if region.kind == "residual"]
    chosen: list[_Region] = []
    chains = sorted(set(kept) - set(residual), key=lambda each: (_ends_deep(each), each.start))
    for region in (*residual, *chains):
        if not any(set(region.nodes) & set(other.nodes) for other in chosen):
            chosen.append(region)
    return sorted(chosen, key=lambda each: each.start)


def _ends_deep(region: _Region) -> bool:
    """Whether a region ends behind a layer that keeps channels apart: stages begin with such a layer, as a rule."""
    layer = _layer_behind(region.exit)
    return layer is not None and not _mixes(layer)


def _preference(region: _Region) -> tuple[int, int, bool]:
    """Return what ranks regions of the same layers: small ones for sums, large ones from an activation for chains."""
    producer = region.entry.producer()
    from_layer = producer is not None and _mixes(producer)
    size = len(region.nodes)
    return (0, size, from_layer) if region.kind == "residual" else (1, -size, from_layer)


def _is_outer(region: _Region, others: Sequence[_Region], mixing: int) -> bool:
    """Whether a sum goes around smaller blocks that are offered instead."""
    inner = [other for other in others if region.kind == "residual" and region.contains(other)]
    return any(other.kind == "residual" for other in inner) or bool(inner and 2 * len(region.mixing) > mixing)


def _block(region: _Region) -> Block:
    inside = set(region.nodes)
    constants = {value: None for node in region.nodes for value in node.inputs if value is not None}
    own = [value for value in constants if constant_of(value) is not None and value.dtype == ir.DataType.FLOAT]
    own = [value for value in own if all(use.node in inside for use in value.uses())]
    sizes = [value.const_value.size for value in own if value.const_value is not None]
    made = [
        str(value.name) for node in region.nodes for value in node.outputs if value is not region.exit and value.name
    ]
    return Block(
        id=str(region.exit.name),
        kind=region.kind,
        entry=str(region.entry.name),
        values=(*made, str(region.exit.name)),
        weights=tuple(str(value.name) for value in own if value.shape is not None and len(value.shape) >= 2),
        parameters=sum(size for size in sizes if size > 1),
    )

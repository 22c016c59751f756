"""One-shot repair after a cut: the layers that read cut channels are fitted anew, from calibration samples only.

Reconstruction of He et al. 2017 (arXiv:1707.06168), equation 4: the weights `W` that minimize `‖Y − X·Wᵀ‖²`, with `Y`
what the layer gave in the whole graph and `X` what it reads in the cut one, layer after layer, so that later layers
make up for what earlier ones lost. A branch that ends in a residual Add is fitted to the sum: it makes up for the
shortcut too (section 3.3 there). Departures: the bias is fitted as well, and the weights are drawn to the old ones a
little, so that few samples do no harm. Nothing is trained: each layer is one linear system.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.edit import sole_consumer
from edgeai_converters.prune.groups import ChannelGroup
from edgeai_converters.prune.mend import Removed
from edgeai_converters.prune.reader_layers import NormalEquations, ReaderLayer, draw_places, reader_layers
from edgeai_converters.prune.reconstruct_values import StagedValues
from edgeai_converters.prune.slice import Cut, places_of

Batches = Sequence[Mapping[str, NDArray[Any]]]

DAMPING = 1e-3


def reconstruct_layers(
    model: ir.Model,
    smaller: ir.Model,
    cut: Cut,
    groups: Sequence[ChannelGroup],
    batches: Batches,
    *,
    damping: float = DAMPING,
    every_layer: bool = True,
    seed: int = 0,
    on_step: Callable[[int, int, str], None] | None = None,
) -> tuple[ir.Model, bool]:
    """Return a copy of the cut graph with readers fitted to what the whole graph computed.

    Runs both graphs once, layer by layer, and holds what later layers read, over all batches (`StagedValues`), and the
    `[K, K]` sums of one layer at a time.

    Args:
        model: the whole graph; not changed.
        smaller: what `slice_channels` made of it; not changed.
        cut: the cut.
        groups: the groups of `model`.
        batches: prepared inputs by name.
        damping: how strongly weights are drawn to the old ones, as a share of the mean square of an input.
        every_layer: also fit layers that read no cut channel but whose input is no longer what it was.
        seed: of the places of maps that are drawn.
        on_step: called after each layer.
    """
    removed = places_of(cut, groups)
    if not removed:
        return smaller, False
    smaller = smaller.clone()
    whole = {layer.output: layer for layer in reader_layers(model)}
    layers = [layer for layer in reader_layers(smaller) if layer.output in whole]
    changed = _changed_values(smaller, removed)
    layers = [layer for layer in layers if _reads_cut(layer, removed) or (every_layer and layer.source in changed)]
    tasks = [_task(smaller, layer) for layer in layers]
    targets = StagedValues(model, batches, [[task.wanted] for task in tasks])
    sources = StagedValues(smaller, batches, [task.read for task in tasks])
    for done, (layer, task) in enumerate(zip(layers, tasks, strict=True)):
        random = np.random.default_rng(seed)
        places = [draw_places(random, size) for size in sources.sizes]
        _fit(smaller, layer, task, removed, sources.next_stage(), targets.next_stage(), places, damping)
        if on_step is not None:
            on_step(done + 1, len(layers), layer.weight)
    return smaller, bool(layers)


def _reads_cut(layer: ReaderLayer, removed: Removed) -> bool:
    axis = 1 if layer.node.op_type == "Conv" else 0 if layer.node.op_type == "MatMul" else -1
    if layer.node.op_type == "Gemm":
        axis = 1 if layer.node.attributes.get_int("transB", 0) else 0
    return (layer.weight, axis) in removed


def _changed_values(smaller: ir.Model, removed: Removed) -> set[str]:
    """Return the values that a cut has touched: all that comes behind a layer that reads cut channels."""
    changed: set[str] = set()
    reading = {layer.output for layer in reader_layers(smaller) if _reads_cut(layer, removed)}
    for node in smaller.graph:
        behind = any(value is not None and str(value.name) in changed for value in node.inputs)
        if behind or any(str(value.name) in reading for value in node.outputs):
            changed.update(str(value.name) for value in node.outputs)
    return changed


@dataclass(frozen=True, kw_only=True)
class _Task:
    """What a layer is fitted to.

    Attributes:
        wanted: the value of the whole graph that its output, with `other` added, shall equal.
        other: the value of the cut graph that is added to its output.
        read: the values of the cut graph that are needed.
    """

    wanted: str
    other: str | None
    read: tuple[str, ...]


def _task(smaller: ir.Model, layer: ReaderLayer) -> _Task:
    residual = _residual(smaller, layer)
    if residual is None:
        return _Task(wanted=layer.output, other=None, read=(layer.source,))
    return _Task(wanted=residual[0], other=residual[1], read=(layer.source, residual[1]))


def _fit(
    smaller: ir.Model,
    layer: ReaderLayer,
    task: _Task,
    removed: Removed,
    found: Sequence[Mapping[str, NDArray[Any]]],
    targets: Sequence[Mapping[str, NDArray[Any]]],
    places: Sequence[NDArray[np.float64]],
    damping: float,
) -> None:
    """Fit one layer of `smaller`, in place, to inputs and outputs of all batches."""
    axis = 1 if layer.node.op_type == "Conv" else len(layer.node.outputs[0].shape or ()) - 1
    gone = removed.get((task.wanted, axis), np.zeros(0, np.int64))
    equations = NormalEquations()
    for values, target, drawn in zip(found, targets, places, strict=True):
        output = np.delete(target[task.wanted], gone, axis)
        if task.other is not None:
            output = output - values[task.other]
        equations.add(layer.input_rows(values[layer.source], drawn), layer.output_rows(output, drawn))
    weight = smaller.graph.initializers[layer.weight]
    assert weight.const_value is not None
    old = weight.const_value.numpy()
    bias = layer.bias
    constant = None if bias is None else np.asarray(bias, np.float64).reshape(layer.groups, -1)
    matrices, constants = equations.solve(layer.reader.matrix_of(old), constant=constant, damping=damping)
    array = layer.reader.weight_of(matrices, old.shape).astype(old.dtype)
    weight.const_value = ir.tensor(np.ascontiguousarray(array), name=layer.weight)
    if bias is not None and constants is not None:
        value = layer.node.inputs[2]
        assert value is not None
        value.const_value = ir.tensor(constants.reshape(bias.shape).astype(bias.dtype), name=value.name)


def _residual(smaller: ir.Model, layer: ReaderLayer) -> tuple[str, str] | None:
    """Return (the sum, its other operand) when the layer's output is only added to a value that comes before it."""
    output = layer.node.outputs[0]
    add = sole_consumer(output)
    if add is None or add.op_type != "Add":
        return None
    other = add.inputs[1] if add.inputs[0] is output else add.inputs[0]
    if other is None or other.const_value is not None or other.shape != output.shape or other is output:
        return None
    order = {node: i for i, node in enumerate(smaller.graph)}
    maker = other.producer()
    if maker is not None and order[maker] > order[layer.node]:
        return None
    return str(add.outputs[0].name), str(other.name)

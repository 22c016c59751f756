"""A repair: move the mean error that all rounding causes into the layers' biases, layer by layer.

The empirical bias correction of Nagel et al. 2019 (arXiv:1906.04721), section 4.2 and appendix D: layers are visited
from the inputs on; the mean of a layer's result per channel in the quantized graph, whose earlier layers are corrected
already, is compared with that in the float graph, and the difference is taken from the bias. Unlike `correct_biases`
this covers what activations lose by rounding and clipping, too.

Departures: only the layers whose means are off most are visited, which bounds the cost to two runs of the quantized
graph over the samples for each; and a correction is kept only if it brings the outputs nearer to the float graph's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.calibrate.channel_statistics import ChannelStatistics
from edgeai_converters.calibrate.inner_values import InnerValues
from edgeai_converters.graph.shapes import shape_of
from edgeai_converters.quantize.bias_correction import bias_and_result
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.output_error import OutputError
from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.units import node_keys

MOST_LAYERS = 12
"""Layers that are corrected at most: those whose means are off most, as a share of the layer's largest value."""

LEAST_SHIFT = 1e-3
"""Share of the layer's largest value below which a mean is not off."""

Batches = Iterable[Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """A layer with a bias of its own: the names of the bias and of the result, and the result's channel axis."""

    bias: str
    result: str
    axis: int


def correct_biases_empirically(
    model: ir.Model, plan: QuantizationPlan, batches: Batches, *, most: int = MOST_LAYERS
) -> tuple[ir.Model, bool]:
    """Return a copy of the float graph with corrected biases, to be quantized by the same plan.

    Only layers in integers are touched that have a bias of their own, not shared with another.

    Args:
        model: the float graph; not changed. With `correct_biases` applied before, less is left to do here.
        plan: what will be stored how.
        batches: input arrays by name; read once, and held: some tens of samples suffice.
        most: layers that are corrected at most.
    """
    layers = _layers(model, plan)
    if not layers or not plan.activations:
        return model, False
    error = OutputError(model, batches)
    wanted = _statistics(model, layers, error.batches)
    quantized = insert_qdq(model, plan)[0]
    found = _statistics(quantized, layers, error.batches)
    off = {layer: _largest_shift(wanted[layer.result], found[layer.result]) for layer in layers}
    worst = sorted((layer for layer in layers if off[layer] > LEAST_SHIFT), key=lambda layer: -off[layer])[:most]
    best, least = model, error.of(quantized)
    for layer in (one for one in layers if one in worst):
        seen = _statistics(insert_qdq(best, plan)[0], [layer], error.batches)[layer.result]
        tried = _with_bias(best, layer.bias, np.subtract(seen.means, wanted[layer.result].means))
        output_error = error.of(insert_qdq(tried, plan)[0])
        if output_error < least:
            best, least = tried, output_error
    return best, best is not model


def _layers(model: ir.Model, plan: QuantizationPlan) -> list[_Layer]:
    """Return the layers in integers that have a constant bias of their own, in the graph's order."""
    keys = node_keys(model)
    layers = []
    for node in model.graph:
        if keys[node] in plan.float_nodes or node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        if node.inputs[1] is None or node.inputs[1].name not in plan.weights:
            continue
        bias, result = bias_and_result(node)
        rank = len(shape_of(result) or ())
        if bias is None or bias.const_value is None or len(bias.uses()) != 1 or len(bias.const_value.shape) != 1:
            continue
        if rank:
            axis = 1 if node.op_type in ("Conv", "ConvTranspose") else rank - 1
            layers.append(_Layer(bias=str(bias.name), result=str(result.name), axis=axis))
    return layers


def _statistics(model: ir.Model, layers: Iterable[_Layer], batches: Batches) -> dict[str, ChannelStatistics]:
    values = ir.convenience.create_value_mapping(model.graph)
    statistics = {layer.result: ChannelStatistics(layer.axis) for layer in layers}
    inner = InnerValues(model, [values[name] for name in statistics])
    for batch in batches:
        for _, name, array in inner.read(batch):
            statistics[name].add(array)
    return statistics


def _largest_shift(wanted: ChannelStatistics, found: ChannelStatistics) -> float:
    largest = max(wanted.maxima, default=0.0)
    return float(np.abs(np.subtract(found.means, wanted.means)).max()) / largest if largest > 0 else 0.0


def _with_bias(model: ir.Model, name: str, shift: NDArray[np.float64]) -> ir.Model:
    """Return a copy of the model with `shift` taken from a bias."""
    copy = model.clone()
    bias = copy.graph.initializers[name]
    assert bias.const_value is not None
    old = bias.const_value.numpy()
    bias.const_value = ir.tensor((old.astype(np.float64) - shift).astype(old.dtype), name=name)
    return copy

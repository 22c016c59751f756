"""Normalization put back for the time of a training: folded networks train far better with it.

    x ── Conv ── y      →      x ── Conv ── NormalizeBatch ── y      →      x ── Conv' ── y

BatchNormalization (Ioffe and Szegedy 2015, arXiv:1502.03167) behind each convolution, begun with the statistics that
the convolution's outputs have, so that the network computes what it did; batch statistics while it trains, their
running means when it is scored. At the end it is folded into the convolution again: the graph keeps its form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.calibrate.inner_values import InnerValues
from edgeai_converters.graph.shapes import shape_of
from edgeai_converters.train.examples import Examples
from edgeai_converters.train.ops.table import HOUSE_DOMAIN
from edgeai_converters.train.parameters import trained_constants
from edgeai_converters.train.twin import Twin, make_twin, write_back

EPSILON = 1e-5
_SAMPLES, _BATCH = 128, 32
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """A convolution with what stands behind it.

    Attributes:
        output: name of its output.
        weight, bias: names of its constants.
        scale, shift, mean, variance: names of the normalization's.
    """

    output: str
    weight: str
    bias: str
    scale: str
    shift: str
    mean: str
    variance: str


def make_normalized_twin(
    model: ir.Model, examples: Examples, *, with_outputs: Callable[[ir.Model], ir.Model] = lambda model: model
) -> tuple[Twin, Callable[[], ir.Model]] | None:
    """Return a twin that normalizes behind its convolutions, and what gives the graph with its weights, folded.

    Args:
        model: the float graph; not changed.
        examples: of which some are run for the statistics to begin with.
        with_outputs: adds outputs to a graph.

    Returns:
        `None` where nothing can be normalized: no convolution with constant weights and a bias, or a fixed batch.
    """
    layers = list(_layers(model))
    if not layers or not all(_is_free(value) for value in model.graph.inputs):
        return None
    made = model.clone()
    statistics = _measure(model, layers, examples)
    trained = [name for name in trained_constants(model) if name not in {layer.bias for layer in layers}]
    for layer in layers:
        mean, variance = statistics[layer.output]
        _insert(made, layer, mean, variance)
        trained += [layer.scale, layer.shift]
    twin = make_twin(with_outputs(made), trained=trained)

    def fold() -> ir.Model:
        state = {name: tensor.detach().cpu().numpy() for name, tensor in twin.state_dict().items()}
        found = write_back(twin, made).graph.initializers
        result = model.clone()
        for name in trained_constants(model):
            result.graph.initializers[name].const_value = found[name].const_value
        for layer in layers:
            scale, shift, mean, variance = (
                np.asarray(state[name], np.float64) for name in (layer.scale, layer.shift, layer.mean, layer.variance)
            )
            factor = scale / np.sqrt(variance + EPSILON)
            weight, bias = (_array(result, name) for name in (layer.weight, layer.bias))
            _set(result, layer.weight, weight * factor.reshape(-1, *(1,) * (weight.ndim - 1)))
            _set(result, layer.bias, (bias - mean) * factor + shift)
        return result

    return twin, fold


def _layers(model: ir.Model) -> Iterator[_Layer]:
    for number, node in enumerate(model.graph):
        if node.op_type != "Conv" or len(node.inputs) < 3:
            continue
        weight, bias = node.inputs[1], node.inputs[2]
        if any(one is None or one.const_value is None or len(one.uses()) != 1 for one in (weight, bias)):
            continue
        names = {kind: f"normalized_{number}_{kind}" for kind in ("scale", "shift", "mean", "variance")}
        yield _Layer(output=str(node.outputs[0].name), weight=str(weight.name), bias=str(bias.name), **names)  # type: ignore[union-attr]


def _insert(model: ir.Model, layer: _Layer, mean: NDArray[Any], variance: NDArray[Any]) -> None:
    values = ir.convenience.create_value_mapping(model.graph)
    output = values[layer.output]
    conv = output.producer()
    assert conv is not None
    arrays = {layer.scale: np.sqrt(variance + EPSILON), layer.shift: mean, layer.mean: mean, layer.variance: variance}
    constants = []
    for name, array in arrays.items():
        value = ir.val(name, const_value=ir.tensor(array.astype(np.float32), name=name))
        model.graph.register_initializer(value)
        constants.append(value)
    node = ir.node("NormalizeBatch", [output, *constants], domain=HOUSE_DOMAIN, name=f"{layer.output}_normalize")
    made = node.outputs[0]
    made.shape, made.type = output.shape, output.type
    ir.convenience.replace_all_uses_with(output, made, replace_graph_outputs=True)
    node.replace_input_with(0, output)
    output.name, made.name = f"{layer.output}_before_normalization", layer.output
    model.graph.insert_after(conv, node)


def _measure(
    model: ir.Model, layers: list[_Layer], examples: Examples
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return mean and variance of each channel, `[channels]`, over some examples."""
    values = ir.convenience.create_value_mapping(model.graph)
    reader = InnerValues(model, [values[layer.output] for layer in layers])
    sums: dict[str, list[Any]] = {}
    for start in range(0, min(len(examples), _SAMPLES), _BATCH):
        chosen = np.arange(start, min(len(examples), _SAMPLES, start + _BATCH))
        for _, name, array in reader.read(examples.read(chosen)):
            axes = tuple(axis for axis in range(array.ndim) if axis != 1)
            exact = array.astype(np.float64)
            part = [exact.sum(axes), np.square(exact).sum(axes), array.size // array.shape[1]]
            sums[name] = [a + b for a, b in zip(sums[name], part, strict=True)] if name in sums else part
    found = {}
    for name, (total, squares, count) in sums.items():
        mean = total / count
        found[name] = (mean, np.maximum(squares / count - mean**2, _LEAST_VARIANCE))
    return found


def _is_free(value: ir.Value) -> bool:
    shape = shape_of(value)
    return shape is not None and len(shape) > 0 and not isinstance(shape[0], int)


def _array(model: ir.Model, name: str) -> NDArray[Any]:
    constant = model.graph.initializers[name].const_value
    assert constant is not None
    return np.asarray(constant.numpy(), np.float64)


def _set(model: ir.Model, name: str, array: NDArray[Any]) -> None:
    value = model.graph.initializers[name]
    value.const_value = ir.tensor(array.astype(np.float32), name=name)

"""The pass that writes weights as products of two smaller ones.

    Gemm(W, b)   →   Gemm(Uᵀ·W) → Gemm(U, b')                  [o, i] → [r, i], [o, r]
    Conv k×k(W)  →   Conv k×k(Uᵀ·W) → Conv 1×1(U, b')           the first one keeps strides, pads and dilations
    Gather(T)    →   Gather(T·U) → MatMul(Uᵀ)                   a narrow table, made wide again
    LSTM(W, R)   →   MatMul(Uᵀ·W) → LSTM(U, R)                  what is read is projected once, for all gates

with `U [o, r]` the first directions of `low_rank_spectrum.py`. At full rank nothing changes but rounding.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.edit import add_constant, add_node, attribute, change_constant, input_of, replace_node
from edgeai_converters.graph.passes.tidy import remove_dead_nodes
from edgeai_converters.graph.shapes import infer_shapes
from edgeai_converters.prune.low_rank_layers import FactorableLayer, factorable_layers
from edgeai_converters.prune.low_rank_plan import LowRankPlan
from edgeai_converters.prune.low_rank_spectrum import Moments, spectrum_of
from edgeai_runtime.errors import UsageError


def factorise(
    model: ir.Model, plan: LowRankPlan, *, moments: Mapping[str, Moments] | None = None
) -> tuple[ir.Model, bool]:
    """Return a copy of the graph with the planned weights written as products, and whether there were any.

    Names of values, inputs and outputs stay. Holds one weight's factors at a time.

    Args:
        model: the graph that was planned for; not changed.
        plan: which weights, of which ranks.
        moments: those that the plan was made with, when there were any.

    Raises:
        UsageError: the plan was made with moments and none are given, or names a weight the graph does not have.
    """
    if plan.aware and moments is None:
        raise UsageError("The plan was made from samples, so their moments are needed to carry it out.")
    if not plan.layers:
        return model, False
    model = model.clone()
    layers = {layer.name: layer for layer in factorable_layers(model, least_elements=0)}
    for planned in plan.layers:
        layer = layers.get(planned.weight)
        if layer is None:
            raise UsageError(f"The graph has no weight {planned.weight!r} that can become a product.")
        _write(model, layer, planned.rank, moments[layer.name] if plan.aware and moments is not None else None)
    remove_dead_nodes(model)
    infer_shapes(model)
    return model, True


def _write(model: ir.Model, layer: FactorableLayer, rank: int, moments: Moments | None) -> None:
    spectrum = spectrum_of(layer, moments)
    up = spectrum.basis[:, :rank]
    down = up.T @ layer.matrix
    bias = layer.bias
    if bias is not None and spectrum.mean is not None:
        # What the outputs say on average is kept by the bias: y' = U·Uᵀ·(y − mean) + mean.
        change_constant(
            model, layer.nodes[0], 2, _like_bias(layer, up @ (up.T @ (bias - spectrum.mean)) + spectrum.mean)
        )
    if layer.kind == "dense":
        _write_dense(model, layer, up, down)
    elif layer.kind == "convolution":
        _write_convolution(model, layer, up, down)
    elif layer.kind == "embedding":
        _write_embedding(model, layer, up, down)
    else:
        _write_recurrent(model, layer, up, down)


def _like_bias(layer: FactorableLayer, values: NDArray[np.float64]) -> NDArray[np.float32]:
    old = input_of(layer.nodes[0], 2)
    assert old is not None
    assert old.const_value is not None
    return values.reshape(old.const_value.shape.numpy()).astype(np.float32)


def _constants(
    model: ir.Model, layer: FactorableLayer, first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[ir.Value, ir.Value]:
    """Register both factors, named after the weight: what comes first in the graph, then the other."""
    return (
        add_constant(model, f"{layer.name}_in", first.astype(np.float32)),
        add_constant(model, f"{layer.name}_out", second.astype(np.float32)),
    )


def _write_dense(model: ir.Model, layer: FactorableLayer, up: NDArray[np.float64], down: NDArray[np.float64]) -> None:
    turned = any(attribute(node, "transB", 0) for node in layer.nodes)
    first, second = _constants(model, layer, *((down, up) if turned else (down.T, up.T)))
    for node in layer.nodes:
        attributes = {"transB": 1} if turned else None
        inner = add_node(model, node, node.op_type, [node.inputs[0], first], name=_inner(node), attributes=attributes)
        node.replace_input_with(0, inner)
        node.replace_input_with(1, second)


def _write_convolution(
    model: ir.Model, layer: FactorableLayer, up: NDArray[np.float64], down: NDArray[np.float64]
) -> None:
    shape = layer.value.const_value.shape.numpy() if layer.value.const_value is not None else ()
    ones = (1,) * (len(shape) - 2)
    first, second = _constants(model, layer, down.reshape(-1, *shape[1:]), up.reshape(*up.shape, *ones))
    for node in layer.nodes:
        attributes = {name: attribute(node, name, None) for name in node.attributes}
        inner = add_node(model, node, "Conv", [node.inputs[0], first], name=_inner(node), attributes=attributes)
        bias = input_of(node, 2)
        outer = add_node(
            model,
            node,
            "Conv",
            [inner, second, *([bias] if bias is not None else [])],
            name=str(node.name or node.outputs[0].name),
            like=node.outputs[0],
        )
        replace_node(model, node, outer)


def _write_embedding(
    model: ir.Model, layer: FactorableLayer, up: NDArray[np.float64], down: NDArray[np.float64]
) -> None:
    first, second = _constants(model, layer, down.T, up.T)
    for node in layer.nodes:
        inner = add_node(model, node, "Gather", [first, node.inputs[1]], name=_inner(node), attributes={"axis": 0})
        outer = add_node(
            model, node, "MatMul", [inner, second], name=str(node.name or node.outputs[0].name), like=node.outputs[0]
        )
        replace_node(model, node, outer)


def _write_recurrent(
    model: ir.Model, layer: FactorableLayer, up: NDArray[np.float64], down: NDArray[np.float64]
) -> None:
    assert layer.value.const_value is not None
    directions, rows, _ = layer.value.const_value.shape.numpy()
    first, second = _constants(model, layer, down.T, up.reshape(directions, rows, -1))
    node = layer.nodes[0]
    node.replace_input_with(0, add_node(model, node, "MatMul", [node.inputs[0], first], name=_inner(node)))
    node.replace_input_with(1, second)


def _inner(node: ir.Node) -> str:
    return f"{node.name or node.outputs[0].name}_in"

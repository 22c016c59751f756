"""A repair: move the mean error that rounded weights cause into the layers' biases.

Bias correction of Nagel et al. 2019 (arXiv:1906.04721), section 4.2, equation 17: the output of a layer whose weights
are off by `dW` is off by `dW · E[x]` on average, per channel; subtracting it from the bias costs nothing at run time.
`E[x]` is measured on calibration samples (their empirical variant), from the float graph, so the order of layers does
not matter. For convolutions with padding the mean over the inside stands for the border too: an approximation.
Errors of activations are not corrected: see `bias_correction_empirical`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.quantize.affine import dequantize_array, quantize_array
from edgeai_converters.quantize.plan import QuantizationPlan, TensorQuantization
from edgeai_converters.quantize.units import node_keys


def correct_biases(
    model: ir.Model, plan: QuantizationPlan, channel_means: Mapping[str, Sequence[float]]
) -> tuple[ir.Model, bool]:
    """Return a copy of the float graph with corrected biases, to be quantized by the same plan.

    Only layers that have a bias of their own (not shared with another) and whose weights the plan stores are touched.

    Args:
        model: the float graph; not changed.
        plan: what will be stored how.
        channel_means: mean of the layers' inputs per channel (`Ranges.channel_means`).
    """
    model = model.clone()
    keys = node_keys(model)
    changed = False
    for node in model.graph:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or keys[node] in plan.float_nodes:
            continue
        value, weight = node.inputs[:2]
        bias, _ = bias_and_result(node)
        if value is None or weight is None or bias is None or value.name not in channel_means:
            continue
        stored = plan.weights.get(str(weight.name))
        if stored is None or weight.const_value is None or bias.const_value is None or len(bias.uses()) != 1:
            continue
        error = _weight_error(weight.const_value.numpy(), stored)
        mean = np.asarray(channel_means[str(value.name)], np.float64)
        if error.ndim < 2 or mean.size != _input_channels(node, error.shape):  # measured for another layout
            continue
        shift = _output_shift(node, error, mean)
        if tuple(bias.const_value.shape)[-1:] != shift.shape:  # one number for all channels
            continue
        corrected = (bias.const_value.numpy() - shift).astype(np.float32)
        bias.const_value = ir.tensor(corrected, name=bias.name)
        changed = True
    return model, changed


def bias_and_result(node: ir.Node) -> tuple[ir.Value | None, ir.Value]:
    """Return the bias of a layer and the value that it has been added to; a MatMul's stands in the Add that follows."""
    result = node.outputs[0]
    if node.op_type != "MatMul":
        return (node.inputs[2] if len(node.inputs) > 2 else None), result
    readers = list(result.uses())
    if len(readers) != 1 or result.is_graph_output() or readers[0].node.op_type != "Add":
        return None, result
    add = readers[0].node
    return add.inputs[1 - readers[0].idx], add.outputs[0]


def _weight_error(weight: NDArray[np.generic], stored: TensorQuantization) -> NDArray[np.float64]:
    return dequantize_array(quantize_array(weight, stored), stored) - weight.astype(np.float64)


def _input_channels(node: ir.Node, shape: Sequence[int]) -> int:
    group, transposed = node.attributes.get("group"), node.attributes.get("transB")
    if node.op_type == "Conv":
        return shape[1] * (1 if group is None else group.as_int())
    return shape[1] if transposed is not None and transposed.as_int() else shape[0]


def _output_shift(node: ir.Node, error: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of what an error of the weights adds to the output, `[output channels]`."""
    if node.op_type in ("Gemm", "MatMul"):
        transposed = node.attributes.get("transB")
        return np.asarray(error @ mean if transposed is not None and transposed.as_int() else mean @ error)
    summed = error.reshape(*error.shape[:2], -1).sum(axis=2)  # [out, in / groups]
    groups = mean.size // summed.shape[1]
    mean_of_output = np.repeat(mean.reshape(groups, -1), summed.shape[0] // groups, axis=0)
    return np.asarray((summed * mean_of_output).sum(axis=1))

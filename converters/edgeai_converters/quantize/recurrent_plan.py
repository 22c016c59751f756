"""Recurrent layers (LSTM, GRU, RNN) in a static int8 plan: what each engine has for them.

- TFLite: written step by step they are dense layers, products and functions, all with int8 kernels that XNNPACK runs
  in one partition. `lower_recurrent` does that before calibration, so that every step's values get ranges of their
  own. Measured on a keyword GRU (25 steps, 154 hidden): 0.48 of float's time, 0.1 to 0.3 points lost, provided that
  the layer's input is kept in float where its features differ much in size (`sensitive_inputs.py`); 1.5 else.
- ONNX Runtime: an LSTM becomes DynamicQuantizeLSTM: int8 weights, input and state quantized at every step, gates in
  float (0.5 to 0.7 of float's time from 128 hidden on). There is no such kernel for GRU and RNN, and step by step they
  run 2.6 times slower than the float kernel.
- OpenVINO: its int8 kernel forces one scale on the input and on the state, whose ranges have nothing to do with each
  other (11 points lost on the same GRU by a tool that does so); step by step it runs many times slower. And beside
  other integer layers it refuses recurrent weights that are stored in int8. The layer stays in float.

What stays a recurrent layer has its reason in the plan, and, but for OpenVINO, its weights in int8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx_ir as ir

from edgeai_converters.emit.dynamic_lstm import LEAST_HIDDEN
from edgeai_converters.emit.tflite.recurrent import has_kernel
from edgeai_converters.graph.passes.unroll_recurrent import refusal, unroll_recurrent
from edgeai_converters.graph.recurrent.layer import GATES, RecurrentError, RecurrentLayer, read_layer
from edgeai_converters.graph.shapes import infer_shapes
from edgeai_converters.quantize.affine import weight_quantization
from edgeai_converters.quantize.plan import TensorQuantization
from edgeai_runtime.manifest import Format

RECURRENT = frozenset(GATES)
"""The operators."""

MOST_COPIED = 8 * 2**20
"""Bytes of int8 recurrent weights, counted once per step, up to which an LSTM is unrolled: XNNPACK keeps a copy for
every operator that reads them. A longer one is left to the engine's own kernel, with int8 weights."""

LEAST_ELEMENTS = 1024
"""Smaller weights stay in float32."""

_REASONS: Mapping[str, str] = {
    "LSTM onnx": "computed with int8 weights by DynamicQuantizeLSTM, which quantizes input and state at every step",
    "onnx": "ONNX Runtime has no integer kernel for it, and step by step it runs slower: its weights are stored in "
    "int8, computed in float",
    "openvino": "OpenVINO's integer kernel forces one scale on input and state, which loses accuracy",
}


def lower_recurrent(model: ir.Model, format: Format) -> tuple[ir.Model, bool]:
    """Return the graph that is to be calibrated and planned for a format, and whether it differs.

    For TFLite recurrent layers are written step by step; results agree to rounding (1e-5). Names of inputs and outputs
    stay, names of inner values are new: collect ranges on this graph. For other formats the model itself comes back.

    Args:
        model: the float graph, simplified, shapes inferred; not changed.
        format: the format it will be emitted in.
    """
    if format != "tflite" or not any(node.op_type in RECURRENT for node in model.graph):
        return model, False
    lowered, changed = unroll_recurrent(model.clone(), wanted=_is_unrolled)
    if not changed:
        return model, False
    infer_shapes(lowered)
    return lowered, True


def float_reason(node: ir.Node, scheme: str) -> str:
    """Return why a recurrent layer is not computed in static int8, and how it is computed instead."""
    if scheme.startswith("tflite"):
        return f"{_unrolled_refusal(node)}: its weights are int8, and its activations are quantized as it runs"
    target = "openvino" if scheme.startswith("openvino") else "onnx"
    if node.op_type == "LSTM" and target == "onnx" and _hidden(node) < LEAST_HIDDEN:
        return f"below {LEAST_HIDDEN} hidden numbers float is faster: its weights are stored in int8, computed in float"
    return _REASONS.get(f"{node.op_type} {target}", _REASONS[target])


def plan_recurrent_weights(
    layers: Iterable[ir.Node], scheme: str, *, taken: Mapping[str, TensorQuantization]
) -> dict[str, TensorQuantization]:
    """Return the int8 storage of W and R of recurrent layers, one scale per row, by the name of the constant.

    Constants that another layer stores otherwise (`taken`) and small ones are left out; for OpenVINO all are.
    """
    found: dict[str, TensorQuantization] = {}
    if scheme.startswith("openvino"):
        return found
    for node in layers:
        for index in (1, 2):
            value = node.inputs[index] if index < len(node.inputs) else None
            if value is None or value.const_value is None or value.name is None or value.name in taken:
                continue
            if value.const_value.dtype == ir.DataType.FLOAT and value.const_value.size >= LEAST_ELEMENTS:
                found[value.name] = weight_quantization(value.const_value.numpy(), axis=1)
    return found


def _hidden(node: ir.Node) -> int:
    """Return the numbers of the state, 0 when they are not known."""
    recurrence = node.inputs[2].const_value if len(node.inputs) > 2 and node.inputs[2] is not None else None
    return 0 if recurrence is None else int(recurrence.shape[-1])  # type: ignore[arg-type]


def _unrolled_refusal(node: ir.Node) -> str:
    try:
        layer = read_layer(node)
    except RecurrentError as error:
        return str(error)
    if (reason := refusal(layer)) is not None:
        return reason
    if not _is_unrolled(layer):
        return f"its {layer.steps} steps would copy {_copied(layer) / 2**20:.0f} MB of weights, written one by one"
    return "it was not written step by step before calibration"


def _is_unrolled(layer: RecurrentLayer) -> bool:
    return _copied(layer) <= MOST_COPIED or not has_kernel(layer)


def _copied(layer: RecurrentLayer) -> int:
    return layer.length * len(layer.directions) * GATES[layer.kind] * layer.hidden**2

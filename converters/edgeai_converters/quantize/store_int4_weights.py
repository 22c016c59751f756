"""The pass that stores the weights of dense layers as int4, one scale per group of inputs; activations stay float.

    W (float32) ── MatMul   →   W (int4) ── DequantizeLinear(block_size) ── MatMul

Weights that lie on the grid already (`gptq.py`) are stored exactly. Everything else of the graph stays float; storing
int8 weights after this pass takes convolutions and smaller layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ml_dtypes
import onnx_ir as ir

from edgeai_converters.graph.edit import add_constant, add_node
from edgeai_converters.graph.execute import model_size
from edgeai_converters.graph.opset import can_raise_opset, raise_opset
from edgeai_converters.quantize.dense_weights import DenseWeight, dense_weights
from edgeai_converters.quantize.integer_groups import group_weights
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Format

_OPSET = 21
"""The first with int4 and with block_size."""

_IR_VERSION = 10
"""The first with int4 tensors."""


@dataclass(frozen=True, kw_only=True)
class Int4Support:
    """What an engine does with int4 weights.

    Attributes:
        least_elements: smaller weights stay float: the kernel is not faster than float's there.
        groups: group sizes that its kernels take; 0 is one group per output channel.
        kernel: what computes with them.
        limits: where it does not, and what stays float.
    """

    least_elements: int
    groups: tuple[int, ...]
    kernel: str
    limits: str


INT4_SUPPORT: Mapping[Format, Int4Support] = {
    "onnx": Int4Support(
        least_elements=262_144,
        groups=(0, 16, 32, 64, 128, 256),
        kernel="MatMulNBits, which reads the int4 weights and rounds activations to 8 bits in blocks",
        limits="Below 256 x 1024 slower than float as soon as there are many rows. The session option "
        "session.qdq_matmulnbits_accuracy_level=1 keeps activations in float; it is no faster than float then.",
    ),
    "openvino": Int4Support(
        least_elements=65_536,
        groups=(0, 16, 32, 64, 128, 256),
        kernel="FullyConnected with compressed weights, which rounds activations to 8 bits in groups",
        limits="Below 256 x 256 slower than float for a single row.",
    ),
    "tflite": Int4Support(
        least_elements=4_096,
        groups=(0, 32, 64, 128, 256),
        kernel="XNNPACK's FULLY_CONNECTED (qd8-f32-qb4w, qc4w), which rounds activations to 8 bits by row",
        limits="LiteRT's own kernel, used without XNNPACK, answers wrongly with groups; with one group per channel "
        "(group 0) both are right. Behind a flattened map the weights are written as float.",
    ),
}
"""Format → what runs; measured on x86 with VNNI, one thread. Embedding tables and convolutions are int4 in none."""


def store_int4_weights(model: ir.Model, *, format: Format, group: int = 32) -> tuple[ir.Model, bool]:
    """Return a copy of the graph whose large dense weights are stored as int4, and whether any was.

    Args:
        model: the float graph; not changed.
        format: the format it will be emitted in.
        group: inputs that share a scale, one of `INT4_SUPPORT[format].groups`; 0: all inputs of an output channel.
            Layers whose number of inputs is no multiple of it stay float.

    Raises:
        UsageError: the engine of that format has no kernel for that group size.
    """
    support = INT4_SUPPORT[format]
    if group not in support.groups:
        known = ", ".join(map(str, support.groups))
        raise UsageError(f"{format} has no int4 kernel for groups of {group}.", hint=f"Group sizes: {known}.")
    model = model.clone()
    found = tuple(dense_weights(model, least_elements=support.least_elements, group=group))
    if not found or not can_raise_opset(model, _OPSET):
        return model, False
    raise_opset(model, _OPSET)
    model.ir_version = max(model.ir_version, _IR_VERSION)
    for weight in found:
        _store(model, weight, group)
    return model, True


def _store(model: ir.Model, weight: DenseWeight, group: int) -> None:
    name = weight.value.name
    grouped = group_weights(weight.matrix, group=group or weight.inputs)
    stored = add_constant(model, f"{name}_int4", weight.laid(grouped.integers).astype(ml_dtypes.int4))
    scales = weight.laid(grouped.scales) if group else grouped.scales.reshape(-1)
    scale = add_constant(model, f"{name}_scale", scales)
    first = next(node for node in model.graph if node in weight.nodes)
    real = add_node(
        model,
        first,
        "DequantizeLinear",
        [stored, scale],
        name=f"{name}_dequantized",
        attributes={"axis": weight.input_axis, "block_size": group} if group else {"axis": 1 - weight.input_axis},
        like=weight.value,
    )
    real.type, real.shape = ir.TensorType(ir.DataType.FLOAT), stored.shape
    for node in weight.nodes:
        node.replace_input_with(1, real)
    del model.graph.initializers[str(name)]


def worth_int4(model: ir.Model, *, format: Format, group: int = 32) -> bool:
    """Tell whether int4 is worth trying: what would become int4 is at least half of all bytes of constants."""
    if not can_raise_opset(model, _OPSET):
        return False
    support = INT4_SUPPORT[format]
    stored = sum(4 * weight.size for weight in dense_weights(model, least_elements=support.least_elements, group=group))
    return 2 * stored >= model_size(model) > 0

"""The lowest version of an operator that says what we write.

LiteRT only checks an upper bound; older readers and device compilers refuse a version that is higher than they know,
so none is higher than it must be. The numbers follow the public table in TensorFlow's `op_version.cc`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from edgeai_converters.emit.tflite.layout import Shape
from edgeai_converters.emit.tflite.quantization import Quantization


class TypedTensor(Protocol):
    """What a version depends on."""

    shape: Shape
    dtype: str
    quantization: Quantization | None


_FIRST_VERSION_FOR_INT8 = frozenset(
    {"RESHAPE", "PRELU", "LEAKY_RELU", "ELU", "HARD_SWISH", "NEG", "DIV", "QUANTIZE", "SQUEEZE", "EXPAND_DIMS", "SHAPE"}
)
"""Operators whose int8 kernels never got a number of their own; those of all others below are version 2."""


_VERSION_FOR_INT16 = {
    "ADD": 3,
    "SUB": 5,
    "MUL": 4,
    "CONCATENATION": 3,
    "AVERAGE_POOL_2D": 3,
    "MAX_POOL_2D": 3,
    "LOGISTIC": 3,
    "TANH": 3,
    "SOFTMAX": 3,
    "MEAN": 3,
    "PAD": 3,
    "PADV2": 3,
    "SLICE": 4,
    "SPLIT": 4,
    "STRIDED_SLICE": 4,
    "TRANSPOSE": 2,
    "LEAKY_RELU": 2,
    "RESIZE_BILINEAR": 4,
    "RESIZE_NEAREST_NEIGHBOR": 4,
    "TRANSPOSE_CONV": 4,
    "GATHER": 4,
    "DEQUANTIZE": 3,
    "QUANTIZE": 2,
    "RELU": 3,
}
"""Operators with 16-bit activations."""

_VERSION_FOR_RANK_5 = {
    "TRANSPOSE": 4,
    "SLICE": 5,
    "STRIDED_SLICE": 4,
    "PAD": 4,
    "PADV2": 4,
    "MIRROR_PAD": 2,
    "SUB": 3,
    "MAXIMUM": 3,
    "MINIMUM": 3,
}


def operator_version(
    name: str, inputs: Sequence[TypedTensor | None], outputs: Sequence[TypedTensor], fields: Mapping[str, object]
) -> int:
    """Return the version to write for an operator.

    Args:
        name: builtin name.
        inputs: its input tensors; `None` for one that is left out.
        outputs: its output tensors.
        fields: the fields of its options.
    """
    first = _dtype(inputs, 0)
    second = _dtype(inputs, 1)
    if name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return _weighted_version(name, inputs, fields)
    if name in _VERSION_FOR_INT16 and any(tensor is not None and tensor.dtype == "int16" for tensor in inputs):
        return _VERSION_FOR_INT16[name]
    if name == "TRANSPOSE_CONV":
        if fields.get("fusedActivationFunction"):
            return 4
        return 3 if len(inputs) == 4 else 2 if second == "int8" else 1
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        return 2 if second == "int8" else 1
    if name == "SPLIT":
        return 2 if second == "int8" else 1
    if name == "DEQUANTIZE":
        return (5 if _is_per_channel(inputs[0]) else 2) if first == "int8" else 3
    if name == "BROADCAST_TO":
        return 2
    if name == "CAST":
        return 3 if first == "int8" else 1
    if name in ("RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR") and fields.get("halfPixelCenters"):
        return 3
    if name == "RESIZE_NEAREST_NEIGHBOR" and fields.get("alignCorners"):
        return 3
    rank = max((len(tensor.shape) for tensor in inputs if tensor is not None), default=0)
    if rank > 4 and name in _VERSION_FOR_RANK_5:
        return 6 if name == "TRANSPOSE" and rank > 5 else _VERSION_FOR_RANK_5[name]
    if first != "int8":
        return 1
    if name == "MUL" and _rescale_of_product(inputs, outputs) >= 1:
        return 3
    return 1 if name in _FIRST_VERSION_FOR_INT8 else 2


def _is_per_channel(tensor: TypedTensor | None) -> bool:
    return tensor is not None and tensor.quantization is not None and len(tensor.quantization.scale) > 1


def _rescale_of_product(inputs: Sequence[TypedTensor | None], outputs: Sequence[TypedTensor]) -> float:
    scales = [tensor.quantization for tensor in [*inputs, *outputs] if tensor is not None]
    if len(scales) != 3 or any(quantization is None for quantization in scales):
        return 0.0
    left, right, product = (float(quantization.scale[0]) for quantization in scales if quantization is not None)
    return left * right / product


def _dtype(inputs: Sequence[TypedTensor | None], position: int) -> str:
    tensor = inputs[position] if position < len(inputs) else None
    return "" if tensor is None else tensor.dtype


def _weighted_version(name: str, inputs: Sequence[TypedTensor | None], fields: Mapping[str, object]) -> int:
    activation, weight = inputs[0], inputs[1]
    assert activation is not None
    assert weight is not None
    if activation.dtype == "int16":
        return {"CONV_2D": 4, "DEPTHWISE_CONV_2D": 5}.get(name, 7)
    whole = activation.dtype == "int8"
    hybrid = activation.dtype == "float32" and weight.dtype in ("int8", "int4")
    per_channel = _is_per_channel(weight)
    if name == "CONV_2D":
        if weight.shape[3] != activation.shape[3]:
            return 6
        return 3 if whole else (5 if per_channel else 2) if hybrid else 1
    if name == "DEPTHWISE_CONV_2D":
        if hybrid:
            return 6 if per_channel else 4
        dilated = fields.get("dilationWFactor", 1) != 1 or fields.get("dilationHFactor", 1) != 1
        return 3 if whole else 2 if dilated else 1
    if hybrid and (per_channel or weight.dtype == "int4"):
        return 12
    if len(inputs) == 2 or inputs[2] is None:
        return 6
    if fields.get("keepNumDims"):
        return 5
    return 4 if whole else 3 if hybrid else 1

"""Tensors of an artifact as C sees them: types, sizes, scales."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from edgeai.exporting.rendering import float_literal
from edgeai_runtime.errors import ModelError
from edgeai_runtime.manifest import Quantization, TensorSpec

C_TYPES = {
    "float32": "float",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "bool": "bool",
}
_TENSOR_TYPES = {
    "float32": "kTfLiteFloat32",
    "int8": "kTfLiteInt8",
    "uint8": "kTfLiteUInt8",
    "int16": "kTfLiteInt16",
    "int32": "kTfLiteInt32",
    "int64": "kTfLiteInt64",
    "bool": "kTfLiteBool",
}
_LEAST = {"int8": -128, "uint8": 0, "int16": -32768}
_MOST = {"int8": 127, "uint8": 255, "int16": 32767}


@dataclass(frozen=True, kw_only=True)
class CTensor:
    """One input or output for the templates.

    Attributes:
        index: its number among the model's.
        name: in the file.
        shape: in words, with a batch of 1.
        count: elements of one sample.
        c_type, tensor_type: of an element, in C and in the interpreter's words.
        scale, zero_point: where it is quantized, else `None`.
        least, most: what the type holds, where it is quantized.
    """

    index: int
    name: str
    shape: str
    count: int
    c_type: str
    tensor_type: str
    scale: str | None = None
    zero_point: int | None = None
    least: int | None = None
    most: int | None = None


def c_tensor(spec: TensorSpec, index: int) -> CTensor:
    """Describe a tensor of the artifact; a free batch is 1.

    Raises:
        ModelError: a type that C has no word for here.
    """
    if spec.dtype not in C_TYPES:
        raise ModelError(f"The tensor {spec.name!r} is {spec.dtype}, which no program can give.")
    shape = [1 if size is None else size for size in spec.shape]
    quantization = spec.quantization if spec.dtype in _LEAST else None
    described = CTensor(
        index=index,
        name=spec.name,
        shape=" x ".join(map(str, shape)) or "1",
        count=prod(shape),
        c_type=C_TYPES[spec.dtype],
        tensor_type=_TENSOR_TYPES[spec.dtype],
    )
    return described if quantization is None else _quantized(described, quantization, spec.dtype)


def _quantized(tensor: CTensor, quantization: Quantization, dtype: str) -> CTensor:
    return replace(
        tensor,
        scale=float_literal(quantization.scale),
        zero_point=quantization.zero_point,
        least=_LEAST[dtype],
        most=_MOST[dtype],
    )

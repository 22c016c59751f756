"""Quantization schemes: what each engine computes in integers, and how it wants it written. Data, no code that decides.

A scheme gives each operator a role:

- `anchor`: worth quantizing for itself; has weights (convolutions, dense layers).
- `follower`: quantized when all its inputs are in integers already.
- `same_scale`: moves values only; input and output share one scale, so it costs nothing in integers.

What is in no role stays in float, with Quantize and Dequantize around it: a float island. Where an engine's integer
kernel is missing or slower, that is the faster choice. The tables were found by measuring one-operator models and by
reading optimised graphs: LiteRT 2.3 (XNNPACK delegation), ONNX Runtime 1.31 (x86-64), OpenVINO 2026.4.

16-bit activations (`*-int16x8`, `onnx-htp-u16`) are for engines with kernels: accelerators, and LiteRT's reference
kernels, which run some forty times slower than float on x86. OpenVINO has none: its CPU plugin computes what is stored
in 16 bits in float and rounds besides, and ONNX Runtime's CPU kernels do the same, so neither has such a scheme.
The Qualcomm schemes (`onnx-htp-*`) follow ONNX Runtime's documented rules for that provider; only their arithmetic
was checked, on CPU: no such device was at hand.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from edgeai_converters.quantize.plan import QuantizedDtype
from edgeai_runtime.manifest import Format

Role = Literal["anchor", "follower", "same_scale"]

_DENSE = ("Gemm", "MatMul")
MOVES = (
    "DepthToSpace",
    "Flatten",
    "Gather",
    "Identity",
    "MaxPool",
    "Pad",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
"""Operators that only move stored values: in integers they round nothing anew."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How one engine wants integers.

    Attributes:
        name: the name in `SCHEMES`.
        activation_dtype: stored type of activations, per tensor; asymmetric, but for int16.
        weight_limit: weights are int8, symmetric, in `[-weight_limit, weight_limit]`.
        per_channel: anchors whose weights have one scale per output channel; those of others have one scale.
        roles: operator → role.
        folded: activations computed inside the operator before them: no Quantize between the two.
        folds: operators that take such an activation in.
        fixed: operator → range of its output, where the engine leaves no choice.
        float_outputs: anchors that may hand out float: their output is quantized only if an integer operator reads it.
        integer_biases: biases are stored as int32; else they stay in float and the emitter stores them.
        integer_bias_adds: the vector added after a MatMul is stored as int32, as a dense layer's bias; else in float.
        relu_in_zero_point: a folded Relu exists only in the stored type's lowest value, so its output must keep a
            scale whose smallest value is 0.
        computed_products: products of two activations are computed in integers.
        wide: name of the scheme that single nodes of a plan can be computed by, with 16-bit activations.
        float_reasons: why an operator that could be expected here stays in float.
    """

    name: str
    activation_dtype: QuantizedDtype
    weight_limit: int = 127
    per_channel: frozenset[str] = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
    roles: Mapping[str, Role]
    folded: frozenset[str] = frozenset({"Relu", "Clip"})
    folds: frozenset[str] = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul"})
    fixed: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    float_outputs: frozenset[str] = frozenset()
    integer_biases: bool = True
    integer_bias_adds: bool = True
    relu_in_zero_point: bool = False
    computed_products: bool = False
    wide: str | None = None
    float_reasons: Mapping[str, str] = field(default_factory=dict)


def _roles(anchors: tuple[str, ...], followers: tuple[str, ...], moves: tuple[str, ...]) -> dict[str, Role]:
    roles: dict[str, Role] = dict.fromkeys(anchors, "anchor")
    roles.update(dict.fromkeys(followers, "follower"))
    roles.update(dict.fromkeys(moves, "same_scale"))
    return roles


_SOFTMAX_REASON = "Softmax in 8 bits loses accuracy and no engine gains by it"

_TFLITE = Scheme(
    name="tflite-int8",
    activation_dtype="int8",
    wide="tflite-int16x8",
    roles=_roles(
        ("Conv", "ConvTranspose", *_DENSE),
        ("Add", "Sub", "Mul", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "GlobalAveragePool", "ReduceMean"),
        ("Concat", "Resize", *MOVES),
    ),
    fixed={
        "Sigmoid": (0.0, 255 / 256),
        "Tanh": (-1.0, 127 / 128),
    },
    float_reasons={
        "Softmax": _SOFTMAX_REASON,
        "AveragePool": "XNNPACK has no int8 AVERAGE_POOL_2D: in float it stays delegated",
        "HardSwish": "XNNPACK has no int8 HARD_SWISH: in float it stays delegated",
        "Gelu": "XNNPACK has no int8 GELU: in float it stays delegated",
        "Relu": "no operator before it can take it in, and XNNPACK has no int8 RELU: in float it stays delegated",
        "Clip": "no operator before it can take it in, and XNNPACK has no int8 RELU6: in float it stays delegated",
        "PRelu": "XNNPACK has no int8 PRELU: in float it stays delegated",
    },
)

_TFLITE_16 = Scheme(
    name="tflite-int16x8",
    activation_dtype="int16",
    roles=_roles(
        ("Conv", "ConvTranspose", *_DENSE),
        (
            *("Add", "Sub", "Mul", "Sigmoid", "Tanh", "Softmax", "LeakyRelu"),
            *("GlobalAveragePool", "ReduceMean"),
        ),
        ("AveragePool", "Concat", "Resize", *(op for op in MOVES if op not in ("DepthToSpace", "SpaceToDepth"))),
    ),
    fixed={  # one scale for all: 1 / 32768
        "Sigmoid": (-32767 / 32768, 32767 / 32768),
        "Tanh": (-32767 / 32768, 32767 / 32768),
        "Softmax": (-32767 / 32768, 32767 / 32768),
    },
    integer_biases=False,
    float_reasons={
        "Elu": "LiteRT has no 16-bit ELU",
        "HardSwish": "LiteRT has no 16-bit HARD_SWISH",
        "Gelu": "LiteRT has no 16-bit GELU",
        "DepthToSpace": "LiteRT has no 16-bit DEPTH_TO_SPACE",
        "SpaceToDepth": "LiteRT has no 16-bit SPACE_TO_DEPTH",
    },
)

_ONNX = Scheme(
    name="onnx-u8s8",
    activation_dtype="uint8",
    roles=_roles(
        ("Conv", *_DENSE),
        ("Add", "Mul", "Sigmoid", "LeakyRelu", "GlobalAveragePool", "AveragePool"),
        ("Concat", "Resize", *MOVES),
    ),
    float_outputs=frozenset(_DENSE),
    integer_bias_adds=False,
    relu_in_zero_point=True,
    float_reasons={
        "Softmax": _SOFTMAX_REASON,
        "ConvTranspose": "ONNX Runtime has no integer kernel for it on CPU",
        "ReduceMean": "ONNX Runtime has no integer kernel for it on CPU",
    },
)

_OPENVINO = Scheme(
    name="openvino-u8s8",
    activation_dtype="uint8",
    roles=_roles(
        ("Conv", "ConvTranspose", *_DENSE),
        ("Add", "Mul", "GlobalAveragePool", "AveragePool", "ReduceMean"),
        ("Concat", "Resize", *MOVES),
    ),
    float_outputs=frozenset(_DENSE),
    integer_bias_adds=False,
    float_reasons={"Softmax": _SOFTMAX_REASON},
)

# An accelerator that hands an operator back to the CPU pays for the way: all that it has a kernel for is in integers.
_HTP = Scheme(
    name="onnx-htp-u8",
    activation_dtype="uint8",
    per_channel=frozenset({"Conv", "ConvTranspose"}),
    roles=_roles(
        ("Conv", "ConvTranspose", *_DENSE),
        (
            *("Add", "Sub", "Mul", "Div", "Sigmoid", "Tanh", "Elu", "HardSwish", "Gelu", "LeakyRelu", "Softmax"),
            *("Relu", "Clip", "GlobalAveragePool", "AveragePool", "ReduceMean", "ReduceSum"),
        ),
        ("Concat", "Resize", *MOVES),
    ),
    integer_bias_adds=False,
    computed_products=True,
    wide="onnx-htp-u16",
)

_HTP_16 = replace(
    _HTP,
    name="onnx-htp-u16",
    activation_dtype="uint16",
    fixed={"Sigmoid": (0.0, 65535 / 65536), "Tanh": (-1.0, 32767 / 32768)},
    wide=None,
)


SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        _TFLITE,
        replace(_TFLITE, name="tflite-int8-per-tensor", per_channel=frozenset()),
        _TFLITE_16,
        _ONNX,
        # Without VNNI, x86 adds pairs of u8·s8 products in 16 bits: 2 · 255 · 63 still fits, 2 · 255 · 127 does not.
        replace(_ONNX, name="onnx-u8s8-narrow", weight_limit=63),
        replace(_ONNX, name="onnx-s8s8", activation_dtype="int8"),
        _HTP,
        _HTP_16,
        _OPENVINO,
    )
}
"""The schemes by name."""


def scheme_for(format: Format, *, isa: Collection[str] = (), machine: str | None = None) -> Scheme:
    """Return the scheme that the format's CPU engine runs fastest, and right, on a machine.

    Args:
        format: the format to be written.
        isa: the machine's instruction set flags as the operating system names them; empty when not known.
        machine: its architecture (`x86_64`, `aarch64`, …); by default this machine's.

    Example:
        >>> scheme_for("onnx", isa=("avx2",), machine="x86_64").name
        'onnx-u8s8-narrow'
    """
    if format == "tflite":
        return SCHEMES["tflite-int8"]
    if format == "openvino":
        return SCHEMES["openvino-u8s8"]
    if (machine or platform.machine()).lower() in {"aarch64", "arm64", "armv7l", "armv8l"}:
        return SCHEMES["onnx-s8s8"]
    has_vnni = any("vnni" in flag or "amx_int8" in flag for flag in isa)
    return SCHEMES["onnx-u8s8" if has_vnni or not isa else "onnx-u8s8-narrow"]

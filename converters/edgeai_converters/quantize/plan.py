"""A quantization plan: which tensor of the graph is stored how. Data, decided once per scheme, applied by passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

QuantizedDtype = Literal["int8", "uint8", "int16", "uint16", "int32"]


@dataclass(frozen=True, kw_only=True)
class TensorQuantization:
    """Affine quantization `real = (stored - zero_point) * scale` of one tensor.

    Attributes:
        dtype: the stored type.
        scale: one value, or one per channel along `axis`.
        zero_point: as many values as `scale`; all 0 for symmetric quantization.
        axis: the channel axis in the graph's layout; `None` for per-tensor.
    """

    dtype: QuantizedDtype
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None


@dataclass(frozen=True, kw_only=True)
class QuantizationPlan:
    """What is stored in integers, by the name of the graph's values.

    Attributes:
        scheme: name of the scheme it was made for.
        activations: non-constant values that get Quantize/Dequantize nodes.
        weights: constant values stored as integers (biases as int32 with scale input × weight).
        tables: constants stored as integers that are only gathered from; what is gathered has the same scale.
        float_nodes: nodes kept in float, with the reason.
        dynamic_nodes: float nodes whose weights are stored in integers (recurrent layers); the engine quantizes their
            activations as it runs, or computes them in float.
        wide_nodes: integer nodes that compute with 16-bit activations in a plan of 8 bits.
        conversions: values that readers of both widths read: the form other than the one in `activations`.
        narrow_nodes: nodes that were to compute in 16 bits and do not, with the reason.
    """

    scheme: str
    activations: dict[str, TensorQuantization] = field(default_factory=dict)
    weights: dict[str, TensorQuantization] = field(default_factory=dict)
    tables: dict[str, TensorQuantization] = field(default_factory=dict)
    float_nodes: dict[str, str] = field(default_factory=dict)
    dynamic_nodes: tuple[str, ...] = ()
    wide_nodes: tuple[str, ...] = ()
    conversions: dict[str, TensorQuantization] = field(default_factory=dict)
    narrow_nodes: dict[str, str] = field(default_factory=dict)

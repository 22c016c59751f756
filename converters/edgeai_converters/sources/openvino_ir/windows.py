"""Padding of convolutions and pools, said as numbers wherever the sizes are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgeai_converters.sources.openvino_ir.operation import Operation, Shape


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The windows of a convolution or pool, one number per spatial axis.

    Attributes:
        kernel: size of a window.
        strides: step from one to the next.
        dilations: step inside.
        begins: padding before.
        ends: padding behind.
        auto_pad: ONNX's name of a padding that cannot be said in numbers; empty otherwise.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    auto_pad: str = ""

    @property
    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the ONNX node, without the kernel."""
        padding: dict[str, Any] = {"auto_pad": self.auto_pad} if self.auto_pad else {"pads": [*self.begins, *self.ends]}
        return {"strides": list(self.strides), "dilations": list(self.dilations), **padding}


def windows_of(operation: Operation, kernel: Sequence[int], sizes: Shape) -> Windows:
    """Return the windows of an operation.

    Args:
        operation: a convolution or pool.
        kernel: its spatial kernel.
        sizes: the spatial sizes of its input.
    """
    rank = len(kernel)
    strides = tuple(operation.integers("strides") or [1] * rank)
    dilations = tuple(operation.integers("dilations") or [1] * rank)
    begins = tuple(operation.integers("pads_begin") or [0] * rank)
    ends = tuple(operation.integers("pads_end") or [0] * rank)
    mode = str(operation.attribute("auto_pad", "explicit")).lower()
    auto_pad = ""
    if mode == "valid":
        begins = ends = (0,) * rank
    elif mode in ("same_upper", "same_lower"):
        totals = [
            None if size is None else same_total(size, kernel[i], strides[i], dilations[i])
            for i, size in enumerate(sizes)
        ]
        known = [total for total in totals if total is not None]
        if len(known) < rank:
            auto_pad = mode.upper()
        else:
            small, large = tuple(t // 2 for t in known), tuple(t - t // 2 for t in known)
            begins, ends = (small, large) if mode == "same_upper" else (large, small)
    return Windows(
        kernel=tuple(kernel), strides=strides, dilations=dilations, begins=begins, ends=ends, auto_pad=auto_pad
    )


def same_total(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Return the padding on both sides that gives `ceil(size / stride)` windows."""
    return max((math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)

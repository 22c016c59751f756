"""Padding of sliding windows: when TFLite's SAME or VALID say what the graph says, and what to pad when they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeai_converters.emit.tflite.layout import Shape


@dataclass(frozen=True, kw_only=True)
class Padding:
    """What a window operator needs: its mode, and zeros to add before it.

    Attributes:
        mode: `SAME` or `VALID`.
        before: per spatial axis, (begin, end) to add with an explicit PAD; all 0 when none is needed.
    """

    mode: str
    before: tuple[tuple[int, int], ...]

    @property
    def explicit(self) -> bool:
        """Whether a PAD is needed."""
        return any(amount for pair in self.before for amount in pair)


def same_amounts(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return (begin, end) that SAME adds; `kernel` is the extent with dilation. The smaller half comes first."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def onnx_amounts(
    auto_pad: str, pads: Sequence[int], size: int | None, kernel: int, stride: int, axis: int
) -> tuple[int, int]:
    """Return (begin, end) of one spatial axis by the graph's attributes.

    Raises:
        ValueError: automatic padding of a free dimension.
    """
    if auto_pad in ("", "NOTSET"):
        half = len(pads) // 2
        return (pads[axis], pads[axis + half]) if pads else (0, 0)
    if auto_pad == "VALID":
        return 0, 0
    if size is None:
        raise ValueError(f"auto_pad={auto_pad} on a free dimension")
    begin, end = same_amounts(size, kernel, stride)
    return (begin, end) if auto_pad == "SAME_UPPER" else (end, begin)


def resolve_padding(
    sizes: Shape, outputs: Shape, pads: Sequence[tuple[int, int]], kernels: Sequence[int], strides: Sequence[int]
) -> Padding:
    """Say how TFLite pads windows like the graph does.

    The end is padded only as far as the windows read, so that `ceil_mode` and superfluous padding need no PAD.

    Args:
        sizes: input sizes of the spatial axes; `None` when free.
        outputs: output sizes of the same axes.
        pads: (begin, end) per axis.
        kernels: extents with dilation, per axis.
        strides: per axis.
    """
    needed: list[tuple[int, int]] = []
    valid = same = True
    for size, output, (begin, end), kernel, stride in zip(sizes, outputs, pads, kernels, strides, strict=True):
        if size is None or output is None:
            needed.append((begin, end))
            valid &= begin == end == 0
            same &= stride == 1 and (begin, end) == same_amounts(kernel, kernel, 1)
            continue
        reach = (output - 1) * stride + kernel - size - begin
        needed.append((begin, max(reach, 0)))
        valid &= begin == 0 and reach <= 0 and (size - kernel) // stride + 1 == output
        same &= -(-size // stride) == output and same_amounts(size, kernel, stride) == (begin, max(reach, 0))
    nothing = tuple((0, 0) for _ in needed)
    if valid:
        return Padding(mode="VALID", before=nothing)
    if same:
        return Padding(mode="SAME", before=nothing)
    return Padding(mode="VALID", before=tuple(needed))

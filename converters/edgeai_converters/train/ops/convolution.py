"""Convolutions: Conv, ConvTranspose. Maps are NCHW (or NCW, NCDHW), weights as in ONNX."""

from __future__ import annotations

from typing import Any

from edgeai_converters.train.ops.view import NodeView, Run, Tensor


def conv(view: NodeView) -> Run:
    """Conv with groups, strides, dilations and any pads; auto_pad is resolved from the sizes met."""
    functional = view.torch.nn.functional
    groups = view.integer("group", 1)

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        rank = weight.ndim - 2
        strides = view.integer_list("strides", (1,) * rank)
        dilations = view.integer_list("dilations", (1,) * rank)
        assert strides is not None
        assert dilations is not None
        pads = window_pads(view, x.shape[2:], weight.shape[2:], strides, dilations)
        function = getattr(functional, f"conv{rank}d")
        if pads[:rank] == pads[rank:]:
            return function(x, weight, bias, strides, pads[:rank], dilations, groups)
        return function(functional.pad(x, torch_pads(pads)), weight, bias, strides, 0, dilations, groups)

    return run


def conv_transpose(view: NodeView) -> Run:
    """ConvTranspose: computed without padding, then cut to what the pads or the output shape leave."""
    functional = view.torch.nn.functional
    groups = view.integer("group", 1)
    output_shape = view.integer_list("output_shape")
    mode = view.word("auto_pad", "NOTSET")

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        rank = weight.ndim - 2
        strides = view.integer_list("strides", (1,) * rank) or []
        dilations = view.integer_list("dilations", (1,) * rank) or []
        extra = view.integer_list("output_padding", (0,) * rank) or []
        pads = view.integer_list("pads", (0,) * (2 * rank)) or []
        full = getattr(functional, f"conv_transpose{rank}d")(x, weight, None, strides, 0, 0, groups, dilations)
        begins, sizes = [], []
        for i in range(rank):
            reach = full.shape[2 + i] + extra[i]  # the output padding only makes room at the end
            if output_shape is not None or mode.startswith("SAME"):
                wanted = output_shape[i - rank] if output_shape is not None else x.shape[2 + i] * strides[i]
                total = max(reach - wanted, 0)
                begins.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
                sizes.append(wanted)
            else:
                begins.append(pads[i])
                sizes.append(reach - pads[i] - pads[rank + i])
        ends = [max(b + s - f, 0) for b, s, f in zip(begins, sizes, full.shape[2:], strict=True)]
        if any(ends):
            full = functional.pad(full, torch_pads([0] * rank + ends))
        for i in range(rank):
            full = full.narrow(2 + i, begins[i], sizes[i])
        return full if bias is None else full + bias.reshape(-1, *(1,) * rank)

    return run


def window_pads(view: NodeView, sizes: Any, kernel: Any, strides: Any, dilations: Any) -> list[int]:
    """Return the pads `[begins…, ends…]` of a windowed operator, with auto_pad resolved."""
    mode = view.word("auto_pad", "NOTSET")
    rank = len(kernel)
    if mode == "NOTSET":
        return view.integer_list("pads", (0,) * (2 * rank)) or []
    if mode == "VALID":
        return [0] * (2 * rank)
    begins, ends = [], []
    for size, reach, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        total = max((-(-size // stride) - 1) * stride + (reach - 1) * dilation + 1 - size, 0)
        small, large = total // 2, total - total // 2
        begins.append(large if mode == "SAME_LOWER" else small)
        ends.append(small if mode == "SAME_LOWER" else large)
    return begins + ends


def torch_pads(pads: list[int]) -> list[int]:
    """Return ONNX pads `[begins…, ends…]` of the last axes in PyTorch's order: last axis first, begin and end."""
    rank = len(pads) // 2
    return [pads[axis + side * rank] for axis in reversed(range(rank)) for side in (0, 1)]

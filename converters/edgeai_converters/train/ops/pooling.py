"""Pooling: MaxPool, AveragePool and the global ones, over maps `[N, C, …]`."""

from __future__ import annotations

from edgeai_converters.train.ops.convolution import torch_pads, window_pads
from edgeai_converters.train.ops.view import NodeView, Run, Tensor


def max_pool(view: NodeView) -> Run:
    """MaxPool: padding never wins."""
    functional = view.torch.nn.functional
    kernel, strides, dilations = _window(view)
    if len(view.node.outputs) > 1:
        raise view.unsupported("it hands out the places of the maxima")
    function = getattr(functional, f"max_pool{len(kernel)}d")

    def run(x: Tensor) -> Tensor:
        pads = _reach(view, x, kernel, strides, dilations)
        if any(pads):
            x = functional.pad(x, torch_pads(pads), value=float("-inf"))
        return function(x, kernel, strides, 0, dilations)

    return run


def average_pool(view: NodeView) -> Run:
    """AveragePool: padded places count only where `count_include_pad` says so, and those past the pads never."""
    functional = view.torch.nn.functional
    kernel, strides, dilations = _window(view)
    counts_pads = view.integer("count_include_pad", 0) == 1
    if any(step != 1 for step in dilations):
        raise view.unsupported("an average over places with gaps")
    if len(kernel) > 3:
        raise view.unsupported("more than three axes")
    function = getattr(functional, f"avg_pool{len(kernel)}d")

    def run(x: Tensor) -> Tensor:
        pads = window_pads(view, x.shape[2:], kernel, strides, dilations)
        reach = _reach(view, x, kernel, strides, dilations)
        if not any(reach):
            return function(x, kernel, strides)
        ones = view.torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
        if counts_pads:
            ones = functional.pad(ones, torch_pads(pads), value=1.0)
            past = [wide - given for wide, given in zip(reach, pads, strict=True)]
            ones = functional.pad(ones, torch_pads(past))
        else:
            ones = functional.pad(ones, torch_pads(reach))
        return function(functional.pad(x, torch_pads(reach)), kernel, strides) / function(ones, kernel, strides)

    return run


def global_average_pool(view: NodeView) -> Run:
    """GlobalAveragePool: the mean over all places; axes stay with size 1."""
    return lambda x: x.mean(tuple(range(2, x.ndim)), keepdim=True)


def global_max_pool(view: NodeView) -> Run:
    """GlobalMaxPool: the maximum over all places; axes stay with size 1."""
    return lambda x: x.amax(tuple(range(2, x.ndim)), keepdim=True)


def _window(view: NodeView) -> tuple[list[int], list[int], list[int]]:
    kernel = view.integer_list("kernel_shape") or []
    ones = (1,) * len(kernel)
    return kernel, view.integer_list("strides", ones) or [], view.integer_list("dilations", ones) or []


def _reach(view: NodeView, x: Tensor, kernel: list[int], strides: list[int], dilations: list[int]) -> list[int]:
    """Return the pads with the end widened to what the last window reads (`ceil_mode`)."""
    pads = window_pads(view, x.shape[2:], kernel, strides, dilations)
    if not view.integer("ceil_mode", 0):
        return pads
    rank = len(kernel)
    wide = list(pads)
    for i in range(rank):
        span = (kernel[i] - 1) * dilations[i] + 1
        size = x.shape[2 + i] + pads[i] + pads[rank + i]
        steps = -(-(size - span) // strides[i])
        if steps * strides[i] >= x.shape[2 + i] + pads[i]:  # a window that starts in the end's padding does not count
            steps -= 1
        wide[rank + i] += max(steps * strides[i] + span - size, 0)
    return wide

"""Reductions over axes, and the place of an extremum."""

from __future__ import annotations

from collections.abc import Callable

from edgeai_converters.train.ops.view import NodeView, Run, Tensor

_Reduce = Callable[[NodeView, Tensor, tuple[int, ...], bool], Tensor]

_KINDS: dict[str, _Reduce] = {
    "ReduceMean": lambda view, x, axes, keep: x.mean(axes, keepdim=keep),
    "ReduceSum": lambda view, x, axes, keep: x.sum(axes, keepdim=keep),
    "ReduceMax": lambda view, x, axes, keep: x.amax(axes, keepdim=keep),
    "ReduceMin": lambda view, x, axes, keep: x.amin(axes, keepdim=keep),
    "ReduceL1": lambda view, x, axes, keep: x.abs().sum(axes, keepdim=keep),
    "ReduceL2": lambda view, x, axes, keep: view.torch.linalg.vector_norm(x, 2, axes, keepdim=keep),
    "ReduceSumSquare": lambda view, x, axes, keep: (x * x).sum(axes, keepdim=keep),
    "ReduceLogSum": lambda view, x, axes, keep: x.sum(axes, keepdim=keep).log(),
    "ReduceLogSumExp": lambda view, x, axes, keep: view.torch.logsumexp(x, axes, keepdim=keep),
    "ReduceProd": lambda view, x, axes, keep: _product(x, axes, keep),
}


def reduction(view: NodeView) -> Run:
    """Reduce… over axes that are an input (opset 18), or an attribute in older graphs; all of them by default."""
    axes = view.integers(1) if view.has(1) else view.integer_list("axes")
    keep = view.integer("keepdims", 1) == 1
    nothing_to_do = not axes and view.integer("noop_with_empty_axes", 0) == 1
    compute = _KINDS[view.op_type]

    def run(x: Tensor, *_: Tensor) -> Tensor:
        chosen = tuple(axis % x.ndim for axis in axes) if axes else tuple(range(x.ndim))
        return x if nothing_to_do else compute(view, x, chosen, keep)

    return run


def extremum_place(name: str) -> Callable[[NodeView], Run]:
    """Return ArgMax or ArgMin: `torch.<name>` along one axis."""

    def build(view: NodeView) -> Run:
        axis, keep = view.integer("axis", 0), view.integer("keepdims", 1) == 1
        if view.integer("select_last_index", 0):
            raise view.unsupported("it asks for the last of equal places")
        function = getattr(view.torch, name)
        return lambda x: function(x, axis, keepdim=keep)

    return build


def cumulative_sum(view: NodeView) -> Run:
    """CumSum along a constant axis, in either direction, with or without the place itself."""
    axis = (view.integers(1) or [0])[0]
    backwards, exclusive = view.integer("reverse", 0), view.integer("exclusive", 0)

    def run(x: Tensor, *_: Tensor) -> Tensor:
        turned = x.flip(axis) if backwards else x
        summed = view.torch.cumsum(turned, axis) - (turned if exclusive else 0)
        return summed.flip(axis) if backwards else summed

    return run


def _product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x

"""Shapes: values stay, axes change."""

from __future__ import annotations

import math

from edgeai_converters.train.ops.view import NodeView, Run, Tensor


def reshape(view: NodeView) -> Run:
    """Reshape: 0 keeps a size (unless `allowzero`), -1 takes what is left."""
    wanted = view.sizes(1)
    assert wanted is not None
    keeps = view.integer("allowzero", 0) == 0

    def run(x: Tensor, shape: object = None) -> Tensor:
        sizes = [
            x.shape[i] if keeps and isinstance(size, int) and size == 0 else size
            for i, size in enumerate(wanted(shape))
        ]
        return x.reshape(sizes)

    return run


def flatten(view: NodeView) -> Run:
    """Flatten to two axes, cut before `axis`."""
    axis = view.integer("axis", 1)

    def run(x: Tensor) -> Tensor:
        cut = axis % x.ndim if axis < 0 else axis
        if cut == 1:
            return x.reshape(x.shape[0], -1)
        return x.reshape(math.prod(x.shape[:cut]), -1)

    return run


def transpose(view: NodeView) -> Run:
    """Transpose; without `perm` the order of axes is turned around."""
    order = view.integer_list("perm")
    return lambda x: x.permute(order if order is not None else tuple(reversed(range(x.ndim))))


def squeeze(view: NodeView) -> Run:
    """Squeeze the named axes, or all of size 1."""
    axes = view.integers(1) if view.has(1) else view.integer_list("axes")

    def run(x: Tensor, *_: Tensor) -> Tensor:
        dropped = {a % x.ndim for a in axes} if axes is not None else {i for i, s in enumerate(x.shape) if s == 1}
        return x.reshape([size for i, size in enumerate(x.shape) if i not in dropped])

    return run


def unsqueeze(view: NodeView) -> Run:
    """Unsqueeze: new axes of size 1 at the places they have in the result."""
    axes = (view.integers(1) if view.has(1) else view.integer_list("axes")) or []

    def run(x: Tensor, *_: Tensor) -> Tensor:
        rank = x.ndim + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            x = x.unsqueeze(axis)
        return x

    return run


def expand(view: NodeView) -> Run:
    """Expand by broadcasting in both directions: 1 keeps what there is."""
    wanted = view.sizes(1)
    assert wanted is not None

    def run(x: Tensor, shape: object = None) -> Tensor:
        sizes = wanted(shape)
        full = (1,) * (len(sizes) - x.ndim) + tuple(x.shape)
        sizes = [1] * (len(full) - len(sizes)) + sizes
        return x.expand(
            [old if isinstance(new, int) and new == 1 else new for old, new in zip(full, sizes, strict=True)]
        )

    return run


def tile(view: NodeView) -> Run:
    """Tile a whole number of times along each axis."""
    times = view.sizes(1)
    assert times is not None
    return lambda x, repeats=None: x.repeat(times(repeats))


def identity(view: NodeView) -> Run:
    """Identity, and Dropout, which training on a graph leaves out."""
    if any(value.name and value.uses() for value in view.node.outputs[1:]):
        raise view.unsupported("something reads its mask")
    return lambda x, *_: x

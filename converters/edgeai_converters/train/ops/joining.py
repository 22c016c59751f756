"""Joining, cutting and picking: Concat, Split, Slice, Gather, Pad and what else moves values."""

from __future__ import annotations

from typing import Any

from edgeai_converters.train.ops.convolution import torch_pads
from edgeai_converters.train.ops.view import NodeView, Run, Tensor


def concat(view: NodeView) -> Run:
    """Concat along one axis."""
    axis = view.integer("axis", 0)
    return lambda *tensors: view.torch.cat(tensors, axis)


def split(view: NodeView) -> Run:
    """Split by sizes, or into equal parts of which the last may be smaller."""
    axis = view.integer("axis", 0)
    sizes = view.integers(1) if view.has(1) else view.integer_list("split")
    parts = len(view.node.outputs)

    def run(x: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        if sizes is not None:
            return tuple(view.torch.split(x, sizes, axis))
        return tuple(view.torch.split(x, -(-x.shape[axis] // parts), axis))

    return run


def slice_(view: NodeView) -> Run:
    """Slice along axes by starts, ends and steps of either sign."""
    starts, ends, axes, steps = (view.sizes(index) for index in (1, 2, 3, 4))
    assert starts is not None
    assert ends is not None

    def run(x: Tensor, *given: Any) -> Tensor:
        given = (*given, None, None, None, None)
        begins, stops = starts(given[0]), ends(given[1])
        chosen = axes(given[2]) if axes is not None else list(range(len(begins)))
        strides = steps(given[3]) if steps is not None else [1] * len(begins)
        for begin, stop, axis, step in zip(begins, stops, chosen, strides, strict=True):
            x = _cut(view, x, begin, stop, axis % x.ndim, step)
        return x

    return run


def gather(view: NodeView) -> Run:
    """Gather whole slices along one axis; negative indices count from the end."""
    axis = view.integer("axis", 0)
    if view.is_constant(1):
        indices = view.constant(1)
        assert indices is not None
        shape = indices.shape
        picked = [int(index) for index in indices.reshape(-1)]
        if not shape:
            return lambda x, *_: x.select(axis, picked[0] % x.shape[axis])

        def pick(x: Tensor, *_: Tensor) -> Tensor:
            place = view.torch.tensor([index % x.shape[axis] for index in picked], device=x.device)
            at = axis % x.ndim
            return x.index_select(at, place).reshape(*x.shape[:at], *shape, *x.shape[at + 1 :])

        return pick

    def run(x: Tensor, indices: Tensor) -> Tensor:
        at = axis % x.ndim
        place = indices.long()
        place = view.torch.where(place < 0, place + x.shape[at], place)
        if at == 0:
            return view.torch.nn.functional.embedding(place, x.reshape(x.shape[0], -1)).reshape(
                *place.shape, *x.shape[1:]
            )
        return x.index_select(at, place.reshape(-1)).reshape(*x.shape[:at], *place.shape, *x.shape[at + 1 :])

    return run


_PAD_MODES = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def pad(view: NodeView) -> Run:
    """Pad with a constant, by reflection, with the edge or around; negative pads cut."""
    functional = view.torch.nn.functional
    pads = view.integers(1) or []
    value = view.constant(2)
    fill = 0.0 if value is None else value.item()
    axes = view.integers(3)
    mode = view.word("mode", "constant")

    def run(x: Tensor, *_: Tensor) -> Tensor:
        chosen = [axis % x.ndim for axis in axes] if axes is not None else list(range(x.ndim))
        full = [0] * (2 * x.ndim)
        for i, axis in enumerate(chosen):
            full[axis], full[x.ndim + axis] = pads[i], pads[len(chosen) + i]
        if mode == "constant":
            return functional.pad(x, torch_pads(full), value=fill)
        for axis in chosen:  # PyTorch pads the last axes of short shapes only: one axis at a time, as the last of two
            turned = x.movedim(axis, -1)
            flat = turned.reshape(1, -1, turned.shape[-1])
            flat = functional.pad(flat, [full[axis], full[x.ndim + axis]], mode=_PAD_MODES[mode])
            x = flat.reshape(*turned.shape[:-1], -1).movedim(-1, axis)
        return x

    return run


def depth_to_space(view: NodeView) -> Run:
    """DepthToSpace in both orders of channels."""
    block, mode = view.integer("blocksize", 1), view.word("mode", "DCR")

    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        if mode == "CRD":
            return view.torch.nn.functional.pixel_shuffle(x, block)
        parts = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return parts.reshape(n, c // block**2, h * block, w * block)

    return run


def space_to_depth(view: NodeView) -> Run:
    """SpaceToDepth."""
    block = view.integer("blocksize", 1)

    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
        return parts.reshape(n, c * block**2, h // block, w // block)

    return run


def trilu(view: NodeView) -> Run:
    """Trilu: the upper or lower triangle."""
    shift = (view.integers(1) or [0])[0]
    function = view.torch.triu if view.integer("upper", 1) else view.torch.tril
    return lambda x, *_: function(x, shift)


def _cut(view: NodeView, x: Tensor, begin: Any, stop: Any, axis: int, step: int) -> Tensor:
    size = x.shape[axis]
    if step > 0:
        return x[(slice(None),) * axis + (slice(begin, min(stop, size) if stop > 0 else stop, step),)]
    places = list(range(int(size)))[slice(begin, None if stop < -size else stop, step)]
    return x.index_select(axis, view.torch.tensor(places, dtype=view.torch.long, device=x.device))

"""Normalization: LayerNormalization, BatchNormalization, InstanceNormalization, GroupNormalization, and others."""

from __future__ import annotations

from edgeai_converters.train.ops.view import NodeView, Run, Tensor

_LEAST_BATCH = 8
"""Samples that a batch's own statistics are taken from at least."""


def layer_normalization(view: NodeView) -> Run:
    """LayerNormalization over the axes from `axis` on; mean and deviation are not handed out."""
    axis, epsilon = view.integer("axis", -1), view.number("epsilon", 1e-5)
    _only_first_output(view)

    def run(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
        axes = tuple(range(axis % x.ndim, x.ndim))
        centred = x - x.mean(axes, keepdim=True)
        normal = centred * view.torch.rsqrt((centred * centred).mean(axes, keepdim=True) + epsilon) * scale
        return normal if bias is None else normal + bias

    return run


def rms_normalization(view: NodeView) -> Run:
    """RMSNormalization over the axes from `axis` on."""
    axis, epsilon = view.integer("axis", -1), view.number("epsilon", 1e-5)

    def run(x: Tensor, scale: Tensor) -> Tensor:
        axes = tuple(range(axis % x.ndim, x.ndim))
        return x * view.torch.rsqrt((x * x).mean(axes, keepdim=True) + epsilon) * scale

    return run


def batch_normalization(view: NodeView) -> Run:
    """BatchNormalization with the stored statistics, which training leaves as they are."""
    epsilon = view.number("epsilon", 1e-5)
    _only_first_output(view)

    def run(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        shape = (-1, *(1,) * (x.ndim - 2))
        factor = scale * view.torch.rsqrt(variance + epsilon)
        return x * factor.reshape(shape) + (bias - mean * factor).reshape(shape)

    return run


def normalize_batch(view: NodeView) -> Run:
    """NormalizeBatch, our own: by the batch's statistics where gradients are wanted, else by the stored ones.

    The batch's move the stored ones, in place; those of a few samples (the last of a pass) say too little for either.
    """
    functional = view.torch.nn.functional

    def run(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        learns = view.torch.is_grad_enabled() and x.shape[0] >= _LEAST_BATCH
        return functional.batch_norm(x, mean, variance, scale, bias, training=learns, momentum=0.1, eps=1e-5)

    return run


def instance_normalization(view: NodeView) -> Run:
    """InstanceNormalization: per sample and channel over all places."""
    epsilon = view.number("epsilon", 1e-5)
    return lambda x, scale, bias: _normal(view, x, scale.shape[0], scale, bias, epsilon)


def group_normalization(view: NodeView) -> Run:
    """GroupNormalization: per sample and group of channels; scale and bias per channel, or per group (opset 18)."""
    groups, epsilon = view.integer("num_groups", 1), view.number("epsilon", 1e-5)
    return lambda x, scale, bias: _normal(view, x, groups, scale, bias, epsilon)


def lp_normalization(view: NodeView) -> Run:
    """LpNormalization along one axis."""
    axis, p = view.integer("axis", -1), view.integer("p", 2)
    return lambda x: x / view.torch.linalg.vector_norm(x, p, axis, keepdim=True)


def _normal(view: NodeView, x: Tensor, groups: int, scale: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    parts = x.reshape(x.shape[0], groups, -1)
    centred = parts - parts.mean(-1, keepdim=True)
    normal = centred * view.torch.rsqrt((centred * centred).mean(-1, keepdim=True) + epsilon)
    channels = x.shape[1]
    shape = (-1, *(1,) * (x.ndim - 2))
    scale, bias = (v.repeat_interleave(channels // v.shape[0]).reshape(shape) for v in (scale, bias))
    return normal.reshape(x.shape) * scale + bias


def _only_first_output(view: NodeView) -> None:
    if any(value.name and value.uses() for value in view.node.outputs[1:]):
        raise view.unsupported("something reads its second output")

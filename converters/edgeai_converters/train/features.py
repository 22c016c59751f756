"""Feature matching: inner values of the student led to those of the teacher, where their shapes allow it.

Of the same shape: hints, Romero et al. 2015 (arXiv:1412.6550, equation 3) without the regressor, whose only use is to
change the shape. Of another number of channels alone: attention maps, Zagoruyko and Komodakis 2017 (arXiv:1612.03928,
equations 1 and 2, p = 2). Both as a share of the teacher's own size, so that one weight serves all layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from edgeai_converters.train.ops.view import Tensor
from edgeai_runtime.errors import UsageError

_SMALLEST = 1e-8


def feature_loss(found: Tensor, wanted: Tensor, name: str) -> Tensor:
    """Return the distance of an inner value `[n, …]` of the student to the teacher's.

    Raises:
        UsageError: the shapes differ in more than the number of channels, or there is no map to compare.
    """
    axis = channel_axis(tuple(found.shape), tuple(wanted.shape), name)
    if axis is None:
        spread = (wanted - wanted.mean()).square().mean().clamp_min(_SMALLEST)
        return (found - wanted).square().mean() / spread
    ours, theirs = (_attention(one, axis) for one in (found, wanted))
    return (ours - theirs).square().sum(-1).mean()


def channel_axis(found: Sequence[int], wanted: Sequence[int], name: str) -> int | None:
    """Return the one axis that differs, over which attention is summed; `None` when the shapes are the same.

    >>> channel_axis((8, 16, 7, 7), (8, 64, 7, 7), "conv"), channel_axis((8, 16), (8, 16), "dense")
    (1, None)
    """
    differing = [i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b]
    if len(found) == len(wanted) and not differing:
        return None
    if len(found) != len(wanted) or len(differing) != 1 or len(found) < 3 or differing[0] == 0:
        raise UsageError(
            f"The feature {name!r} has shape {list(found[1:])} in the student and {list(wanted[1:])} in the teacher; "
            "maps may differ in the number of channels, others not at all."
        )
    return differing[0]


def with_features(model: ir.Model, features: Mapping[str, str]) -> ir.Model:
    """Return a copy of the student that gives its features as further outputs; the graph itself without any.

    Raises:
        UsageError: the graph has no such value.
    """
    if not features:
        return model
    model = model.clone()
    values = ir.convenience.create_value_mapping(model.graph)
    for name in features:
        if name not in values:
            raise UsageError(f"The student has no value named {name!r}.", hint="Names are those of the float graph.")
        if values[name] not in model.graph.outputs:
            model.graph.outputs.append(values[name])
    return model


def _attention(value: Tensor, axis: int) -> Tensor:
    """Return the map of squared activations, `[n, places]`, each of length 1."""
    flat = value.square().sum(axis).flatten(1)
    return flat / flat.norm(dim=-1, keepdim=True).clamp_min(_SMALLEST)

"""Losses: how far a twin's outputs are from a teacher's, and from labels.

What an output means is found from the graph and the labels: probabilities behind a Softmax, chances behind a Sigmoid,
class scores (logits) where labels are class indices, else plain values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.require import require
from edgeai_converters.train.ops.view import Tensor

OutputKind = Literal["probabilities", "log_probabilities", "chances", "logits", "values"]

_KIND_OF: dict[str, OutputKind] = {
    "Softmax": "probabilities",
    "LogSoftmax": "log_probabilities",
    "Sigmoid": "chances",
}
_PASSES_ON = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
_SMALLEST = 1e-8


def output_kinds(model: ir.Model, labels: NDArray[Any] | None = None) -> dict[str, OutputKind]:
    """Return what each floating-point output of the graph means, by its name.

    Args:
        model: the graph.
        labels: of the first output; class indices make `logits` of an output that is not behind an activation.
    """
    kinds: dict[str, OutputKind] = {}
    for i, value in enumerate(model.graph.outputs):
        if value.dtype not in (None, ir.DataType.FLOAT, ir.DataType.DOUBLE):
            continue
        node = value.producer()
        while node is not None and node.op_type in _PASSES_ON and node.inputs[0] is not None:
            node = node.inputs[0].producer()
        kind = _KIND_OF.get(node.op_type, "values") if node is not None else "values"
        if kind in ("probabilities", "log_probabilities") and not _last_axis(node):
            kind = "values"
        if kind == "values" and i == 0 and labels is not None and labels.dtype.kind in "iu" and labels.ndim == 1:
            kind = "logits"
        kinds[str(value.name)] = kind
    return kinds


def distillation_loss(
    student: Mapping[str, Tensor],
    teacher: Mapping[str, Tensor],
    kinds: Mapping[str, OutputKind],
    *,
    temperature: float,
) -> Tensor:
    """Return the mean over the outputs of their distance to the teacher's, each `[n, …]`.

    Class scores: the divergence of the softened distributions, times the square of the temperature (Hinton et al.
    2015, arXiv:1503.02531, section 2). Chances: cross-entropy. Values: squared error as a share of the variance.
    """
    torch = require("torch", extra="torch")
    total = None
    for name, kind in kinds.items():
        found, wanted = student[name], teacher[name].detach()
        if kind == "values":
            part = (found - wanted).square().mean() / (wanted - wanted.mean()).square().mean().clamp_min(_SMALLEST)
        elif kind == "chances":
            part = torch.nn.functional.binary_cross_entropy(found.clamp(_SMALLEST, 1 - 1e-6), wanted)
        else:
            log_found, log_wanted = (torch.log_softmax(_scores(one, kind) / temperature, -1) for one in (found, wanted))
            part = (log_wanted.exp() * (log_wanted - log_found)).sum(-1).mean() * temperature**2
        total = part if total is None else total + part
    if total is None:
        return torch.zeros(())
    return total / len(kinds)


def label_loss(output: Tensor, labels: Tensor, kind: OutputKind, *, smoothing: float = 0.0) -> Tensor:
    """Return the distance of one output `[n, …]` to its labels: class indices `[n]`, or targets of the same size.

    Args:
        output: class scores, probabilities, chances or values.
        labels: its labels.
        kind: what the output means.
        smoothing: share of a class label that is spread over all classes.
    """
    functional = require("torch", extra="torch").nn.functional
    if kind == "chances":
        return functional.binary_cross_entropy(
            output.clamp(_SMALLEST, 1 - 1e-6), labels.to(output.dtype).reshape(output.shape)
        )
    if kind == "values":
        return functional.mse_loss(output, labels.to(output.dtype).reshape(output.shape))
    scores = _scores(output, kind).reshape(len(labels), -1)
    return functional.cross_entropy(scores, labels.long(), label_smoothing=smoothing)


def takes_labels(output: Tensor, labels: Tensor, kind: OutputKind) -> bool:
    """Tell whether labels are of the form that an output of this kind is compared with."""
    if kind in ("values", "chances"):
        return bool(labels.numel() == output.numel())
    return bool(labels.ndim == 1 and output.numel() == output.shape[0] * output.shape[-1])


def spread_of(labels: NDArray[Any] | None) -> float:
    """Return the variance of targets: squared errors are a share of it, as those to the teacher are."""
    return 1.0 if labels is None else max(float(np.var(labels)), _SMALLEST)


def _scores(output: Tensor, kind: OutputKind) -> Tensor:
    """Return class scores; the logarithm of a probability is one, up to a constant that no softmax sees."""
    return output.clamp_min(_SMALLEST).log() if kind == "probabilities" else output


def _last_axis(node: ir.Node | None) -> bool:
    if node is None or node.outputs[0].shape is None:
        return False
    axis = int(node.attributes.get_int("axis", -1))
    return axis in (-1, len(node.outputs[0].shape) - 1)

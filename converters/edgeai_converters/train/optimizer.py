"""The optimizer: AdamW, with a rate for each parameter that fits the size of its values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edgeai_converters.require import require
from edgeai_converters.train.ops.view import Tensor
from edgeai_converters.train.training_spec import TrainingSpec

_LEAST_SIZE, _LEAST_SIZE_OF_A_VECTOR = 1e-3, 0.05
"""Sizes that weights and biases are given at least: those that begin at 0 must be able to leave it."""


def make_optimizer(module: Any, spec: TrainingSpec, rates: Sequence[tuple[Sequence[Tensor], float]] = ()) -> Any:
    """Return the optimizer, one group per parameter; a group's `highest` is its rate at the top of the schedule.

    Adam's steps are as large as the rate, whatever the weights' size: in a graph with folded normalization, where that
    differs a thousandfold between layers, one rate for all destroys some. So rates are in proportion to the weights,
    the relative step size of Adafactor (Shazeer and Stern 2018, arXiv:1804.04235, section 8). Decay is a share of the
    weights per step at the spec's rate, whatever the parameter's own; biases and other vectors do not decay.

    Args:
        module: the module whose parameters are trained.
        spec: how to train.
        rates: parameters with a learning rate of their own, as a factor of the spec's; they do not decay.
    """
    torch = require("torch", extra="torch")
    own = {id(tensor): factor for tensors, factor in rates for tensor in tensors}
    groups: list[dict[str, Any]] = []
    for tensor in module.parameters():
        factor = own.get(id(tensor), _size(tensor))
        decays = tensor.ndim > 1 and id(tensor) not in own and factor > 0
        groups.append(
            {
                "params": [tensor],
                "lr": spec.learning_rate * factor,
                "highest": spec.learning_rate * factor,
                "weight_decay": spec.weight_decay / factor if decays else 0.0,
            }
        )
    return torch.optim.AdamW(groups)


def set_rate(optimizer: Any, factor: float) -> None:
    """Set every group's rate to a share of its highest."""
    for group in optimizer.param_groups:
        group["lr"] = group["highest"] * factor


def _size(tensor: Tensor) -> float:
    least = _LEAST_SIZE_OF_A_VECTOR if tensor.ndim < 2 else _LEAST_SIZE
    return max(least, math.sqrt(float(tensor.detach().square().mean())))

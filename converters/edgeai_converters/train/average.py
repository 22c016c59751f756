"""Averaged weights: an exponential moving average over the last steps, which ends less by chance than the last step.

Polyak and Juditsky 1992; as in Tarvainen and Valpola 2017 (arXiv:1703.01780, equation 1). The reach grows from the
first step on, so that the weights a training begins with are soon forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from edgeai_converters.require import require
from edgeai_converters.train.ops.view import Tensor


class Average:
    """The average of a module's parameters.

    Args:
        module: a `torch.nn.Module`.
        reach: about how many steps count.
    """

    def __init__(self, module: Any, reach: float) -> None:
        self._parameters: list[Tensor] = list(module.parameters())
        self._mean: list[Tensor] = [tensor.detach().clone() for tensor in self._parameters]
        self._reach, self._steps = max(1.0, reach), 0

    def update(self) -> None:
        """Take the parameters as they are now into the average."""
        torch = require("torch", extra="torch")
        self._steps += 1
        weight = max(1.0 / self._reach, 2.0 / (self._steps + 1))
        with torch.no_grad():
            torch._foreach_lerp_(self._mean, [tensor.detach() for tensor in self._parameters], weight)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the module have the averaged weights until the block ends."""
        torch = require("torch", extra="torch")
        own = [tensor.detach().clone() for tensor in self._parameters]
        with torch.no_grad():
            for tensor, mean in zip(self._parameters, self._mean, strict=True):
                tensor.copy_(mean)
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, kept in zip(self._parameters, own, strict=True):
                    tensor.copy_(kept)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {"mean": self._mean, "steps": self._steps}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        for mean, saved in zip(self._mean, state["mean"], strict=True):
            mean.copy_(saved)
        self._steps = int(state["steps"])

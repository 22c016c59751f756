"""A user's own metric: `module:function` with `(outputs, labels) -> scores [n]`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.evaluate.intervals import Statistic
from edgeai_converters.evaluate.metrics_outputs import Outputs, first_output, weighted_mean
from edgeai_runtime.errors import DataError

_HINT = "It takes (outputs, labels) and returns one score per sample, an array [n]."


@dataclass(frozen=True, kw_only=True)
class FunctionMetric:
    """The mean of a user's scores, one per sample.

    The function gets the output as one array `[n, …]` (a dict of arrays when the model has several outputs) and the
    labels as the data give them, or `None`. Higher scores are better unless the function has an attribute
    `higher_is_better = False`; the drop is the plain difference of the means, in the function's own units. Scores that
    are all 0 or 1 get the score interval of paired proportions, others the bootstrap (`binary` is `None`: it depends).
    """

    name: str
    function: Callable[..., Any]
    binary: bool | None = None
    needs_labels: bool = False
    needs_class_labels: bool = False

    @property
    def higher_is_better(self) -> bool:
        return bool(getattr(self.function, "higher_is_better", True))

    def per_sample(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> NDArray[Any]:
        n = len(first_output(outputs))
        given = first_output(outputs) if len(outputs) == 1 else dict(outputs)
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what it prints is for people, not part of our output
                returned = self.function(given, labels)
            scores = np.asarray(returned, dtype=np.float64)
        except Exception as error:  # the user's code may raise anything; its own words are what helps
            raise DataError(f"The metric {self.name} failed: {type(error).__name__}: {error}", hint=_HINT) from error
        if scores.size != n or scores.ndim == 0:
            raise DataError(
                f"The metric {self.name} must return {n} scores, one per sample. Received shape {list(scores.shape)}",
                hint=_HINT,
            )
        if not np.isfinite(scores).all():
            raise DataError(f"The metric {self.name} returned NaN or infinite scores.", hint=_HINT)
        return scores.reshape(n)

    def weighted(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> Statistic:
        return weighted_mean(self.per_sample(outputs, labels, reference))

    def score(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> float:
        return float(self.per_sample(outputs, labels, reference).mean())

    def predictions(self, outputs: Outputs) -> NDArray[Any] | None:
        return None

    def drop_unit(self, labels: NDArray[Any] | None) -> float:
        return 1.0

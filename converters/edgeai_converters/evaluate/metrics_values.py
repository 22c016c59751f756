"""Metrics of values: mean absolute error, root mean square error, cosine similarity to the float source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.evaluate.intervals import Statistic
from edgeai_converters.evaluate.metrics_outputs import Outputs, first_output, need_labels, weighted_mean
from edgeai_runtime.errors import DataError


@dataclass(frozen=True, kw_only=True)
class ErrorMetric:
    """Mean absolute error or root mean square error of the first output against targets of the same size.

    Scores are in the units of the labels. The drop is the growth of the error as a fraction of the labels' standard
    deviation (over all label values of the split), so that one budget such as 0.01 fits data of any scale.
    """

    name: Literal["mae", "rmse"]
    binary: bool = False
    higher_is_better: bool = False
    needs_labels: bool = True
    needs_class_labels: bool = False

    def per_sample(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> NDArray[Any]:
        """Return per sample the mean absolute error (`mae`) or the mean squared error (`rmse`), `[n]`."""
        first = first_output(outputs)
        targets = need_labels(labels, metric=self.name, n=len(first))
        values = first.reshape(len(first), -1).astype(np.float64)
        wanted = targets.reshape(len(targets), -1).astype(np.float64)
        if values.shape != wanted.shape:
            raise DataError(
                f"The metric {self.name} compares outputs with targets of the same size; the outputs have shape "
                f"{list(first.shape)}, the labels {list(targets.shape)}.",
                hint="Class indices need --metric top1, top5 or auc.",
            )
        if not np.isfinite(wanted).all():
            raise DataError(f"The labels have NaN or infinite values in {int((~np.isfinite(wanted)).sum())} place(s).")
        errors = np.abs(values - wanted)
        return np.asarray((errors if self.name == "mae" else errors**2).mean(axis=1))

    def weighted(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> Statistic:
        mean = weighted_mean(self.per_sample(outputs, labels, reference))
        if self.name == "mae":
            return mean
        return lambda weights: np.sqrt(mean(weights))

    def score(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> float:
        mean = float(self.per_sample(outputs, labels, reference).mean())
        return mean if self.name == "mae" else mean**0.5

    def predictions(self, outputs: Outputs) -> NDArray[Any] | None:
        return None

    def drop_unit(self, labels: NDArray[Any] | None) -> float:
        assert labels is not None, "the scores were made from labels"
        deviation = float(np.std(labels.astype(np.float64)))
        if deviation == 0:
            raise DataError(
                f"All labels are equal, so the growth of {self.name} cannot be put in relation to them.",
                hint="Give labels that vary, or --metric module:function with a scale of its own.",
            )
        return deviation


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Cosine similarity between the variant's and the float source's outputs, per sample the lowest over all outputs.

    The source's score is 1 and the drop is 1 minus the mean similarity.
    """

    name: str = "cosine"
    binary: bool = False
    higher_is_better: bool = True
    needs_labels: bool = False
    needs_class_labels: bool = False

    def per_sample(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> NDArray[Any]:
        if reference is None:
            raise DataError("The metric cosine needs the outputs of the float source.")
        return np.asarray(np.min([_cosines(outputs[name], reference[name]) for name in reference], axis=0))

    def weighted(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> Statistic:
        return weighted_mean(self.per_sample(outputs, labels, reference))

    def score(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> float:
        return float(self.per_sample(outputs, labels, reference).mean())

    def predictions(self, outputs: Outputs) -> NDArray[Any] | None:
        return None

    def drop_unit(self, labels: NDArray[Any] | None) -> float:
        return 1.0


def _cosines(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.float64]:
    """Return the similarity per sample; two zero vectors are alike (1), a zero and another vector are not (0)."""
    a = ours.reshape(len(ours), -1).astype(np.float64)
    b = theirs.reshape(len(theirs), -1).astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~a.any(axis=1) & ~b.any(axis=1)
    products = np.einsum("ij,ij->i", a, b)
    return np.where(norms > 0, np.clip(products / np.where(norms > 0, norms, 1.0), -1, 1), both_zero.astype(np.float64))

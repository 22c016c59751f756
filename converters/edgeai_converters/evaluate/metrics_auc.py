"""Area under the ROC curve: two classes, or the mean over classes of one against the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.calibrate.samples_labels import class_indices
from edgeai_converters.evaluate.intervals import Statistic
from edgeai_converters.evaluate.metrics_outputs import Outputs, class_scores, count_classes, need_labels, predict
from edgeai_runtime.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Auc:
    """Chance that a sample of the class scores higher than one of another class; ties count half (Mann-Whitney).

    Two classes: the score is the one column, or the second minus the first of two columns. More: the unweighted mean
    over the classes present in the labels, each against the rest.
    """

    name: str = "auc"
    binary: bool = False
    higher_is_better: bool = True
    needs_labels: bool = True
    needs_class_labels: bool = True

    def per_sample(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> None:
        return None  # an area belongs to all samples together

    def weighted(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> Statistic:
        scores = class_scores(outputs, metric=self.name)
        wanted = class_indices(
            need_labels(labels, metric=self.name, n=len(scores)), n_classes=count_classes(scores), where="The labels"
        )
        present = np.unique(wanted)
        if len(present) < 2:
            raise DataError(
                f"The metric auc needs samples of at least two classes; all labels are {present[0]}.",
                hint="Give data with several classes, or use --metric top1.",
            )
        if scores.shape[1] <= 2:
            column = scores[:, 0] if scores.shape[1] == 1 else scores[:, 1] - scores[:, 0]
            return _weighted_area(column, wanted == 1)
        areas = [_weighted_area(scores[:, index], wanted == index) for index in present]
        return lambda weights: _mean_of_defined([area(weights) for area in areas])

    def score(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> float:
        statistic = self.weighted(outputs, labels, reference)
        return float(statistic(np.ones((1, len(next(iter(outputs.values()))))))[0])

    def predictions(self, outputs: Outputs) -> NDArray[Any] | None:
        return predict(class_scores(outputs, metric=self.name))

    def drop_unit(self, labels: NDArray[Any] | None) -> float:
        return 1.0


def _weighted_area(scores: NDArray[Any], positive: NDArray[np.bool_]) -> Statistic:
    """Return the function from weights `[resamples, n]` to areas `[resamples]`, NaN without one of the two sides."""
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))  # one group per distinct score
    is_positive = positive[order].astype(np.float64)

    def area(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        sorted_weights = weights[:, order]
        positives = np.add.reduceat(sorted_weights * is_positive, starts, axis=1)
        negatives = np.add.reduceat(sorted_weights * (1 - is_positive), starts, axis=1)
        below = np.cumsum(negatives, axis=1) - negatives / 2
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        won = (positives * below).sum(axis=1)
        return _divide(won, pairs)

    return area


def _mean_of_defined(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    stacked = np.stack(values)
    defined = np.isfinite(stacked)
    count = defined.sum(axis=0)
    total = np.where(defined, stacked, 0.0).sum(axis=0)
    return _divide(total, count)


def _divide(top: NDArray[Any], bottom: NDArray[Any]) -> NDArray[np.float64]:
    """Return the quotient, NaN where the divisor is 0."""
    quotient = np.full(len(top), np.nan)
    np.divide(top, bottom, out=quotient, where=bottom > 0)
    return quotient

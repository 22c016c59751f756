"""Metrics of class predictions: top-1 and top-5 accuracy, agreement with the float source. All score 0 or 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.calibrate.samples_labels import class_indices
from edgeai_converters.evaluate.intervals import Statistic
from edgeai_converters.evaluate.metrics_outputs import (
    Outputs,
    class_scores,
    count_classes,
    need_labels,
    predict,
    weighted_mean,
)
from edgeai_runtime.errors import DataError


@dataclass(frozen=True, kw_only=True)
class TopK:
    """Share of samples whose label is among the k classes of highest score; of equal scores the first class leads."""

    k: int
    binary: bool = True
    higher_is_better: bool = True
    needs_labels: bool = True
    needs_class_labels: bool = True

    @property
    def name(self) -> str:
        return f"top{self.k}"

    def per_sample(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> NDArray[Any]:
        scores = class_scores(outputs, metric=self.name)
        n_classes = count_classes(scores)
        if self.k >= n_classes:
            raise DataError(
                f"The metric {self.name} needs more than {self.k} classes, the model has {n_classes}: "
                "it would always be 1.",
                hint="Use --metric top1.",
            )
        wanted = class_indices(
            need_labels(labels, metric=self.name, n=len(scores)), n_classes=n_classes, where="The labels"
        )
        if self.k == 1:
            return np.asarray(predict(scores) == wanted, dtype=np.float64)
        own = np.take_along_axis(scores, wanted[:, None], axis=1)
        earlier = np.arange(n_classes) < wanted[:, None]
        ahead = (scores > own).sum(axis=1) + ((scores == own) & earlier).sum(axis=1)
        return np.asarray(ahead < self.k, dtype=np.float64)

    def weighted(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> Statistic:
        return weighted_mean(self.per_sample(outputs, labels, reference))

    def score(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> float:
        return float(self.per_sample(outputs, labels, reference).mean())

    def predictions(self, outputs: Outputs) -> NDArray[Any] | None:
        return predict(class_scores(outputs, metric=self.name))

    def drop_unit(self, labels: NDArray[Any] | None) -> float:
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Share of samples for which the variant predicts the class that the float source predicts.

    The source agrees with itself, so its score is 1 and the drop is the share of changed predictions.
    """

    name: str = "agreement"
    binary: bool = True
    higher_is_better: bool = True
    needs_labels: bool = False
    needs_class_labels: bool = False

    def per_sample(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> NDArray[Any]:
        if reference is None:
            raise DataError("The metric agreement needs the outputs of the float source.")
        ours, theirs = self.predictions(outputs), self.predictions(reference)
        return np.asarray(ours == theirs, dtype=np.float64)

    def weighted(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> Statistic:
        return weighted_mean(self.per_sample(outputs, labels, reference))

    def score(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> float:
        return float(self.per_sample(outputs, labels, reference).mean())

    def predictions(self, outputs: Outputs) -> NDArray[Any]:
        return predict(class_scores(outputs, metric=self.name))

    def drop_unit(self, labels: NDArray[Any] | None) -> float:
        return 1.0

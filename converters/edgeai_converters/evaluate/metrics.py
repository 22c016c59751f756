"""Metrics by name, and what a metric is.

    top1 · top5          share of right predictions                     labels: class indices      0 or 1 per sample
    agreement            share of predictions equal to the source's     no labels needed           0 or 1 per sample
    auc                  area under the ROC curve                       labels: class indices      all samples together
    mae · rmse           error against targets                          labels: targets            mean over samples
    cosine               similarity to the source's outputs             no labels needed           mean over samples
    module:function      a user's scores, one per sample                whatever it needs          mean over samples

Metrics of one output use the first output of the model. The drop is positive when the variant is worse.
"""

from __future__ import annotations

import difflib
from typing import Any, Protocol

from numpy.typing import NDArray

from edgeai_converters.calibrate.dataset_function import load_function
from edgeai_converters.evaluate.intervals import Statistic
from edgeai_converters.evaluate.metrics_auc import Auc
from edgeai_converters.evaluate.metrics_classes import Agreement, TopK
from edgeai_converters.evaluate.metrics_function import FunctionMetric
from edgeai_converters.evaluate.metrics_outputs import Outputs, has_class_scores
from edgeai_converters.evaluate.metrics_values import Cosine, ErrorMetric
from edgeai_runtime.errors import UsageError


class Metric(Protocol):
    """What scores outputs `{output: [n, …]}` against labels, or against the source's outputs (`reference`)."""

    @property
    def name(self) -> str:
        """The name it is asked for by and reported under."""
        ...

    @property
    def binary(self) -> bool | None:
        """Whether each sample scores 0 or 1; `None` when that depends on the scores."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Whether the score is a quality, and not an error."""
        ...

    @property
    def needs_labels(self) -> bool:
        """Whether it cannot be computed without labels."""
        ...

    @property
    def needs_class_labels(self) -> bool:
        """Whether the labels must be class indices."""
        ...

    def per_sample(
        self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None
    ) -> NDArray[Any] | None:
        """Return one value per sample, `[n]`, or `None` when the score belongs to all samples together."""
        ...

    def weighted(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> Statistic:
        """Return the function from weights on the samples, `[resamples, n]`, to scores `[resamples]`."""
        ...

    def score(self, outputs: Outputs, labels: NDArray[Any] | None, reference: Outputs | None) -> float:
        """Return the score over all samples."""
        ...

    def predictions(self, outputs: Outputs) -> NDArray[Any] | None:
        """Return the predicted class per sample, `[n]`, or `None` for metrics without a prediction."""
        ...

    def drop_unit(self, labels: NDArray[Any] | None) -> float:
        """Return what a change of the score is divided by to give the drop; 1 unless the metric says otherwise."""
        ...


METRICS: dict[str, Metric] = {
    "top1": TopK(k=1),
    "top5": TopK(k=5),
    "auc": Auc(),
    "mae": ErrorMetric(name="mae"),
    "rmse": ErrorMetric(name="rmse"),
    "agreement": Agreement(),
    "cosine": Cosine(),
}


def get_metric(name: str | None, *, has_labels: bool) -> Metric:
    """Return the metric of this name; `None` chooses `top1` with labels and `agreement` without.

    Raises:
        UsageError: an unknown name, or a metric that needs labels when there are none.

    Example:
        >>> get_metric(None, has_labels=True).name
        'top1'
    """
    if name is None:
        name = "top1" if has_labels else "agreement"
    if ":" in name:
        return FunctionMetric(name=name, function=load_function(name))
    if name not in METRICS:
        near = difflib.get_close_matches(name.lower(), METRICS, n=1)
        raise UsageError(
            f"Unknown metric. Allowed: {', '.join(METRICS)} or module:function. Received: {name!r}",
            hint=f"Did you mean {near[0]}?" if near else "",
        )
    metric = METRICS[name]
    if metric.needs_labels and not has_labels:
        raise UsageError(
            f"The metric {name} needs labels, and the data have none.",
            hint="Add an array y to the data, or use --metric agreement, which compares with the float source.",
        )
    return metric


def metric_for_outputs(metric: Metric, outputs: Outputs) -> Metric:
    """Return the metric that is really computed: `agreement` becomes `cosine` where outputs are no class scores."""
    if isinstance(metric, Agreement) and not has_class_scores(outputs):
        return METRICS["cosine"]
    return metric


def drop_between(metric: Metric, source_score: Any, score: Any, unit: float) -> Any:
    """Return the loss of quality from `source_score` to `score` (numbers or arrays), positive when worse."""
    return (source_score - score if metric.higher_is_better else score - source_score) / unit

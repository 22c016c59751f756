"""Read a model's outputs as class scores and predictions, and score them under weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.evaluate.intervals import Statistic
from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import TensorSpec

Outputs = Mapping[str, NDArray[Any]]
"""Outputs over n samples: `{output: [n, …]}`."""

_PROBABILITY_SLACK = 0.01  # a quantized sigmoid may step a little out of 0 … 1


def first_output(outputs: Outputs) -> NDArray[Any]:
    """Return the first output `[n, …]`, which metrics of one output use."""
    return next(iter(outputs.values()))


def has_class_scores(outputs: Outputs) -> bool:
    """Say whether the first output is one row of at least two class scores per sample (axes of length 1 apart)."""
    shape = first_output(outputs).shape[1:]
    return len([size for size in shape if size != 1]) == 1


def class_scores(outputs: Outputs, *, metric: str) -> NDArray[Any]:
    """Return the first output as `[n, classes]`; one column means two classes and the score of the second.

    Raises:
        DataError: the output has another form, such as a map of pixels.
    """
    first = first_output(outputs)
    if len([size for size in first.shape[1:] if size != 1]) > 1:
        raise DataError(
            f"The metric {metric} needs one row of class scores per sample; the model's first output "
            f"{next(iter(outputs))!r} has shape {list(first.shape)}.",
            hint="Use --metric module:function, mae, rmse or cosine for such outputs.",
        )
    return first.reshape(len(first), -1)


def count_classes(scores: NDArray[Any]) -> int:
    """Return the number of classes of scores `[n, columns]`: two for one column, else the columns."""
    return max(int(scores.shape[1]), 2)


def classes_of_output(spec: TensorSpec) -> int | None:
    """Return the number of classes of an output by its shape, axes of length 1 apart; `None` when it cannot say."""
    sizes = [size for size in spec.shape[1:] if size != 1]
    if not sizes:
        return 2
    return sizes[0] if len(sizes) == 1 else None


def predict(scores: NDArray[Any]) -> NDArray[np.int64]:
    """Return the predicted class `[n]` of scores `[n, columns]`; the first of equal scores wins.

    One column is a probability (all values within 0 … 1) cut at 0.5, or else a logit cut at 0.
    """
    if scores.shape[1] > 1:
        return np.asarray(scores.argmax(axis=1), dtype=np.int64)
    low, high = -_PROBABILITY_SLACK, 1 + _PROBABILITY_SLACK
    is_probability = bool(((scores >= low) & (scores <= high)).all())
    return np.asarray(scores[:, 0] > (0.5 if is_probability else 0.0), dtype=np.int64)


def need_labels(labels: NDArray[Any] | None, *, metric: str, n: int) -> NDArray[Any]:
    """Return the labels, or raise `DataError` when there are none or their number differs from the outputs'."""
    if labels is None:
        raise DataError(f"The metric {metric} needs labels.", hint="Add labels to the data, or use --metric agreement.")
    if len(labels) != n:
        raise DataError(f"There are {len(labels)} labels for {n} outputs.")
    return labels


def weighted_mean(per_sample: NDArray[Any]) -> Statistic:
    """Return the function from weights `[resamples, n]` to the mean score `[resamples]`."""
    scores = per_sample.astype(np.float64)

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(weights @ scores / weights.sum(axis=1))

    return mean

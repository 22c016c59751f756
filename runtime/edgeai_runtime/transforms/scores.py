"""Operations on scores of classes: softmax, sigmoid, argmax, top_k, labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeai_runtime.errors import DataError
from edgeai_runtime.transforms.numeric import as_float, checked_axis


def softmax(array: Any, *, axis: int) -> Any:
    """Return `exp(x) / sum(exp(x))` along `axis`. [n, …] any numbers → the same shape, float32 in 0 to 1.

    Raises:
        DataError: the array has no such axis, or it is empty.
    """
    position = _filled_axis("softmax", array, axis)
    values = as_float(array)
    with np.errstate(invalid="ignore"):  # infinities give NaN, as they should
        powers = np.exp(values - values.max(axis=position, keepdims=True))
    return powers / powers.sum(axis=position, keepdims=True)


def sigmoid(array: Any) -> Any:
    """Return `1 / (1 + exp(-x))` without overflow. [n, …] any numbers → the same shape, float32 in 0 to 1."""
    values = as_float(array)
    powers = np.exp(-np.abs(values))
    return np.where(values >= 0, 1, powers) / (1 + powers)


def top_k(array: Any, *, k: int, give: str) -> Any:
    """Return the indices or values of the `k` largest along the last axis, best first; equal ones by index.

    [n, …, classes] → [n, …, k], int64 or the same dtype; fewer classes than `k` give all of them.

    Raises:
        DataError: the array has no such axis, or it is empty.
    """
    _filled_axis("top_k", array, -1)
    order = np.argsort(-array.astype(np.float64), axis=-1, kind="stable")[..., :k]
    return order.astype(np.int64) if give == "indices" else np.take_along_axis(array, order, axis=-1)


def argmax(array: Any, *, axis: int) -> Any:
    """Return the index of the largest value along `axis`, the first one when equal. [n, …] → without that axis, int64.

    Raises:
        DataError: the array has no such axis, or it is empty.
    """
    return array.argmax(axis=_filled_axis("argmax", array, axis)).astype(np.int64)


def labels(array: Any, *, top: int, names: Sequence[str]) -> list[list[dict[str, Any]]]:
    """Return the `top` classes of each sample, best first: `{"label": name, "score": value}`; equal scores by index.

    Without names the label is the index as text. Fewer classes than `top` give all of them.

    Args:
        array: scores [n, classes].
        top: how many per sample.
        names: one per class, or none at all.

    Raises:
        DataError: not two axes, or another number of classes than names.
    """
    if array.ndim != 2 or array.shape[1] == 0:
        raise DataError(f"labels: scores are [n, classes], the array has shape {array.shape}")
    if names and len(names) != array.shape[1]:
        raise DataError(
            f"labels: there are {len(names)} names for {array.shape[1]} classes", hint="One label per class, in order."
        )
    scores = array.astype(np.float64)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [
        [{"label": names[index] if names else str(index), "score": float(row[index])} for index in best.tolist()]
        for row, best in zip(scores, order, strict=True)
    ]


def _filled_axis(operation: str, array: Any, axis: int) -> int:
    position = checked_axis(operation, array, axis)
    if array.shape[position] == 0:
        raise DataError(f"{operation}: axis {axis} of the array of shape {array.shape} is empty")
    return position

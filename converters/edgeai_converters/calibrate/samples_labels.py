"""Labels: class names to indices, and the check that labels are class indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_runtime.errors import DataError

_SHOWN = 5


def index_class_names(
    values: Sequence[str], *, class_names: Sequence[str], where: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Turn class names into indices.

    Args:
        values: the class of each sample.
        class_names: all classes in the model's order; empty takes the sorted names found.
        where: what errors name.

    Returns:
        Indices `[n]`, and the classes in the order of their indices.

    Raises:
        DataError: a name is not among `class_names`.
    """
    found = sorted(set(values))
    names = tuple(class_names) or tuple(found)
    unknown = [name for name in found if name not in names]
    if unknown:
        raise DataError(
            f"{where}: classes that the model's labels do not have: {', '.join(unknown[:_SHOWN])}. "
            f"Known: {', '.join(names[:20])}",
            hint="Rename the classes in the data, or give the class names in the model's order with --labels.",
        )
    position = {name: index for index, name in enumerate(names)}
    return np.array([position[value] for value in values], dtype=np.int64), names


def class_indices(labels: NDArray[Any], *, n_classes: int | None, where: str) -> NDArray[np.int64]:
    """Return labels as class indices `[n]`, int64, or say why they are not.

    Accepted: integers `[n]` or `[n, 1]`, floats that hold whole numbers, booleans, and one-hot rows `[n, classes]`.

    Args:
        labels: as given by the data.
        n_classes: number of classes of the model; `None` leaves the upper end open.
        where: what errors name.

    Raises:
        DataError: labels that are fractions, out of `0 … n_classes - 1`, or of the wrong shape; names the samples.
    """
    flat = labels.reshape(len(labels), -1)
    if flat.shape[1] > 1:
        if labels.ndim == 2 and _is_one_hot(flat):
            flat = flat.argmax(axis=1)[:, None]
        else:
            raise DataError(
                f"{where}: labels of shape {list(labels.shape)} are not class indices.",
                hint="Class metrics need one integer per sample; for targets use --metric mae or rmse.",
            )
    values = flat[:, 0]
    if values.dtype.kind not in "biuf":
        raise DataError(f"{where}: labels of dtype {values.dtype} are not numbers.", hint="Give class indices from 0.")
    if values.dtype.kind == "f":
        wrong = np.flatnonzero(~np.isfinite(values) | (values != np.round(values)))
        if len(wrong):
            raise DataError(
                f"{where}: labels are not whole numbers: {_show(values, wrong)}.",
                hint="Class metrics need class indices; for targets use --metric mae, rmse or module:function.",
            )
    indices = values.astype(np.int64)
    wrong = np.flatnonzero((indices < 0) | (False if n_classes is None else indices >= n_classes))
    if len(wrong):
        allowed = "0 or more" if n_classes is None else f"0 to {n_classes - 1} (the model has {n_classes} classes)"
        one_based = n_classes is not None and int(indices.min()) == 1 and int(indices.max()) == n_classes
        raise DataError(
            f"{where}: labels out of range, allowed are {allowed}: {_show(values, wrong)}.",
            hint="The labels seem to count from 1: subtract 1 from them."
            if one_based
            else "Check that the labels belong to this model, and that the right array of labels was taken.",
        )
    return indices


def _is_one_hot(rows: NDArray[Any]) -> bool:
    return bool(((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all())


def _show(values: NDArray[Any], wrong: NDArray[np.int64]) -> str:
    shown = ", ".join(f"sample {index} has {values[index]}" for index in wrong[:_SHOWN])
    return f"{shown}{f' and {len(wrong) - _SHOWN} more' if len(wrong) > _SHOWN else ''}"

"""The detector's own metric, for `edgeai compress --metric hard_networks.detection_metric:box_quality`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def box_quality(outputs: Mapping[str, NDArray[Any]], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return, per image, the overlap of the best-scored box with the true one if its class is right, else 0.

    Args:
        outputs: `boxes` `[n, cells, 4]` in pixels (left, top, right, bottom) and `scores` `[n, cells, classes]`.
        labels: `[n, 5]`: class, left, top, right, bottom of the one object.

    Example:
        >>> outputs = {"boxes": np.array([[[0.0, 0.0, 4.0, 4.0]]]), "scores": np.array([[[0.1, 0.9]]])}
        >>> box_quality(outputs, np.array([[1, 0, 0, 4, 2]])).tolist()
        [0.5]
    """
    boxes, scores = outputs["boxes"], outputs["scores"]
    n, _, classes = scores.shape
    best = scores.reshape(n, -1).argmax(axis=1)
    found, right = boxes[np.arange(n), best // classes], best % classes == labels[:, 0]
    return np.asarray(np.where(right, overlap(found, labels[:, 1:]), 0.0), dtype=np.float64)


def overlap(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Return the intersection over union of boxes `[n, 4]`, pair by pair."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    both = np.clip(sides, 0, None).prod(axis=1)
    areas = [np.clip(each[:, 2:] - each[:, :2], 0, None).prod(axis=1) for each in (a, b)]
    return np.asarray(both / np.maximum(areas[0] + areas[1] - both, 1e-9))

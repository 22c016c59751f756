"""Boxes of object detectors: decoding what a network gives, and choosing among overlapping boxes.

A box is four numbers, `left, top, right, bottom`, unless an operation says otherwise; units are those of the network
(pixels, or shares of the image). Arithmetic is in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_runtime.errors import BundleError, DataError
from edgeai_runtime.transforms.numeric import as_float

_BLOCK = 64  # boxes that are compared with each other at a time


def corners(array: Any, *, source: str) -> Any:
    """Write boxes as `left, top, right, bottom`. [n, boxes, 4 or more] → the same shape, what follows the box kept.

    `source`: `xyxy` corners, `yxyx` corners with y first, `xywh` corner and size, `cxcywh` centre and size, `cycxhw`
    centre and size with y first.
    """
    values = _boxes("corners", array)
    a, b, c, d = (values[..., place] for place in range(4))
    if source in ("yxyx", "cycxhw"):
        a, b, c, d = b, a, d, c
    if source in ("cxcywh", "cycxhw"):
        a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    elif source == "xywh":
        c, d = a + c, b + d
    return np.concatenate([np.stack([a, b, c, d], axis=-1), values[..., 4:]], axis=-1)


def anchor_boxes(array: Any, *, anchors: Any, scales: Sequence[float], form: str) -> Any:
    """Decode offsets from anchors (prior boxes). [n, anchors, 4] → the same shape, as `left, top, right, bottom`.

    centre = offset / scale · anchor size + anchor centre, size = exp(offset / scale) · anchor size (SSD, Liu et al.
    2016; `TFLite_Detection_PostProcess`, whose order is `cycxhw`, its scales 10, 10, 5, 5: one over the variances
    0.1, 0.1, 0.2, 0.2 of SSD). `anchors` is a `.npy` file [anchors, 4] with centre and size in the same order.

    Raises:
        DataError: another number of boxes than anchors.
    """
    values = _boxes("anchor_boxes", array)
    if values.shape[1:] != anchors.shape:
        raise DataError(f"anchor_boxes: boxes of shape {values.shape} do not fit anchors of shape {anchors.shape}")
    values = values / np.asarray(scales, values.dtype)
    anchors = anchors.astype(values.dtype)
    centres = values[..., :2] * anchors[:, 2:] + anchors[:, :2]
    return corners(np.concatenate([centres, np.exp(values[..., 2:]) * anchors[:, 2:]], axis=-1), source=form)


def grid_boxes(array: Any, *, height: int, width: int, strides: Sequence[int], decode: str) -> Any:
    """Decode boxes told from the cells of grids, one grid per stride, rows first. [n, cells, 4 or more] → the same.

    `decode=centre`: centre = (x + column) · stride, size = exp(w) · stride (YOLOX, Ge et al. 2021). `decode=sides`:
    distances to the four sides from the cell's middle, in strides (FCOS, Tian et al. 2019; YOLOv8 after its
    softmax). What follows the four numbers is kept. Boxes are `left, top, right, bottom` in pixels of the
    `height` × `width` image.

    Raises:
        DataError: another number of cells than the grids have.
    """
    values = _boxes("grid_boxes", array)
    cells = [np.indices((-(-height // s), -(-width // s)))[::-1].reshape(2, -1).T for s in strides]
    if values.shape[1] != sum(map(len, cells)):
        raise DataError(
            f"grid_boxes: {values.shape[1]} boxes do not fit the {sum(map(len, cells))} cells of {height}×{width} "
            f"at strides {list(strides)}"
        )
    stride = np.repeat(np.asarray(strides, values.dtype), list(map(len, cells)))[:, np.newaxis]
    grid = np.concatenate(cells).astype(values.dtype)
    first, second, rest = values[..., :2], values[..., 2:4], values[..., 4:]
    if decode == "sides":
        middle = grid + values.dtype.type(0.5)
        return np.concatenate([(middle - first) * stride, (middle + second) * stride, rest], axis=-1)
    parts = [(first + grid) * stride, np.exp(second) * stride, rest]
    return corners(np.concatenate(parts, axis=-1), source="cxcywh")


def detect(
    array: Any,
    *,
    scores: Any,
    objectness: str,
    classes: str,
    background: int,
    score: float,
    iou: float,
    top: int,
    names: Sequence[str],
) -> list[list[dict[str, Any]]]:
    """Choose boxes by non-maximum suppression, class by class; per sample, best first, `{"label", "score", "box"}`.

    Boxes above the threshold `score` are taken by falling score (equal ones by place); one that overlaps a taken box
    of its class by more than `iou` (intersection over union) is dropped; `top` are kept (Neubeck & Van Gool 2006;
    `tf.image.non_max_suppression` per class).

    Args:
        array: [n, boxes, 4] with `scores`, else [n, boxes, 4 + classes] or with objectness [n, boxes, 5 + classes].
        scores: those of another output, [n, boxes, classes], or `None`.
        objectness: `yes` when a number before the classes multiplies them (YOLOX, YOLOv5).
        classes: `best` takes each box for its best class only, `all` for every class above the threshold.
        background: the class that means nothing is there, or -1.
        score: least score.
        iou: most overlap.
        top: most boxes per sample.
        names: class names; when there is one less than classes, the background has none.

    Raises:
        DataError: shapes that do not fit.
    """
    values = _boxes("detect", array)
    start = 5 if objectness == "yes" else 4
    given = as_float(scores) if scores is not None else values[..., start:]
    if given.ndim != 3 or given.shape[:2] != values.shape[:2] or not given.shape[2]:
        raise DataError(
            f"detect: scores of shape {given.shape} do not fit boxes of shape {values.shape}",
            hint="scores=NAME names another output, [n, boxes, classes]; without it they follow the box.",
        )
    if objectness == "yes":
        given = given * values[..., 4:5]
    labels = list(names)
    if labels and 0 <= background < given.shape[2] == len(labels) + 1:
        labels.insert(background, "")
    if labels and len(labels) != given.shape[2]:
        raise DataError(f"detect: there are {len(labels)} names for {given.shape[2]} classes")
    found = []
    for boxes, each in zip(values[..., :4], given, strict=True):
        above = each > score
        if 0 <= background < above.shape[1]:
            above[:, background] = False
        if classes == "best":
            best = np.where(above, each, -np.inf).argmax(axis=1)
            above &= np.arange(above.shape[1]) == best[:, np.newaxis]
        where, which = np.nonzero(above)
        kept = suppress(boxes[where], each[where, which], which, iou=iou, top=top)
        found.append(
            [
                {
                    "label": labels[which[i]] if labels else str(which[i]),
                    "score": float(each[where[i], which[i]]),
                    "box": boxes[where[i]].tolist(),
                }
                for i in kept
            ]
        )
    return found


def suppress(boxes: Any, scores: Any, classes: Any, *, iou: float, top: int) -> list[int]:
    """Return the places of the boxes to keep, best first: see `detect`. Boxes [m, 4], scores [m], classes [m]."""
    order = np.argsort(-scores, kind="stable")
    ends = np.sort(boxes[order].reshape(-1, 2, 2), axis=1).transpose(1, 2, 0)  # [low or high, x or y, m]
    classes = classes[order]
    kept: list[int] = []
    for start in range(0, len(order), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(order)))
        alive = ~_overlap(ends, classes, block, np.array(kept, np.intp), iou).any(axis=1)
        among = _overlap(ends, classes, block, block, iou)
        for place in range(len(block)):
            if alive[place]:
                kept.append(start + place)
                if len(kept) == top:
                    return [int(order[one]) for one in kept]
                alive[place + 1 :] &= ~among[place, place + 1 :]
    return [int(order[one]) for one in kept]


def _overlap(ends: Any, classes: Any, some: Any, others: Any, iou: float) -> Any:
    """Return whether boxes of the same class overlap by more than `iou`: [some, others]."""
    mine, theirs = ends[:, :, some, np.newaxis], ends[:, :, np.newaxis, others]
    sides = np.maximum(0, np.minimum(mine[1], theirs[1]) - np.maximum(mine[0], theirs[0]))
    shared = sides[0] * sides[1]
    areas = (ends[1, 0] - ends[0, 0]) * (ends[1, 1] - ends[0, 1])
    with np.errstate(invalid="ignore", divide="ignore"):  # boxes without area overlap nothing
        share = shared / (areas[some, np.newaxis] + areas[others] - shared)
    return (share > iou) & (classes[some, np.newaxis] == classes[others])


def read_anchors(path: Path) -> Any:
    """Read anchors, [anchors, 4] numbers in a `.npy` file.

    Raises:
        BundleError: not such a file.
    """
    from edgeai_runtime.bundle_arrays import read_npy

    array = read_npy(path, where=f"the anchors {path}")
    if array.ndim != 2 or array.shape[1] != 4 or array.dtype.kind not in "iuf":
        raise BundleError(
            f"the anchors {path} have shape {array.shape} of {array.dtype}; they are [anchors, 4] numbers"
        )
    return array


def _boxes(operation: str, array: Any) -> Any:
    if array.ndim != 3 or array.shape[2] < 4:
        raise DataError(
            f"{operation}: boxes are [n, boxes, 4 or more], the array has shape {array.shape}",
            hint="`layout:NFB>NBF` swaps the last two axes.",
        )
    return as_float(array)

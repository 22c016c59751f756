"""Boxes against loops written out by hand; TensorFlow's are in integration."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.errors import BundleError, DataError
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.boxes import suppress
from edgeai_runtime.transforms.pipeline import apply_steps

ATOL = 1e-4


def run(operation: str, array: Any, *, labels: Any = (), others: Any = None, **params: Any) -> Any:
    return apply_steps([Step(op=operation, params=params)], array, labels=labels, others=others)


@pytest.mark.parametrize(
    ("form", "box"),
    [
        ("xyxy", [1, 2, 5, 10]),
        ("yxyx", [2, 1, 10, 5]),
        ("xywh", [1, 2, 4, 8]),
        ("cxcywh", [3, 6, 4, 8]),
        ("cycxhw", [6, 3, 8, 4]),
    ],
)
def test_every_form_becomes_the_same_corners(form: str, box: list[float]) -> None:
    assert run("corners", [[[*box, 0.5]]], **{"from": form}).tolist() == [[[1, 2, 5, 10, 0.5]]]


@pytest.mark.parametrize("form", ["cycxhw", "cxcywh"])
def test_anchors_are_decoded_as_written_out(tmp_path: Path, form: str) -> None:
    random = np.random.default_rng(0)
    offsets, anchors = random.normal(size=(2, 5, 4)), random.uniform(0.1, 1, size=(5, 4))
    np.save(tmp_path / "anchors.npy", anchors)
    result = run("anchor_boxes", offsets, anchors=str(tmp_path / "anchors.npy"), scales=[10, 8, 5, 4], form=form)
    for sample in range(2):
        for box in range(5):
            (a, b, c, d), (e, f, g, h) = offsets[sample, box], anchors[box]
            first, second = a / 10 * g + e, b / 8 * h + f
            one, two = math.exp(c / 5) * g, math.exp(d / 4) * h
            corners = [first - one / 2, second - two / 2, first + one / 2, second + two / 2]
            if form == "cycxhw":
                corners = [corners[i] for i in (1, 0, 3, 2)]
            np.testing.assert_allclose(result[sample, box], corners, atol=ATOL)


def test_anchors_of_another_number_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "anchors.npy", np.ones((5, 4)))
    with pytest.raises(DataError, match="do not fit anchors"):
        run("anchor_boxes", np.ones((1, 6, 4)), anchors=str(tmp_path / "anchors.npy"))


@pytest.mark.parametrize("content", [b"", np.ones((5, 3)), np.array([["a"] * 4])])
def test_what_is_no_file_of_anchors_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "anchors.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    with pytest.raises(BundleError, match="the anchors"):
        run("anchor_boxes", np.ones((1, 5, 4)), anchors=str(path))


@pytest.mark.parametrize("decode", ["centre", "sides"])
def test_grids_are_decoded_as_written_out(decode: str) -> None:
    given = np.random.default_rng(0).normal(size=(2, 4 * 3 + 2 * 2, 6))
    result = run("grid_boxes", given, height=32, width=24, strides=[8, 16], decode=decode)
    cell = 0
    for stride, rows, columns in ((8, 4, 3), (16, 2, 2)):
        for row in range(rows):
            for column in range(columns):
                a, b, c, d, *rest = given[1, cell]
                if decode == "sides":
                    x, y = (column + 0.5) * stride, (row + 0.5) * stride
                    box = [x - a * stride, y - b * stride, x + c * stride, y + d * stride]
                else:
                    x, y = (a + column) * stride, (b + row) * stride
                    width, height = math.exp(c) * stride, math.exp(d) * stride
                    box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
                np.testing.assert_allclose(result[1, cell], [*box, *rest], rtol=1e-4, atol=ATOL)
                cell += 1


def test_a_grid_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match="5 boxes do not fit the 16 cells"):
        run("grid_boxes", np.ones((1, 5, 4)), height=32, width=24, strides=[8, 16])


def greedy(boxes: Any, scores: Any, classes: Any, iou: float, top: int) -> list[int]:
    """Suppress by definition: in the order of scores, a box stays unless one that stayed overlaps it."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        x1, y1, x2, y2 = boxes[i]
        for j in kept:
            a1, b1, a2, b2 = boxes[j]
            shared = max(0.0, min(x2, a2) - max(x1, a1)) * max(0.0, min(y2, b2) - max(y1, b1))
            union = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - shared
            if classes[i] == classes[j] and union and shared / union > iou:
                break
        else:
            kept.append(i)
    return kept[:top]


@pytest.mark.parametrize("iou", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_suppression_keeps_what_the_definition_keeps(iou: float, classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    low = random.uniform(0, 1, size=(150, 2))
    boxes = np.concatenate([low, low + random.uniform(0, 0.6, size=(150, 2))], axis=1)
    scores, which = np.round(random.random(150), 1), random.integers(0, classes, 150)
    assert suppress(boxes, scores, which, iou=iou, top=40) == greedy(boxes, scores, which, iou, 40)


BOXES = np.array([[[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]]], np.float32)
SCORES = np.array([[[0.9, 0.6], [0.8, 0.7], [0.1, 0.75]]], np.float32)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, [("cat", 0.9), ("dog", 0.75)]),
        ({"classes": "all"}, [("cat", 0.9), ("dog", 0.75), ("dog", 0.7)]),
        ({"classes": "all", "iou": 0.95}, [("cat", 0.9), ("cat", 0.8), ("dog", 0.75), ("dog", 0.7), ("dog", 0.6)]),
        ({"score": 0.8}, [("cat", 0.9)]),
        ({"top": 1}, [("cat", 0.9)]),
        ({"background": 0}, [("dog", 0.75), ("dog", 0.7)]),
    ],
)
def test_boxes_are_told_best_first(params: dict[str, Any], expected: list[tuple[str, float]]) -> None:
    (found,) = run("detect", BOXES, labels=["cat", "dog"], others={"s": SCORES}, scores="s", **params)
    assert [(box["label"], round(box["score"], 4)) for box in found] == expected


def test_the_box_goes_with_its_score() -> None:
    (found,) = run("detect", np.concatenate([BOXES, SCORES], axis=2), score=0.7)
    assert found[1] == {"label": "1", "score": 0.75, "box": [20.0, 20.0, 30.0, 30.0]}


def test_objectness_multiplies_the_scores() -> None:
    whole = np.concatenate([BOXES, [[[0.5], [1], [1]]], SCORES], axis=2)
    (found,) = run("detect", whole, objectness="yes", score=0.4)
    assert [round(box["score"], 4) for box in found] == [0.8, 0.75]


def test_the_background_needs_no_name() -> None:
    (found,) = run("detect", np.concatenate([BOXES, SCORES], axis=2), labels=["dog"], background=0)
    assert {box["label"] for box in found} == {"dog"}


def test_no_box_at_all_is_an_empty_list() -> None:
    assert run("detect", np.zeros((2, 3, 6))) == [[], []]
    assert run("detect", np.zeros((2, 0, 6))) == [[], []]


@pytest.mark.parametrize(
    ("shape", "params", "labels", "message"),
    [
        ((1, 3), {}, [], r"boxes are \[n, boxes, 4 or more\]"),
        ((1, 3, 4), {}, [], "scores of shape .* do not fit"),
        ((1, 3, 6), {}, ["one"], "1 names for 2 classes"),
    ],
)
def test_what_does_not_fit_is_refused(shape: Any, params: Any, labels: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        run("detect", np.zeros(shape), labels=labels, **params)

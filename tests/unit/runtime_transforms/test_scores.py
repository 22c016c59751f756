"""Softmax, argmax, labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.pipeline import apply_steps


def run(operation: str, array: Any, *, names: Any = (), **params: Any) -> Any:
    return apply_steps([Step(op=operation, params=params)], array, labels=names)


def test_softmax_sums_to_one_along_its_axis() -> None:
    result = run("softmax", np.arange(24, dtype=np.float32).reshape(2, 3, 4), axis=1)
    np.testing.assert_allclose(result.sum(axis=1), 1, rtol=1e-6)


def test_softmax_of_large_scores_does_not_overflow() -> None:
    np.testing.assert_allclose(run("softmax", np.array([[1e4, 1e4, -1e4]], np.float32)), [[0.5, 0.5, 0]])


def test_softmax_of_int8_scores_does_not_wrap() -> None:
    np.testing.assert_allclose(run("softmax", np.array([[-128, 127]], np.int8)), [[0, 1]], atol=1e-6)


def test_argmax_takes_the_first_of_equal_scores() -> None:
    result = run("argmax", np.array([[1, 3, 3], [2, 1, 0]]))
    assert result.dtype == np.int64
    assert result.tolist() == [1, 0]


@pytest.mark.parametrize("operation", ["softmax", "argmax"])
@pytest.mark.parametrize(("shape", "message"), [((3,), "no axis -1"), ((3, 0), "is empty")])
def test_scores_need_classes(operation: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        run(operation, np.zeros(shape))


def test_labels_come_best_first_with_their_scores() -> None:
    result = run("labels", np.array([[0.25, 0.5, 0.25], [1, 0, 0]]), names=["a", "b", "c"], top=2)
    assert result == [
        [{"label": "b", "score": 0.5}, {"label": "a", "score": 0.25}],
        [{"label": "a", "score": 1.0}, {"label": "b", "score": 0.0}],
    ]


def test_without_names_the_label_is_the_index() -> None:
    assert run("labels", np.array([[0, 200, 100]], np.uint8)) == [[{"label": "1", "score": 200.0}]]


def test_there_are_never_more_labels_than_classes() -> None:
    assert len(run("labels", np.array([[0, 1]]), top=5)[0]) == 2


def test_names_must_be_as_many_as_classes() -> None:
    with pytest.raises(DataError, match="2 names for 3 classes"):
        run("labels", np.zeros((1, 3)), names=["a", "b"])


def test_labels_need_one_row_of_scores_per_sample() -> None:
    with pytest.raises(DataError, match=r"\[n, classes\].*\(1, 1, 3\)"):
        run("labels", np.zeros((1, 1, 3)))


def test_sigmoid_is_exact_and_never_overflows() -> None:
    values = np.array([[-1000, -2, 0, 2, 1000]], np.float32)
    expected = [0, 1 / (1 + np.exp(2.0)), 0.5, 1 / (1 + np.exp(-2.0)), 1]
    np.testing.assert_allclose(apply_steps([Step(op="sigmoid")], values)[0], expected, rtol=1e-6)


@pytest.mark.parametrize(("give", "expected"), [("indices", [[1, 0], [0, 1]]), ("values", [[3, 2], [5, 5]])])
def test_top_k_gives_the_largest_first_and_equal_ones_by_index(give: str, expected: list[list[int]]) -> None:
    values = np.array([[2, 3, 1], [5, 5, 0]], np.int32)
    assert apply_steps([Step(op="top_k", params={"k": 2, "give": give})], values).tolist() == expected

"""The table of `edgeai bench`: pictures of latencies, names without what all share, sentences."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai.cli.bench_table import common_folder, comparison_in_words, sparkline


def test_a_sparkline_is_highest_where_most_calls_are_and_empty_where_none_are() -> None:
    assert sparkline([8, 0, 1, 4]) == "█ ▁▄"


def test_many_bins_are_added_up_to_fit() -> None:
    line = sparkline([1] * 12 + [0] * 12, width=6)
    assert line == "███   "


def test_nothing_measured_draws_nothing() -> None:
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == ""


@pytest.mark.parametrize(
    ("artifacts", "folder"),
    [
        (["models/a.onnx", "models/b.edge#int8"], "models/"),
        (["models/a.onnx", "other/b.onnx"], ""),
        (["/x/y/a.onnx", "/x/z/b.onnx"], "/x/"),
        (["a.onnx", "models/b.onnx"], ""),
        (["/x/a.onnx", "x/a.onnx"], ""),
    ],
)
def test_the_folder_that_all_share_is_left_out(artifacts: list[str], folder: str) -> None:
    assert common_folder(artifacts) == folder


@pytest.mark.parametrize(
    ("verdict", "ratio", "words"),
    [
        ("faster", 0.5, "a is 2.00x faster than b"),
        ("slower", 1.5, "a is 1.50x slower than b"),
        ("no_difference", 1.01, "a and b: no difference"),
    ],
)
def test_a_comparison_says_its_verdict_its_ratio_and_its_interval(verdict: str, ratio: float, words: str) -> None:
    comparison: dict[str, Any] = {"a": "a", "b": "b", "ratio": ratio, "ci95": [ratio - 0.1, ratio + 0.1]}
    told = comparison_in_words({**comparison, "verdict": verdict, "note": "another machine"})
    assert told.startswith(words)
    assert f"{ratio:.3f}, 95 % [{ratio - 0.1:.3f}" in told
    assert "another machine" in told

"""What changed between two keys, in words that a reader of `--explain` understands."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai.builder.differences import differences

OLD, NEW = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0.01, 0.02, "it: 0.01 → 0.02"),
        (None, 0.5, "it: none → 0.5"),
        (OLD, NEW, "it changed"),
        (["tflite"], ["tflite", "onnx"], "it: tflite → tflite, onnx"),
        (["rpi5", OLD], ["rpi4", NEW], "it: rpi5 → rpi4"),
        (["rpi5", OLD], ["rpi5", NEW], "it changed"),
        (None, ["rpi5", NEW], "it: none → rpi5"),
        ([["scale", {"factor": 1}]], [["scale", {"factor": 2}]], "it changed"),
    ],
)
def test_a_short_value_is_told_and_a_digest_is_not(before: Any, after: Any, words: str) -> None:
    assert differences({"it": before}, {"it": after}) == [words]

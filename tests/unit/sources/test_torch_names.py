"""Names of a PyTorch network's outputs."""

from __future__ import annotations

from typing import NamedTuple

from edgeai_converters.sources.torch_names import output_names


class _Found(NamedTuple):
    boxes: int
    scores: list[int]


def test_fields_of_a_named_tuple_are_names() -> None:
    assert output_names(_Found(1, [2, 3])) == ["boxes", "scores_0", "scores_1"]


def test_plain_tuples_tell_no_names() -> None:
    assert output_names((1, [2, 3])) is None
    assert output_names(1) is None


def test_no_output_is_named_as_an_input_or_another_output() -> None:
    assert output_names({"x": 1, "a": (1, 2), "a_0": 3}, taken={"x"}) == ["x_output", "a_0", "a_1", "a_0_3"]

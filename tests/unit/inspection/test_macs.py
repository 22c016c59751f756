"""Multiply-accumulates from shapes."""

from __future__ import annotations

import pytest

from edgeai_converters.inspection.macs import elements, per_element, recurrent
from edgeai_converters.inspection.record import HeavyOperation, macs_by_name


def test_a_convolution_does_one_filter_per_output_element() -> None:
    assert per_element([1, 16, 32, 32], [3, 3, 3]) == 16 * 32 * 32 * 27


def test_a_matrix_product_does_k_per_output_element() -> None:
    assert per_element([1, 10], [64]) == 640


def test_a_recurrent_layer_uses_every_weight_once_per_step_and_sample() -> None:
    assert recurrent([28, 1], [1, 80, 28], [1, 80, 20]) == 28 * (80 * 28 + 80 * 20)


def test_an_unknown_shape_gives_no_number() -> None:
    assert elements(None) is None
    assert elements([1, None]) is None
    assert per_element([1, None], [3]) is None
    assert recurrent(None, [1, 2, 3]) is None


@pytest.mark.parametrize(
    ("names", "macs", "expected"),
    [
        (["a", "b"], [5, 7], {"a": 5, "b": 7}),
        ([], [], {}),
        (["a", ""], [5, 7], {}),
        (["a", "a"], [5, 7], {}),
        (["a", "b"], [5, None], {}),
    ],
)
def test_macs_by_name_are_all_or_nothing(names: list[str], macs: list[int | None], expected: dict[str, int]) -> None:
    heavy = [HeavyOperation(name="x", op_type="Conv", macs=one, precision="float32") for one in macs]
    assert macs_by_name(heavy, names) == expected

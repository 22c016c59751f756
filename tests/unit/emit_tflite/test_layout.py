"""Permutations of axes, and reshapes split into groups."""

from __future__ import annotations

import numpy as np
import pytest

from edgeai_converters.emit.tflite.layout import (
    UNIT,
    align_reshape,
    channels_last,
    lowered,
    moves_only_units,
    physical_shape,
    transposed,
)


def test_one_dimensional_map_lies_with_a_height_of_one() -> None:
    assert physical_shape((2, 6, 20), channels_last(3)) == (2, 1, 20, 6)
    assert channels_last(4) == (0, 2, 3, 1)


def test_graph_transpose_renames_axes_and_moves_no_memory() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    permutation = (2, 0, 1)
    order = transposed((0, 1, 2), permutation)
    logical = array.transpose(permutation)
    assert np.array_equal(logical.transpose(order), array)


def test_transpose_of_channels_last_input_to_channels_first_is_channels_last() -> None:
    assert transposed((0, 1, 2, 3), (0, 3, 1, 2)) == channels_last(4)


def test_value_of_lower_rank_is_asked_for_behind_units() -> None:
    assert lowered((0, 2, 3, 1), 1) == (UNIT, 1, 2, 0)


def test_moving_axes_of_size_one_moves_no_bytes() -> None:
    assert moves_only_units((2, 6, 1, 1), (0, 2, 3, 1), (0, 1, 2, 3))
    assert not moves_only_units((2, 6, 1, 3), (0, 2, 3, 1), (0, 1, 2, 3))


@pytest.mark.parametrize(
    ("old", "new", "groups"),
    [
        ((None, 8, 4, 4), (None, 8, 16), [([0], [0]), ([1], [1]), ([2, 3], [2])]),
        ((2, 6, 5), (2, 2, 3, 5), [([0], [0]), ([1], [1, 2]), ([2], [3])]),
        ((2, 6, 1, 1), (2, 6), [([0], [0]), ([1], [1])]),
        ((4, 6), (8, 3), [([0, 1], [0, 1])]),
        ((None, 4), (None, 2), None),
        ((None, 4), (4, None), None),
    ],
)
def test_reshape_is_split_into_the_smallest_groups(
    old: tuple[int | None, ...], new: tuple[int | None, ...], groups: list[tuple[list[int], list[int]]] | None
) -> None:
    assert align_reshape(old, new) == groups

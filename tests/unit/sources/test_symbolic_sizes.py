"""Free dimensions that hang together get sizes that fit."""

from __future__ import annotations

import pytest

from edgeai_converters.sources.symbolic_sizes import Dim, choose_sizes, evaluate, spread_sizes
from edgeai_runtime.errors import UsageError

_CACHE: dict[str, tuple[Dim, ...]] = {"ids": ("n", 1), "past": ("n", 2, "p", 4), "mask": ("n", "p + 1")}


def test_a_mask_is_one_longer_than_the_past() -> None:
    sizes = choose_sizes(_CACHE, given={}, limits={"p": (1, 9)}, batch=8)
    assert sizes.shapes == {"ids": (8, 1), "past": (8, 2, 9, 4), "mask": (8, 10)}
    assert sizes.per_sample


def test_a_given_shape_fixes_all_that_hang_on_it() -> None:
    assert spread_sizes(_CACHE, {"past": (-1, 2, 7, 4)}) == {"ids": [-1, 1], "past": [-1, 2, 7, 4], "mask": [-1, 8]}


def test_nothing_is_fixed_when_nothing_is_given() -> None:
    assert spread_sizes(_CACHE, {}) == {}


@pytest.mark.parametrize(
    "dims",
    [
        {"x": ("n", 5), "h": (2, "n", 3)},
        {"x": ("n", 5), "other": (1, 5)},
        {"x": (1, 5), "h": (2, 1, 3)},
    ],
)
def test_a_batch_that_is_not_first_everywhere_is_one_call(dims: dict[str, tuple[Dim, ...]]) -> None:
    assert not choose_sizes(dims, given={}, limits={}, batch=2).per_sample


def test_a_shape_of_another_rank_is_refused() -> None:
    with pytest.raises(UsageError, match="'ids' has 2 dimensions"):
        choose_sizes(_CACHE, given={"ids": (1, 1, 1)}, limits={}, batch=2)


def test_an_expression_is_arithmetic_only() -> None:
    assert evaluate("2*(a + 3)//4", {"a": 5}) == 4
    with pytest.raises(ValueError, match="No expression"):
        evaluate("a.__class__", {"a": 5})

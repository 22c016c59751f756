"""The memory planner: no two tensors alive together overlap, memory is used again, aliases share, edges are errors."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_devices.memory_plan import LITERT_ALIGNMENT, Gap, PlannedTensor, plan_memory
from edgeai_runtime.errors import UsageError


def tensor(name: str, size: int, first: int, last: int, alias_of: str | None = None) -> PlannedTensor:
    return PlannedTensor(name=name, size_bytes=size, first_step=first, last_step=last, alias_of=alias_of)


@st.composite
def many_tensors(draw: st.DrawFn) -> list[PlannedTensor]:
    lives = draw(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 12), st.integers(0, 6)), max_size=14))
    return [tensor(f"t{index}", size, first, first + more) for index, (size, first, more) in enumerate(lives)]


@given(many_tensors(), st.sampled_from((1, 16, 64)), st.sampled_from(("smallest", "first")))
def test_tensors_alive_together_never_overlap(tensors: list[PlannedTensor], alignment: int, gap: Gap) -> None:
    plan = plan_memory(tensors, alignment=alignment, gap=gap)

    for one, other in combinations([each for each in tensors if each.size_bytes], 2):
        if one.first_step <= other.last_step and other.first_step <= one.last_step:
            low, high = sorted((one, other), key=lambda each: plan.offsets[each.name])
            assert plan.offsets[low.name] + low.size_bytes <= plan.offsets[high.name]
    assert all(offset % alignment == 0 for offset in plan.offsets.values())
    assert plan.peak_bytes >= plan.lower_bound_bytes
    assert plan.peak_bytes <= sum(each.size_bytes + alignment for each in tensors)


def test_a_chain_needs_only_its_two_largest_neighbours() -> None:
    chain = [tensor("a", 100, 0, 1), tensor("b", 300, 1, 2), tensor("c", 200, 2, 3), tensor("d", 50, 3, 4)]

    plan = plan_memory(chain, alignment=1)

    assert plan.peak_bytes == plan.lower_bound_bytes == 500
    assert plan.live_bytes == (100, 400, 500, 250, 50)
    assert plan.fullest_step == 2


def test_the_smallest_gap_is_taken_or_the_first() -> None:
    # At step 0 two tensors leave a gap of 40 and one of 20 under those that are alive at step 1 as well.
    tensors = [
        tensor("floor", 100, 0, 0),
        tensor("low", 90, 0, 1),
        tensor("middle", 80, 0, 0),
        tensor("high", 70, 0, 1),
        tensor("late", 60, 1, 1),
    ]

    smallest, first = (plan_memory(tensors, alignment=1, gap=gap) for gap in ("smallest", "first"))

    assert first.offsets["late"] == 0
    assert smallest.offsets["late"] == 190


def test_tensors_that_share_memory_lie_at_one_offset_for_the_life_of_both() -> None:
    plan = plan_memory(
        [tensor("map", 96, 0, 1), tensor("flat", 96, 1, 3, "map"), tensor("other", 32, 2, 3)], alignment=16
    )

    assert plan.offsets["flat"] == plan.offsets["map"]
    assert plan.live_bytes == (96, 96, 128, 128)
    assert plan.peak_bytes == 128


def test_offsets_are_multiples_of_the_alignment() -> None:
    plan = plan_memory([tensor("a", 65, 0, 1), tensor("b", 3, 0, 1)], alignment=LITERT_ALIGNMENT)

    assert dict(plan.offsets) == {"a": 0, "b": 128}
    assert plan.peak_bytes == 131


def test_nothing_to_place_needs_nothing() -> None:
    plan = plan_memory([])

    assert (plan.peak_bytes, plan.live_bytes, plan.fullest_step) == (0, (), None)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ([("a", 1, 0, 1, None), ("a", 2, 0, 1, None)], "one name"),
        ([("a", 1, 0, 1, "b")], "not there"),
        ([("a", 1, 0, 1, "b"), ("b", 1, 0, 1, "a")], "circle"),
        ([("a", 1, 2, 1, None)], "ends before it begins"),
        ([("a", -1, 0, 1, None)], "not negative"),
    ],
)
def test_what_can_not_be_planned_is_named(tensors: list[tuple[str, int, int, int, str | None]], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan_memory([tensor(*each) for each in tensors])

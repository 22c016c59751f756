"""The decision which channels go: a ranking over all groups, floors, widths of whole multiples."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgeai_converters.prune.groups import ChannelGroup, Member
from edgeai_converters.prune.plan import PruningPlan, plan_pruning
from edgeai_runtime.errors import UsageError


def _group(name: str, size: int, *, reason: str = "", places: int = 1) -> ChannelGroup:
    listed = tuple(tuple(range(i * places, (i + 1) * places)) for i in range(size))
    member = Member(value=name, axis=0, places=listed, kind="produced")
    return ChannelGroup(id=name, size=size, members=(member,), reason=reason)


WIDE, NARROW = _group("wide", 16), _group("narrow", 4)
WORTH = {"wide": np.arange(16) + 1.0, "narrow": np.asarray([0.1, 0.2, 0.3, 0.4])}


def test_the_least_important_of_all_groups_go_first() -> None:
    plan = plan_pruning((WIDE, NARROW), WORTH, share=0.2, floors=0.25)
    assert plan.cuts == {"wide": (0,), "narrow": (0, 1, 2)}
    assert plan.share == pytest.approx(0.2)


def test_a_group_keeps_its_floor() -> None:
    plan = plan_pruning((WIDE, NARROW), WORTH, share=0.5, floors={"narrow": 0.75})
    assert plan.widths == {"wide": 7, "narrow": 3}


@pytest.mark.parametrize(("step", "width"), [(1, 13), (4, 16), (8, 16)])
def test_widths_are_rounded_up_to_a_multiple(step: int, width: int) -> None:
    assert plan_pruning((WIDE,), WORTH, keep={"wide": 13}, multiple_of=step).widths == {"wide": width}


def test_heads_of_eight_places_are_wide_enough_for_a_multiple_of_sixteen_two_by_two() -> None:
    heads = _group("heads", 6, places=8)
    plan = plan_pruning((heads,), {"heads": np.arange(6.0)}, keep={"heads": 3}, multiple_of=16)
    assert plan.widths == {"heads": 4}


def test_a_protected_group_is_left_alone() -> None:
    plan = plan_pruning((WIDE, _group("end", 10, reason="an output")), {**WORTH, "end": np.zeros(10)}, share=0.5)
    assert "end" not in plan.sizes


def test_a_plan_survives_json() -> None:
    plan = plan_pruning((WIDE, NARROW), WORTH, share=0.3)
    assert PruningPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_share_and_widths_together_are_refused() -> None:
    with pytest.raises(UsageError, match="Say either what share"):
        plan_pruning((WIDE,), WORTH, share=0.3, keep={"wide": 3})


def test_an_unknown_group_is_named() -> None:
    with pytest.raises(UsageError, match="no group 'wdie' that can be cut"):
        plan_pruning((WIDE,), WORTH, keep={"wdie": 3})

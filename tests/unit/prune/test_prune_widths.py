"""The decision how wide groups stay: greedy and even, stairs, floors, cuts that are taken back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from edgeai_converters.prune.groups import ChannelGroup, Member
from edgeai_converters.prune.widths import (
    Choices,
    propose_widths,
    take_back,
    trials_without,
    uniform_widths,
)
from edgeai_runtime.errors import UsageError


def group(name: str, size: int, *, reason: str = "", makers: int = 1) -> ChannelGroup:
    places = tuple((i,) for i in range(size))
    members = tuple(Member(value=f"{name}{i}", axis=0, places=places, kind="produced") for i in range(makers))
    return ChannelGroup(id=name, size=size, members=members, reason=reason)


@dataclass(frozen=True, kw_only=True)
class Stairs:
    """Each group costs its price per started tile of channels."""

    prices: Mapping[str, float]
    sizes: Mapping[str, int]
    tiles: Mapping[str, int] = field(default_factory=dict)

    def cost(self, widths: Mapping[str, int]) -> float:
        return sum(
            price * -(-widths.get(name, self.sizes[name]) // self.tiles.get(name, 1))
            for name, price in self.prices.items()
        )

    def predict_ratio(self, widths: Mapping[str, int]) -> float:
        return self.cost(widths) / self.cost({})


A, B = group("a", 16), group("b", 16)
EVEN = {"a": np.ones(16), "b": np.ones(16)}
SIZES = {"a": 16, "b": 16}


def test_the_group_that_costs_more_per_channel_is_cut_first() -> None:
    cost = Stairs(prices={"a": 3.0, "b": 1.0}, sizes=SIZES)
    (plan,) = propose_widths(Choices((A, B), EVEN), cost, targets=[0.7])
    assert plan.widths["b"] == 16
    assert plan.widths["a"] < 16
    assert plan.predicted_ratio <= 0.7


def test_the_group_that_is_worth_less_is_cut_first() -> None:
    cost = Stairs(prices={"a": 1.0, "b": 1.0}, sizes=SIZES)
    worth = {"a": np.full(16, 0.1), "b": np.ones(16)}
    (plan,) = propose_widths(Choices((A, B), worth), cost, targets=[0.7])
    assert plan.widths["b"] == 16
    assert plan.widths["a"] < 16


def test_a_step_goes_down_to_the_next_stair_and_stops_on_it() -> None:
    cost = Stairs(prices={"a": 1.0, "b": 1.0}, sizes=SIZES, tiles={"a": 8, "b": 8})
    (plan,) = propose_widths(Choices((A, B), EVEN), cost, targets=[0.5])
    assert dict(plan.widths) == {"a": 8, "b": 8}


def test_a_cut_that_saves_nothing_is_not_made() -> None:
    cost = Stairs(prices={"a": 1.0, "b": 1.0}, sizes=SIZES, tiles={"a": 16})
    (plan,) = propose_widths(Choices((A, B), EVEN), cost, targets=[0.6])
    assert plan.widths["a"] == 16


def test_a_smaller_target_loses_more() -> None:
    cost = Stairs(prices={"a": 2.0, "b": 1.0}, sizes=SIZES)
    plans = propose_widths(Choices((A, B), EVEN), cost, targets=[0.8, 0.6, 0.4])
    assert [plan.lost_importance for plan in plans] == sorted(plan.lost_importance for plan in plans)
    assert all(plan.predicted_ratio <= target for plan, target in zip(plans, [0.8, 0.6, 0.4], strict=True))


def test_plans_stand_in_the_order_of_the_targets() -> None:
    cost = Stairs(prices={"a": 2.0, "b": 1.0}, sizes=SIZES)
    low, high = propose_widths(Choices((A, B), EVEN), cost, targets=[0.4, 0.8])
    assert low.predicted_ratio < high.predicted_ratio


def test_floors_hold_even_where_the_target_is_missed() -> None:
    cost = Stairs(prices={"a": 1.0, "b": 1.0}, sizes=SIZES)
    (plan,) = propose_widths(Choices((A, B), EVEN, floors={"a": 0.75, "b": 0.5}), cost, targets=[0.1])
    assert dict(plan.widths) == {"a": 12, "b": 8}
    assert plan.predicted_ratio > 0.1


def test_a_channel_that_several_layers_make_counts_for_each() -> None:
    cost = Stairs(prices={"a": 1.1, "b": 1.0}, sizes=SIZES)
    groups = (group("a", 16, makers=4), B)
    by_layers, by_channels = (
        propose_widths(Choices(groups, EVEN, weigh_by=unit), cost, targets=[0.8])[0] for unit in ("layers", "channels")
    )
    assert by_layers.widths["a"] == 16
    assert by_channels.widths["a"] < 16


def test_even_widths_are_the_greatest_share_that_costs_no_more() -> None:
    cost = Stairs(prices={"a": 3.0, "b": 1.0}, sizes=SIZES)
    (plan,) = uniform_widths(Choices((A, B), EVEN), cost, targets=[0.6])
    assert dict(plan.widths) == {"a": 8, "b": 8}
    assert plan.origin == "uniform"


def test_only_the_widths_that_are_given_are_chosen() -> None:
    cost = Stairs(prices={"a": 1.0, "b": 1.0}, sizes=SIZES)
    choices = Choices((A, B), EVEN, steps={"a": (5, 11), "b": (7,)})
    (plan,) = propose_widths(choices, cost, targets=[0.6])
    assert plan.widths["a"] in (5, 11, 16)
    assert plan.widths["b"] in (7, 16)


def test_protected_groups_are_left_alone() -> None:
    assert set(Choices((A, group("end", 10, reason="an output")), {**EVEN, "end": np.ones(10)}).sizes) == {"a"}


def test_a_cut_whose_measured_saving_is_nil_is_taken_back() -> None:
    cost = Stairs(prices={"a": 1.0, "b": 1.0}, sizes=SIZES)
    choices = Choices((A, B), EVEN)
    (plan,) = uniform_widths(choices, cost, targets=[0.5])
    assert trials_without(plan, choices) == {"a": {"a": 16, "b": 8}, "b": {"a": 8, "b": 16}}
    back = take_back(plan, {"a": 0.602, "b": 0.75}, choices, cost, measured_ratio=0.6)
    assert dict(back.widths) == {"a": 16, "b": 8}
    assert back.origin == "taken_back"
    assert back.predicted_ratio == pytest.approx(0.75)


def test_a_plan_whose_cuts_all_pay_stays() -> None:
    choices = Choices((A, B), EVEN)
    cost = Stairs(prices={"a": 1.0, "b": 1.0}, sizes=SIZES)
    (plan,) = uniform_widths(choices, cost, targets=[0.5])
    assert take_back(plan, {"a": 0.8, "b": 0.75}, choices, cost, measured_ratio=0.6) is plan


@pytest.mark.parametrize("target", [0.0, 1.5])
def test_a_target_out_of_range_is_refused(target: float) -> None:
    with pytest.raises(UsageError, match=r"in \(0, 1\]"):
        propose_widths(Choices((A,), EVEN), Stairs(prices={"a": 1.0}, sizes=SIZES), targets=[target])


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(UsageError, match="no group 'c'"):
        Choices((A,), EVEN, floors={"c": 0.5})


def test_a_plan_is_plain_data() -> None:
    (plan,) = uniform_widths(Choices((A,), EVEN), Stairs(prices={"a": 1.0}, sizes=SIZES), targets=[0.5])
    assert json.loads(json.dumps(plan.to_json()))["widths"] == {"a": 8}

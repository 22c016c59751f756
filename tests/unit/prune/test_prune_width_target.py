"""Widths for a measured target: corrected until the measurement says so, and without cuts that do not pay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from edgeai_converters.prune.groups import ChannelGroup, Member
from edgeai_converters.prune.width_target import NEAR, TargetedWidths, choose_widths

SIZES = {"a": 32, "b": 32, "c": 32}


def _group(name: str) -> ChannelGroup:
    places = tuple((i,) for i in range(SIZES[name]))
    member = Member(value=name, axis=0, places=places, kind="produced")
    return ChannelGroup(id=name, size=SIZES[name], members=(member,), reason="")


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A network whose cost is a price per channel, and something that does not depend on widths."""

    prices: Mapping[str, float]
    fixed: float = 0.0
    asked: list[Mapping[str, Mapping[str, int]]] = field(default_factory=list)

    def cost(self, widths: Mapping[str, int]) -> float:
        return self.fixed + sum(price * widths.get(name, SIZES[name]) for name, price in self.prices.items())

    def predict_ratio(self, widths: Mapping[str, int]) -> float:
        return self.cost(widths) / self.cost({})

    def measure(self, networks: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
        self.asked.append(networks)
        return {name: self.predict_ratio(widths) for name, widths in networks.items()}


def _choose(predicted: Linear, true: Linear, target: float, *, cheap: str = "") -> TargetedWidths:
    """Choose widths; channels of the group `cheap` are worth next to nothing."""
    names = list(predicted.prices)
    return choose_widths(
        [_group(name) for name in names],
        {name: np.full(SIZES[name], 0.01 if name == cheap else 1.0) for name in names},
        predicted,
        true.measure,
        target=target,
        floor=0.1,
        steps={name: tuple(range(2, SIZES[name] + 1, 2)) for name in names},
    )


EVEN = {"a": 1.0, "b": 1.0, "c": 1.0}


def test_a_true_prediction_needs_one_proposal() -> None:
    found = _choose(Linear(prices=EVEN), Linear(prices=EVEN), 0.5)
    assert len(found.trials) == 1
    assert found.met
    assert found.taken_back == ()


@pytest.mark.parametrize("fixed", [30.0, 20.0, 10.0])
def test_a_prediction_that_promises_too_much_is_corrected(fixed: float) -> None:
    true = Linear(prices=EVEN, fixed=fixed)
    found = _choose(Linear(prices=EVEN), true, 0.6)
    assert found.trials[0].measured > 0.6
    assert found.met
    assert found.measured == pytest.approx(true.predict_ratio(found.widths))
    assert found.measured <= 0.6


def test_a_prediction_that_promises_too_little_is_corrected_upwards() -> None:
    found = _choose(Linear(prices=EVEN, fixed=40.0), Linear(prices=EVEN), 0.7)
    assert found.trials[0].measured < NEAR * 0.7
    assert found.trials[0].measured < found.measured <= 0.7


def test_a_cut_that_does_not_pay_is_taken_back_and_others_make_up_for_it() -> None:
    true = Linear(prices={"a": 1.0, "b": 1.0, "c": 0.0})
    found = _choose(Linear(prices=EVEN), true, 0.5, cheap="c")
    assert any(networks.get("plan", {}).get("c", SIZES["c"]) < SIZES["c"] for networks in true.asked)
    assert found.taken_back == ("c",)
    assert found.widths["c"] == SIZES["c"]
    assert found.met
    assert found.held == ()


@pytest.mark.parametrize("target", np.arange(0.25, 0.75, 0.05))
def test_what_is_left_is_near_the_target_when_a_group_costs_nothing_after_all(target: float) -> None:
    true = Linear(prices={"a": 1.0, "b": 1.0, "c": 0.02})
    found = _choose(Linear(prices=EVEN), true, target, cheap="c")
    assert (found.taken_back, found.held) == (("c",), ())
    assert 0.9 * target < found.measured <= target
    assert found.measured == pytest.approx(true.predict_ratio(found.widths))


def test_small_cuts_stay_where_the_target_would_be_missed_without_them() -> None:
    prices = {"a": 1.0, "b": 0.005, "c": 0.005}
    true = Linear(prices=prices)
    least = true.predict_ratio({"a": 4, "b": 4, "c": 4})
    found = _choose(Linear(prices=EVEN), true, least + 1e-6)
    assert found.met
    assert set(found.held) == {"b", "c"}
    assert found.taken_back == ()


def test_what_can_not_be_reached_is_said_and_the_least_is_given() -> None:
    true = Linear(prices=EVEN, fixed=96.0)
    found = _choose(Linear(prices=EVEN, fixed=96.0), true, 0.3)
    assert not found.met
    assert found.measured == pytest.approx(true.predict_ratio(dict.fromkeys(SIZES, 4)))
    assert found.taken_back == ()


def test_each_cut_is_measured_beside_the_network_that_has_them_all() -> None:
    true = Linear(prices=EVEN)
    _choose(Linear(prices=EVEN), true, 0.5)
    beside = next(networks for networks in true.asked if len(networks) > 1)
    cut = {name for name, width in beside["plan"].items() if width < SIZES[name]}
    assert set(beside) == {"plan", *cut}
    for name in cut:
        assert beside[name] == {**beside["plan"], name: SIZES[name]}

"""The search for widths: it keeps to the limit, beats what it starts from, and is the same for the same seed."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest

from edgeai_converters.prune.groups import ChannelGroup, Member
from edgeai_converters.prune.widths import Choices, uniform_widths
from edgeai_converters.prune.widths_search import ScoredWidths, search_widths
from edgeai_runtime.errors import UsageError

NAMES = ("a", "b", "c")
LIMIT = 0.5


def _choices() -> Choices:
    places = tuple((i,) for i in range(16))
    groups = [
        ChannelGroup(id=name, size=16, members=(Member(value=name, axis=0, places=places, kind="produced"),))
        for name in NAMES
    ]
    return Choices(groups, {name: np.ones(16) for name in NAMES})


class Linear:
    """Every channel costs the same."""

    def predict_ratio(self, widths: Mapping[str, int]) -> float:
        return sum(widths.get(name, 16) for name in NAMES) / 48


def _score(widths: Mapping[str, int]) -> float:
    """Only `a` is worth something."""
    return widths["a"] - 0.01 * (widths["b"] + widths["c"])


def _search(method: Literal["evolution", "optuna"], seed: int = 0, trials: int = 60) -> tuple[ScoredWidths, ...]:
    choices = _choices()
    seeds = uniform_widths(choices, Linear(), targets=[LIMIT])
    return search_widths(choices, Linear(), _score, limit=LIMIT, seeds=seeds, trials=trials, seed=seed, method=method)


@pytest.fixture(params=["evolution", "optuna"])
def method(request: pytest.FixtureRequest) -> Literal["evolution", "optuna"]:
    if request.param == "optuna":
        pytest.importorskip("optuna")
        return "optuna"
    return "evolution"


def test_the_best_is_better_than_what_the_search_starts_from(method: Literal["evolution", "optuna"]) -> None:
    best = _search(method)[0]
    assert best.score > _score(dict.fromkeys(NAMES, 8)) + 2
    assert best.plan.origin == "search"


def test_all_widths_keep_to_the_limit(method: Literal["evolution", "optuna"]) -> None:
    assert all(one.plan.predicted_ratio <= LIMIT for one in _search(method))


def test_the_same_seed_finds_the_same(method: Literal["evolution", "optuna"]) -> None:
    assert _search(method, seed=3, trials=20) == _search(method, seed=3, trials=20)


def test_on_the_front_what_scores_less_costs_less(method: Literal["evolution", "optuna"]) -> None:
    front = _search(method)
    assert all(
        first.score > second.score and first.plan.predicted_ratio > second.plan.predicted_ratio
        for first, second in pairwise(front)
    )


def test_no_widths_are_scored_twice_and_no_more_than_asked() -> None:
    asked: list[tuple[int, ...]] = []

    def score(widths: Mapping[str, int]) -> float:
        asked.append(tuple(widths[name] for name in NAMES))
        return _score(widths)

    search_widths(_choices(), Linear(), score, limit=LIMIT, trials=25)
    assert len(asked) == len(set(asked)) == 25


def test_a_limit_below_the_floors_is_refused() -> None:
    with pytest.raises(UsageError, match="the cheapest cost"):
        search_widths(_choices(), Linear(), _score, limit=0.01)

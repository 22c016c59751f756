"""A search for widths under a limit on their predicted cost, by a cheap score; for when greed is not enough.

A plain evolutionary search, (μ + λ) with one-group mutations and uniform crossover, or Optuna's samplers. It starts
from plans (greedy, uniform) and returns the front of cost and score. `score` should cost little: a validation after
cutting and correcting, not a training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgeai_converters.progress import OnStep
from edgeai_converters.prune.widths import Choices, WidthPlan
from edgeai_converters.prune.widths_axes import Cost, Widths
from edgeai_converters.require import require
from edgeai_runtime.errors import UsageError

Score = Callable[[Widths], float]
"""Widths → how good, greater is better."""

_PARENTS = 6
_CROSSED = 0.4
"""Share of children with two parents."""

_DRAWS = 50
"""Most draws for a child that is new and within the limit."""


@dataclass(frozen=True, kw_only=True)
class ScoredWidths:
    """A plan with its score.

    Attributes:
        plan: the widths.
        score: what `score` said; greater is better.
    """

    plan: WidthPlan
    score: float


def search_widths(
    choices: Choices,
    cost: Cost,
    score: Score,
    *,
    limit: float,
    seeds: Sequence[WidthPlan] = (),
    trials: int = 40,
    seed: int = 0,
    method: Literal["evolution", "optuna"] = "evolution",
    on_step: OnStep | None = None,
) -> tuple[ScoredWidths, ...]:
    """Return the front of widths that cost no more than a limit: none is cheaper and better than another.

    Deterministic for a seed, when `score` is.

    Args:
        choices: the widths to choose from.
        cost: what widths cost.
        score: how good widths are; called `trials` times at most, never twice for the same widths.
        limit: greatest predicted cost, as a share of the whole network's.
        seeds: plans to start from; those above the limit are left out.
        trials: how many widths are scored.
        seed: of all that is drawn.
        method: `evolution`, or `optuna` (extra `search`).
        on_step: progress.

    Returns:
        The front, the best score first.

    Raises:
        UsageError: no widths within the limit were found.
        MissingEngineError: Optuna is asked for and not installed.
    """
    tell = on_step or (lambda done, total, label: None)
    search = _Search(choices, cost, score, limit, trials, tell)
    starts = [plan.widths for plan in seeds]
    if not any(search.is_allowed(widths) for widths in starts):
        starts.append({name: widths[0] for name, widths in choices.widths.items()})
    for widths in starts:
        search.add(widths)
    if not search.found:
        least = min(cost.predict_ratio(widths) for widths in starts)
        raise UsageError(
            f"No widths are known that cost {limit:.1%} of the whole network; the cheapest cost {least:.1%}.",
            hint="Lower the floors, allow more, or give a cheaper plan to start from.",
        )
    if method == "optuna":
        _search_by_optuna(search, seed)
    else:
        _evolve(search, np.random.default_rng(seed))
    return search.front()


class _Search:
    """What was scored so far."""

    def __init__(self, choices: Choices, cost: Cost, score: Score, limit: float, trials: int, tell: OnStep) -> None:
        self.choices, self.cost, self.limit, self.trials = choices, cost, limit, trials
        self.found: dict[tuple[int, ...], ScoredWidths] = {}
        self._score, self._tell = score, tell

    @property
    def is_over(self) -> bool:
        return len(self.found) >= self.trials

    def is_allowed(self, widths: Widths) -> bool:
        return self.cost.predict_ratio(widths) <= self.limit + 1e-9

    def key(self, widths: Widths) -> tuple[int, ...]:
        return tuple(widths.get(name, size) for name, size in self.choices.sizes.items())

    def add(self, widths: Widths) -> float | None:
        """Score widths, unless they are known; `None` when they cost too much or the search is over."""
        key = self.key(widths)
        if key not in self.found:
            if self.is_over or not self.is_allowed(widths):
                return None
            self._tell(len(self.found), self.trials, "widths")
            plan = self.choices.plan(widths, self.cost, "search")
            self.found[key] = ScoredWidths(plan=plan, score=float(self._score(dict(plan.widths))))
        return self.found[key].score

    def best(self) -> list[ScoredWidths]:
        return sorted(self.found.values(), key=lambda one: (-one.score, one.plan.predicted_ratio))

    def front(self) -> tuple[ScoredWidths, ...]:
        front: list[ScoredWidths] = []
        for one in self.best():
            if not front or one.plan.predicted_ratio < front[-1].plan.predicted_ratio:
                front.append(one)
        return tuple(front)


def _evolve(search: _Search, random: np.random.Generator) -> None:
    while not search.is_over:
        parents = [dict(one.plan.widths) for one in search.best()[:_PARENTS]]
        for _ in range(_DRAWS):
            child = _child(parents, search.choices, random)
            if search.key(child) not in search.found and search.is_allowed(child):
                search.add(child)
                break
        else:
            return


def _child(parents: Sequence[Widths], choices: Choices, random: np.random.Generator) -> dict[str, int]:
    first, second = (parents[int(random.integers(len(parents)))] for _ in range(2))
    mixed = random.random() < _CROSSED
    child = {name: (second if mixed and random.random() < 0.5 else first)[name] for name in choices.sizes}
    names = sorted(choices.sizes)
    for _ in range(1 + int(random.integers(2))):  # one group up, one down, keeps about the cost
        name = names[int(random.integers(len(names)))]
        at = choices.widths[name]
        place = int(np.argmin(np.abs(np.asarray(at) - child[name])))
        child[name] = at[int(np.clip(place + random.choice((-2, -1, 1, 2)), 0, len(at) - 1))]
    return child


def _search_by_optuna(search: _Search, seed: int) -> None:
    optuna: Any = require("optuna", extra="search")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    names = list(search.choices.sizes)
    for one in tuple(search.found.values()):
        study.enqueue_trial({name: one.plan.widths[name] for name in names}, skip_if_exists=True)
    asked = 0
    while not search.is_over and asked < _DRAWS * search.trials:
        asked += 1
        trial = study.ask()
        widths = {name: int(trial.suggest_categorical(name, list(search.choices.widths[name]))) for name in names}
        value = search.add(widths)
        if value is None:  # too dear: worse than all that was found, by how much it is too dear
            worst = min(one.score for one in search.found.values())
            value = worst - 1.0 - (search.cost.predict_ratio(widths) - search.limit)
        study.tell(trial, value)

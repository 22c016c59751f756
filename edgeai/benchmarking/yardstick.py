"""Fixed pieces of work, called in turns beside what is measured: how fast was the machine itself, round by round?

Whatever shares a core, its caches, the memory or the clock makes every program slower while it lasts, a network as well
as these, though not by the same factor. Since they never change, rounds in which they ran as fast as they ever did are
rounds in which nobody disturbed: *calm* ones. Within one session they say how much of it was calm. Between two sessions
they say what neither could say alone: that one was disturbed from its begin to its end.

Arithmetic in the first cache tells of a neighbour on the same core and of a lower clock; copying more than the second
cache holds tells of those who fill caches and memory. Both run on the thread that calls the model: what disturbs the
other cores of a model with several threads is seen only as far as they share something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

CALM = 1.1
"""A round is calm when its yardsticks took at most so many times as long as they take undisturbed."""

_UNDISTURBED = 0.1
"""Quantile of the rounds that is taken for undisturbed: the least would be the luckiest reading of a clock."""

_STEPS = 2000
_COPIED = 1 << 20
"""float32 values: 4 MiB."""


def yardsticks() -> dict[str, Callable[[], object]]:
    """Return the works by name, each of tens of microseconds a call.

    A name ends with a version, which changes with the work: times under two names are not compared.
    """
    source = np.zeros(_COPIED, np.float32)
    target = np.empty_like(source)
    return {"squares/1": sum_of_squares, "copy/1": lambda: np.copyto(target, source)}


def sum_of_squares() -> int:
    """Add up the squares below 2000, in Python itself."""
    total = 0
    for number in range(_STEPS):
        total += number * number
    return total


def undisturbed_ms(*sessions: Sequence[float]) -> float:
    """Return how long one yardstick takes undisturbed, as far as these sessions (its median call per round) tell."""
    return min(float(np.quantile(np.asarray(rounds, np.float64), _UNDISTURBED)) for rounds in sessions)


def slowness(rounds_ms: Mapping[str, Sequence[float]], floors_ms: Mapping[str, float]) -> Any:
    """Return float64 `[rounds]`: how many times as long as undisturbed the yardstick took that suffered most.

    Args:
        rounds_ms: per yardstick its median call in each round.
        floors_ms: per yardstick what it takes undisturbed.
    """
    return np.max([np.asarray(rounds, np.float64) / floors_ms[name] for name, rounds in rounds_ms.items()], axis=0)


def calm_rounds(slowness_of_rounds: Any) -> Any:
    """Return bool `[rounds]`: which rounds were calm, those before and after them included.

    Yardsticks and model are called one after the other: that it was calm before and after says that it was meanwhile.
    """
    calm = np.concatenate([[True], slowness_of_rounds <= CALM, [True]])
    return calm[:-2] & calm[1:-1] & calm[2:]

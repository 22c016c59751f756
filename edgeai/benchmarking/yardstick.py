"""Which rounds of a measurement were calm: those in which the yardsticks ran as fast as they ever did.

Within one session they say how much of it was calm. Between two sessions they say what neither could say alone: that
one was disturbed from its begin to its end. What yardsticks are is told in `edgeai_runtime.bench.yardsticks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

CALM = 1.1
"""A round is calm when its yardsticks took at most so many times as long as they take undisturbed."""

_UNDISTURBED = 0.1
"""Quantile of the rounds that is taken for undisturbed: the least would be the luckiest reading of a clock."""


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

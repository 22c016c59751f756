"""A fixed piece of work, called in turns beside what is measured: how fast was the machine itself, round by round?

Whatever shares a core, its caches or its clock makes every program slower while it lasts, a small network as well as
this loop, though not by the same factor. Since the loop never changes, rounds in which it ran as fast as it ever did
are rounds in which nobody disturbed: *calm* ones. Within one session it says how much of it was calm. Between two
sessions it says what neither could say alone: that one was disturbed from its begin to its end.

It is single-threaded arithmetic that stays in the first cache: it tells of a busy neighbour on the same core and of a
lower clock, not of a memory bus that others fill.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

NAME = "python-squares/1"
"""Changes with the work: times under two names are not compared."""

CALM = 1.1
"""A round is calm when its yardstick took at most so many times as long as it takes undisturbed."""

_UNDISTURBED = 0.1
"""Quantile of the rounds that is taken for undisturbed: the least would be the luckiest interruption of a clock."""

_STEPS = 2000


def yardstick() -> int:
    """Do the work once: tens of microseconds."""
    total = 0
    for number in range(_STEPS):
        total += number * number
    return total


def undisturbed_ms(*sessions: Sequence[float]) -> float:
    """Return how long the yardstick takes undisturbed, as far as these sessions (its median call per round) tell."""
    return min(float(np.quantile(np.asarray(rounds, np.float64), _UNDISTURBED)) for rounds in sessions)


def calm_rounds(rounds_ms: Sequence[float], floor_ms: float) -> Any:
    """Return bool `[rounds]`: which rounds were calm, if the yardstick takes `floor_ms` undisturbed."""
    return np.asarray(rounds_ms, np.float64) <= CALM * floor_ms

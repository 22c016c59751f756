"""The learning rate over the steps of a training."""

from __future__ import annotations

import math


def rate_factor(step: float, steps: int, *, warm_up: float) -> float:
    """Return the share of the highest rate at a step (from 0): a straight rise, then half a cosine down to 0.

    SGDR without restarts (Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5).

    >>> [round(rate_factor(step, 10, warm_up=0.2), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    rising = int(steps * warm_up)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1.0 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

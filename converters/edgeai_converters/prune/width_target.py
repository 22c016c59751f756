"""Widths for a target that is measured: proposed by predicted cost, measured whole, corrected, and what does not pay
taken back.

Data in, data out: what is predicted and what measures come as arguments. The steps of one round:

1. `propose_widths` for the target; the network is measured; where it misses the target, or undercuts it by far, the
   next proposal is for where the target lies on the line between the networks that were measured.
2. Each cut group is made whole again, one at a time, and measured. Groups whose cut saves too little are taken back.
3. Where the target is missed without them, there is a round more with the other groups alone. Where those cannot meet
   it, the cuts stay, and are reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.prune.groups import ChannelGroup
from edgeai_converters.prune.widths import Choices, WidthPlan, propose_widths, take_back, trials_without
from edgeai_converters.prune.widths_axes import Cost, Widths

MOST_CORRECTIONS = 4
"""Proposals that are measured in a round."""

MOST_ROUNDS = 3
"""How often other groups make up for those that were taken back."""

NEAR = 0.95
"""A network that costs at least this share of its target needs no correction upwards."""

_MARGIN, _WITHIN = 0.98, 0.99
"""A proposal after one that missed aims a little lower: predictions are off by some percent."""

_LEAST_AIM, _LARGEST_STEP = 0.01, 0.6
"""What is aimed for at least; and how far below a network that missed its target the next one is predicted at most."""

_PLAN = "plan"

Measure = Callable[[Mapping[str, Widths]], Mapping[str, float]]
"""Networks by name, as widths → measured cost of each, as a share of the whole network's."""


@dataclass(frozen=True, kw_only=True)
class WidthTrial:
    """A proposal that was measured.

    Attributes:
        aimed: the target it was proposed for.
        predicted, measured: cost as a share of the whole network's.
    """

    aimed: float
    predicted: float
    measured: float


@dataclass(frozen=True, kw_only=True)
class TargetedWidths:
    """Widths for a target.

    Attributes:
        widths: group → channels that stay, of all groups that can be cut.
        predicted, measured: cost as a share of the whole network's.
        met: whether the measurement is within the target.
        trials: proposals, in the order they were measured.
        taken_back: groups that stay whole because their cut did not pay.
        held: groups whose cuts save little each, and without which the target would be missed.
    """

    widths: dict[str, int]
    predicted: float
    measured: float
    met: bool
    trials: tuple[WidthTrial, ...]
    taken_back: tuple[str, ...]
    held: tuple[str, ...]


def choose_widths(
    groups: Sequence[ChannelGroup],
    worth: Mapping[str, NDArray[np.float64]],
    cost: Cost,
    measure: Measure,
    *,
    target: float,
    floor: float,
    steps: Mapping[str, Sequence[int]],
) -> TargetedWidths:
    """Return widths whose measured cost is within a target, losing little; the least cost there is where none is.

    Args:
        groups: the groups that can be cut.
        worth: group → worth of each channel, relative to its group.
        cost: what widths cost, as predicted.
        measure: what measures networks; all of a call beside each other.
        target: cost wanted, as a share of the whole network's.
        floor: share of its channels that a group keeps at least.
        steps: group → widths that may be chosen.

    Raises:
        UsageError: there is no group that can be cut.
    """
    every = Choices(groups, worth, floors=floor, steps=steps)
    trials: list[WidthTrial] = []
    found: list[_Found] = []
    taken: tuple[str, ...] = ()
    for _ in range(MOST_ROUNDS):
        left = [group for group in groups if group.id not in taken]
        if not left:
            break
        own = {group.id: steps[group.id] for group in left}
        choices = Choices(left, worth, floors=floor, steps=own)
        plan, measured = _correct(choices, cost, measure, target, trials)
        back, without = _taken_back(plan, measured, choices, cost, measure) if measured <= target else (plan, measured)
        now = tuple(name for name, width in back.widths.items() if width > plan.widths[name])
        found.append(_Found(plan=every.plan(plan.widths, cost, plan.origin), measured=measured, taken=taken, held=now))
        if not now:
            break
        taken += now
        found.append(_Found(plan=every.plan(back.widths, cost, back.origin), measured=without, taken=taken, held=()))
        if without <= target:
            break
    within = [each for each in found if each.measured <= target]
    best = min(within or found, key=lambda each: each.order(met=bool(within)))
    return TargetedWidths(
        widths=dict(best.plan.widths),
        predicted=best.plan.predicted_ratio,
        measured=best.measured,
        met=bool(within),
        trials=tuple(trials),
        taken_back=best.taken,
        held=best.held,
    )


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Widths of all groups with their measured cost; the groups that were taken back, and those that should be."""

    plan: WidthPlan
    measured: float
    taken: tuple[str, ...]
    held: tuple[str, ...]

    def order(self, *, met: bool) -> tuple[float, ...]:
        """Return what is least for the best: first no cuts that do not pay, then little loss; or the least cost."""
        return (float(bool(self.held)), self.plan.lost_importance) if met else (self.measured,)


def _correct(
    choices: Choices, cost: Cost, measure: Measure, target: float, trials: list[WidthTrial]
) -> tuple[WidthPlan, float]:
    """Return a plan and its measured cost: of those within the target what loses least, else the cheapest."""
    found: list[tuple[WidthPlan, float]] = []
    aimed = target
    for _ in range(MOST_CORRECTIONS):
        plan = propose_widths(choices, cost, targets=(aimed,))[0]
        if any(plan.widths == other.widths for other, _ in found):
            break
        measured = measure({_PLAN: plan.widths})[_PLAN]
        found.append((plan, measured))
        trials.append(WidthTrial(aimed=aimed, predicted=plan.predicted_ratio, measured=measured))
        if NEAR * target <= measured <= target:
            break
        aimed = _next_aim([(each.predicted_ratio, ratio) for each, ratio in found], target)
    within = [each for each in found if each[1] <= target]
    if within:
        return min(within, key=lambda each: each[0].lost_importance)
    return min(found, key=lambda each: each[1])


def _next_aim(seen: Sequence[tuple[float, float]], target: float) -> float:
    """Return the prediction at which the target is expected, from pairs of what was predicted and measured.

    On the line between the nearest networks above and below the target; the whole network, where both are 1, is one
    above. Where none is below yet, on the line through the whole network and the cheapest, but not far beyond that.
    """
    above = min([(1.0, 1.0), *(pair for pair in seen if pair[1] > target)], key=lambda pair: pair[1])
    below = max((pair for pair in seen if pair[1] <= target), key=lambda pair: pair[1], default=None)
    if below is not None:
        part = (target * _WITHIN - below[1]) / (above[1] - below[1])
        return min(1.0, max(_LEAST_AIM, below[0] + max(0.0, part) * (above[0] - below[0])))
    least = max(_LEAST_AIM, above[0] * _LARGEST_STEP)
    slope = (1 - above[1]) / max(1 - above[0], 1e-9)
    return max(least, min(above[0], 1 - (1 - target * _MARGIN) / slope)) if slope > 0 else least


def _taken_back(
    plan: WidthPlan, measured: float, choices: Choices, cost: Cost, measure: Measure
) -> tuple[WidthPlan, float]:
    """Return the plan without the cuts that do not pay, and its measured cost."""
    trials = trials_without(plan, choices)
    if not trials:
        return plan, measured
    beside = dict(measure({**trials, _PLAN: plan.widths}))
    back = take_back(plan, beside, choices, cost, measured_ratio=beside.pop(_PLAN))
    if back.widths == plan.widths:
        return plan, measured
    return back, measure({_PLAN: back.widths})[_PLAN]

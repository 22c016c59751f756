"""Widths for a target that is measured: proposed by predicted cost, measured whole, corrected, and what does not pay
taken back.

Data in, data out: what is predicted and what measures come as arguments. The steps of one round:

1. `propose_widths` for the target; the network is measured; where it misses the target, or undercuts it by far, the
   next proposal is for where the target lies on the line through the whole network and the one that was measured.
2. Each cut group is made whole again, one at a time, and measured. Groups whose cut saves too little are taken back.
3. Where the target is missed without them, the others have to make up for it: a round more, without those groups.
   Where the others can not, the cuts stay, and are told.
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

_MARGIN = 0.98
"""A proposal after one that missed aims a little lower: predictions are off by some percent."""

_LEAST_AIM = 0.01

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
    trials: list[WidthTrial] = []
    taken: list[str] = []
    best: tuple[WidthPlan, float] | None = None
    without: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    for _ in range(MOST_ROUNDS):
        left = [group for group in groups if group.id not in taken]
        if not left:
            break
        own = {group.id: steps[group.id] for group in left}
        choices = Choices(left, worth, floors=floor, steps=own)
        found = _correct(choices, cost, measure, target, trials)
        if best is not None and best[1] <= target < found[1]:
            break  # the others can not make up for it
        best, without, held = found, tuple(taken), ()
        if found[1] > target:
            break
        back, measured = _taken_back(found, choices, cost, measure)
        now = tuple(name for name, width in back.widths.items() if width > found[0].widths[name])
        if not now:
            break
        if measured <= target:
            best, without = (back, measured), (*taken, *now)
            break
        held = now
        taken += now
    assert best is not None
    plan, measured = best
    return TargetedWidths(
        widths={group.id: plan.widths.get(group.id, group.size) for group in groups},
        predicted=plan.predicted_ratio,
        measured=measured,
        met=measured <= target,
        trials=tuple(trials),
        taken_back=without,
        held=held,
    )


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
        aimed = _next_aim(plan.predicted_ratio, measured, target * (_MARGIN if measured > target else 1.0))
    within = [each for each in found if each[1] <= target]
    if within:
        return min(within, key=lambda each: each[0].lost_importance)
    return min(found, key=lambda each: each[1])


def _next_aim(predicted: float, measured: float, target: float) -> float:
    """Return the prediction at which the target is expected: on the line from the whole network to the last one.

    Both are 1 for the whole network, so the line allows for costs that no width changes.
    """
    slope = (1 - measured) / max(1 - predicted, 1e-9)
    if slope <= 0:
        return predicted * target
    return min(1.0, max(_LEAST_AIM, 1 - (1 - target) / slope))


def _taken_back(
    found: tuple[WidthPlan, float], choices: Choices, cost: Cost, measure: Measure
) -> tuple[WidthPlan, float]:
    """Return the plan without the cuts that do not pay, and its measured cost."""
    plan, measured = found
    trials = trials_without(plan, choices)
    if not trials:
        return found
    beside = dict(measure({**trials, _PLAN: plan.widths}))
    back = take_back(plan, beside, choices, cost, measured_ratio=beside.pop(_PLAN))
    return (back, measured) if back.widths == plan.widths else (back, measure({_PLAN: back.widths})[_PLAN])

"""The decision how wide each group stays, by what its channels are worth and what they cost. Data in, data out.

Greedy as NetAdapt (Yang et al. 2018, arXiv:1804.03230, section 3.2): step by step the cut that loses least for what it
saves. Departures: a step may go down several widths at once, for a kernel that computes 16 channels at a time pays for
a cut only at the next stair; loss is importance and not accuracy after a short training; and widths of which the cost
says that they are free go back up.

Why not searched: an evolution over 2000 widths by the same importance and the same tables of costs found what greed had
found, or some percent less lost importance (ResNet8 and ResNet20, targets of 0.5 to 0.9); Optuna found the same more
slowly. Widths that were searched by the outputs of networks that are cut and not trained, the next cheapest score, had
better outputs than those of greed, and healed far worse. So importance is the better guide, and greed follows it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.prune.groups import ChannelGroup
from edgeai_converters.prune.plan import FLOOR
from edgeai_converters.prune.widths_axes import STEPS, Cost, Widths, candidate_widths, width_at
from edgeai_runtime.errors import UsageError

Origin = Literal["greedy", "uniform", "taken_back"]

FREE = 0.003
"""A difference in cost of less, as a share of the whole network's, is none: timings are not finer than that."""

LEAST_GAIN = 0.01
"""A group whose cut saves a smaller share of the latency, when measured, did not pay."""

_UNIFORM_STEPS = 64


@dataclass(frozen=True, kw_only=True)
class WidthPlan:
    """How wide each group stays.

    Attributes:
        widths: group → channels that stay, of all groups that can be cut.
        predicted_ratio: cost as a share of the whole network's, as predicted.
        lost_importance: importance of the channels that go, as a share of all.
        origin: what proposed it.
    """

    widths: Mapping[str, int]
    predicted_ratio: float
    lost_importance: float
    origin: Origin

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return {**vars(self), "widths": dict(self.widths)}


class Choices:
    """The widths that may be chosen, and what is lost by each.

    Args:
        groups: groups of a graph; those that cannot be cut, or have no importance, are left alone.
        importance: group → worth of each channel, `[size]`.
        floors: share of its channels that a group keeps at least; one for all, or per group (`FLOOR` for the rest).
        steps: into how many parts a group is cut; or the widths that may be chosen, by group.
        weigh_by: `layers` counts a channel once for each layer that makes it, which suits importance that is relative
            to its group; `channels` takes it as it is, which suits importance in units of the loss.
    """

    def __init__(
        self,
        groups: Iterable[ChannelGroup],
        importance: Mapping[str, NDArray[Any]],
        *,
        floors: float | Mapping[str, float] = FLOOR,
        steps: int | Mapping[str, Sequence[int]] = STEPS,
        weigh_by: Literal["layers", "channels"] = "layers",
    ) -> None:
        known = {group.id: group for group in groups if group.prunable and group.id in importance}
        named = {*(floors if isinstance(floors, Mapping) else ()), *(steps if isinstance(steps, Mapping) else ())}
        unknown = sorted(named - set(known))
        if unknown:
            raise UsageError(f"There is no group {unknown[0]!r} that can be cut.", hint=f"Groups: {', '.join(known)}.")
        self.sizes = {name: group.size for name, group in known.items()}
        self._lost = {}
        for name, group in known.items():
            makers = len(group.of_kind("produced", "state")) if weigh_by == "layers" else 1
            worths = np.sort(np.asarray(importance[name], np.float64)) * max(1, makers)
            self._lost[name] = np.concatenate([[0.0], np.cumsum(worths)])
        self._total = sum(float(lost[-1]) for lost in self._lost.values()) or 1.0
        self.widths: dict[str, tuple[int, ...]] = {}
        for name, size in self.sizes.items():
            share = floors.get(name, FLOOR) if isinstance(floors, Mapping) else floors
            least = max(1, math.ceil(size * share))
            given = steps.get(name) if isinstance(steps, Mapping) else None
            at = (
                given if given is not None else candidate_widths(size, steps=steps if isinstance(steps, int) else STEPS)
            )
            self.widths[name] = tuple(sorted({width for width in at if least <= width < size} | {size}))

    def lost(self, name: str, width: int) -> float:
        """Return what is lost when a group keeps its best `width` channels, as a share of all importance."""
        return float(self._lost[name][self.sizes[name] - width]) / self._total

    def plan(self, widths: Widths, cost: Cost, origin: Origin) -> WidthPlan:
        """Return widths as a plan; groups not named are whole."""
        full = {name: widths.get(name, size) for name, size in self.sizes.items()}
        return WidthPlan(
            widths=full,
            predicted_ratio=cost.predict_ratio(full),
            lost_importance=sum(self.lost(name, width) for name, width in full.items()),
            origin=origin,
        )


def propose_widths(choices: Choices, cost: Cost, *, targets: Sequence[float]) -> tuple[WidthPlan, ...]:
    """Return one plan per target, greedily; where the floors forbid the target, the least that can be had.

    The path is one: a smaller target cuts further. Then free widths go back up, and what is left of the target is
    spent on the channels that are worth most for what they cost.

    Args:
        choices: the widths to choose from.
        cost: what widths cost.
        targets: costs wanted, as shares of the whole network's, in (0, 1].

    Raises:
        UsageError: a target out of its range, or nothing to choose from.
    """
    _check(choices, targets)
    found: dict[float, WidthPlan] = {}
    left = sorted(set(targets), reverse=True)
    last = dict(choices.sizes)
    for widths in _path(choices, cost):
        last = widths
        while left and cost.predict_ratio(widths) <= left[0]:
            target = left.pop(0)
            found[target] = choices.plan(_spend(widths, choices, cost, target), cost, "greedy")
        if not left:
            break
    for target in left:
        found[target] = choices.plan(_spend(last, choices, cost, cost.predict_ratio(last)), cost, "greedy")
    return tuple(found[target] for target in targets)


def uniform_widths(choices: Choices, cost: Cost, *, targets: Sequence[float]) -> tuple[WidthPlan, ...]:
    """Return one plan per target: the same share of every group, the greatest that costs no more; a rival to beat.

    Raises:
        UsageError: as `propose_widths`.
    """
    _check(choices, targets)
    every = []
    for step in range(_UNIFORM_STEPS, 0, -1):
        share = step / _UNIFORM_STEPS
        widths = {name: _nearest(choices.widths[name], width_at(size, share)) for name, size in choices.sizes.items()}
        every.append(choices.plan(widths, cost, "uniform"))
    least = min(every, key=lambda plan: plan.predicted_ratio)
    return tuple(next((plan for plan in every if plan.predicted_ratio <= target), least) for target in targets)


def trials_without(plan: WidthPlan, choices: Choices) -> dict[str, dict[str, int]]:
    """Return group → the plan's widths with that group whole again, for every group that is cut: what to measure.

    Raises:
        UsageError: the plan is of other groups.
    """
    if set(plan.widths) != set(choices.sizes):
        raise UsageError("The plan is of other groups than the choices.")
    cut = [name for name, width in plan.widths.items() if width < choices.sizes[name]]
    return {name: {**plan.widths, name: choices.sizes[name]} for name in cut}


def take_back(
    plan: WidthPlan,
    measured: Mapping[str, float],
    choices: Choices,
    cost: Cost,
    *,
    measured_ratio: float,
    least_gain: float = LEAST_GAIN,
) -> WidthPlan:
    """Return the plan without the cuts that do not pay: their groups are whole again.

    Args:
        plan: a plan.
        measured: group → measured cost of `trials_without(plan)`, as a share of the whole network's.
        choices: what the plan was chosen from.
        cost: what widths cost, as predicted.
        measured_ratio: measured cost of the plan itself, beside those.
        least_gain: share of the whole network's cost that a cut has to save.
    """
    whole = [name for name, ratio in measured.items() if ratio - measured_ratio < least_gain]
    if not whole:
        return plan
    widths = {name: choices.sizes[name] if name in whole else width for name, width in plan.widths.items()}
    return choices.plan(widths, cost, "taken_back")


def _path(choices: Choices, cost: Cost) -> Iterator[dict[str, int]]:
    """Yield ever narrower widths, from the whole to where no cut saves anything."""
    widths = dict(choices.sizes)
    yield dict(widths)
    while True:
        now = cost.predict_ratio(widths)
        best: tuple[float, str, int] | None = None
        for name, width in widths.items():
            for narrower in (each for each in choices.widths[name] if each < width):
                saved = now - cost.predict_ratio({**widths, name: narrower})
                if saved > FREE:
                    rate = (choices.lost(name, narrower) - choices.lost(name, width)) / saved
                    best = min(best, (rate, name, narrower)) if best is not None else (rate, name, narrower)
        if best is None:
            return
        widths[best[1]] = best[2]
        yield dict(widths)


def _spend(widths: Widths, choices: Choices, cost: Cost, target: float) -> dict[str, int]:
    """Return widths as much wider as the target allows: what gains most for what it costs first."""
    found = dict(widths)
    while True:
        now = cost.predict_ratio(found)
        best: tuple[float, str, int] | None = None
        for name, width in found.items():
            for wider in (each for each in choices.widths[name] if each > width):
                then = cost.predict_ratio({**found, name: wider})
                if then <= max(target, now):
                    gained = choices.lost(name, width) - choices.lost(name, wider)
                    rate = gained / max(then - now, FREE / 100)
                    best = max(best, (rate, name, wider)) if best is not None else (rate, name, wider)
        if best is None:
            return found
        found[best[1]] = best[2]


def _check(choices: Choices, targets: Collection[float]) -> None:
    if not choices.sizes:
        raise UsageError("There is no group that can be cut.")
    wrong = [target for target in targets if not 0 < target <= 1]
    if wrong:
        raise UsageError(f"A target is a share of the whole network's cost, in (0, 1]. Received: {wrong[0]}.")


def _nearest(widths: Sequence[int], width: int) -> int:
    return min(widths, key=lambda each: (abs(each - width), -each))

"""The decision: which channels go, from their importance, over all groups at once. Data in, data out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.prune.groups import ChannelGroup
from edgeai_runtime.errors import UsageError

FLOOR = 0.1
"""Share of a group's channels that stays at least, unless said otherwise: one-shot global ranking kills layers."""


@dataclass(frozen=True, kw_only=True)
class PruningPlan:
    """Which channels go.

    Attributes:
        cuts: group → its channels that go, ascending; groups that lose none are absent.
        sizes: group → its channels before, of all groups that could be cut.
    """

    cuts: Mapping[str, tuple[int, ...]]
    sizes: Mapping[str, int]

    @property
    def widths(self) -> dict[str, int]:
        """Group → its channels afterwards."""
        return {name: size - len(self.cuts.get(name, ())) for name, size in self.sizes.items()}

    @property
    def share(self) -> float:
        """Share of all channels that goes."""
        return sum(map(len, self.cuts.values())) / max(1, sum(self.sizes.values()))

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return {"cuts": {name: list(cut) for name, cut in self.cuts.items()}, "sizes": dict(self.sizes)}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> PruningPlan:
        """Return the plan that `to_json` wrote."""
        cuts = {str(name): tuple(int(each) for each in cut) for name, cut in document["cuts"].items()}
        return PruningPlan(cuts=cuts, sizes={str(name): int(size) for name, size in document["sizes"].items()})


def plan_pruning(
    groups: Iterable[ChannelGroup],
    importance: Mapping[str, NDArray[Any]],
    *,
    share: float | None = None,
    keep: Mapping[str, int] | None = None,
    floors: float | Mapping[str, float] = FLOOR,
    multiple_of: int | Mapping[str, int] = 1,
) -> PruningPlan:
    """Decide which channels go: the least important of all groups together, or down to given widths.

    Args:
        groups: the groups of a graph; those that cannot be cut, or have no importance, are left alone.
        importance: group → worth of each channel, `[size]`, comparable between groups (see `importance.py`).
        share: share of all channels that goes, in [0, 1).
        keep: group → number of channels that stay, instead of `share`; groups not named keep all.
        floors: share of its channels that a group keeps at least; one for all, or per group (`FLOOR` for the rest).
        multiple_of: what the width of the layer that makes the channels is rounded to, up to the next multiple (a
            channel of several places, as a head, counts as many); the whole width is always allowed.

    Raises:
        UsageError: both or none of `share` and `keep`, a share outside of its range, an unknown group.
    """
    known = {group.id: group for group in groups if group.prunable and group.id in importance}
    if (share is None) == (keep is None):
        raise UsageError("Say either what share of the channels goes, or how many stay in which group.")
    if share is not None and not 0 <= share < 1:
        raise UsageError(f"The share of channels to cut lies in [0, 1). Received: {share}.")
    named = {*(keep or ()), *(floors if isinstance(floors, Mapping) else ())}
    named |= set(multiple_of) if isinstance(multiple_of, Mapping) else set()
    unknown = sorted(named - set(known))
    if unknown:
        raise UsageError(f"There is no group {unknown[0]!r} that can be cut.", hint=f"Groups: {', '.join(known)}.")
    ranked = {name: np.asarray(importance[name], np.float64) for name in known}
    counts = _keep_by_share(known, ranked, share, floors) if share is not None else dict(keep or {})
    cuts = {}
    for name, group in known.items():
        wanted = min(group.size, max(1, counts.get(name, group.size)))
        step = multiple_of.get(name, 1) if isinstance(multiple_of, Mapping) else multiple_of
        width = _rounded(wanted, group, step)
        order = np.argsort(ranked[name], kind="stable")[: group.size - width]
        if len(order):
            cuts[name] = tuple(sorted(order.tolist()))
    return PruningPlan(cuts=cuts, sizes={name: group.size for name, group in known.items()})


def _keep_by_share(
    known: Mapping[str, ChannelGroup],
    ranked: Mapping[str, NDArray[np.float64]],
    share: float,
    floors: float | Mapping[str, float],
) -> dict[str, int]:
    """Return how many channels stay per group when the least important of all go, down to the floors."""
    total = sum(group.size for group in known.values())
    left = {name: group.size for name, group in known.items()}
    least = {
        name: max(1, math.ceil(group.size * (floors.get(name, FLOOR) if isinstance(floors, Mapping) else floors)))
        for name, group in known.items()
    }
    candidates = sorted((float(worth), name) for name, worths in ranked.items() for worth in worths)
    budget = round(share * total)
    for _, name in candidates:
        if budget <= 0:
            break
        if left[name] > least[name]:
            left[name] -= 1
            budget -= 1
    return left


def _rounded(width: int, group: ChannelGroup, step: int) -> int:
    """Return the width rounded up so that the layer that makes the channels is a multiple of `step` wide."""
    makers = group.of_kind("produced", "state")
    places = max((len(each) for member in makers[:1] for each in member.places), default=1)
    unit = step // math.gcd(places, step)
    return min(group.size, -(-width // unit) * unit)

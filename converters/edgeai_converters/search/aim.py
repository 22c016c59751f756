"""How much narrower a network has to be: decided from what the search found so far. Pure decisions on data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edgeai_converters.search.candidate import Candidate
from edgeai_converters.spec import Budget

MARGIN = 0.97
"""A narrower network aims at this share of a limit: its latency is an estimate, and measured again later."""

FIRST_RATIO = 0.5
"""Share of the latency that is aimed at first when no limit says more, and how much further each next one goes."""

NEAR = 0.85
"""Ratios that are nearer than this to each other are not worth another training between them."""

LEAST_RATIO = 0.05

Kind = Literal["latency", "size"]

_COSTS = ("max_latency", "max_size")


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What a narrower network is to cost.

    Attributes:
        kind: which cost: latency, or size of the artifact.
        ratio: the cost aimed at, as a share of the reference's.
        reference: the candidate of the whole network that it is to be made like.
    """

    kind: Kind
    ratio: float
    reference: Candidate

    @property
    def name(self) -> str:
        """What the width is called in recipes: `latency50` for half of the latency."""
        return f"{self.kind}{round(100 * self.ratio)}"


def find_aim(candidates: Sequence[Candidate], budget: Budget, *, always: bool) -> Aim | None:
    """Return what a narrower network is to cost, or `None` when none is needed.

    Needed is one when limits on latency or size keep all candidates out. It is to be like the candidate that
    misses them by least and is no slower than float; what it costs is known even when it was rejected.

    Args:
        candidates: what was made of the whole network.
        budget: the user's limits.
        always: aim at `FIRST_RATIO` of the best accepted candidate's latency when no limit asks for more.
    """
    accepted = [one for one in candidates if one.status == "accepted" and one.recipe.precision != "float32"]
    if any(one.status == "accepted" for one in candidates) and not always:
        return None
    if accepted:
        best = min(accepted, key=lambda one: one.relative_latency or float("inf"))
        return Aim(kind="latency", ratio=FIRST_RATIO, reference=best)
    missed = [aim for one in candidates if one.limit in _COSTS and (aim := _aim_like(one, budget)) is not None]
    return max(missed, key=lambda aim: (is_fast(aim.reference), aim.ratio), default=None)


def is_fast(candidate: Candidate) -> bool:
    """Say whether a candidate is no slower than float: one that is will hardly be accepted when it is narrower."""
    measured = candidate.measurement
    return measured is None or measured.speedup_vs_float >= 1.0


def tightened(aim: Aim, cost: float) -> Aim:
    """Return the aim for the next try when one came out at `cost`, as a share of the reference's."""
    return replace(aim, ratio=max(LEAST_RATIO, aim.ratio * aim.ratio / cost * MARGIN))


def between(aim: Aim, *, reached: float, missed: float | None) -> Aim | None:
    """Return the next aim of a search for the narrowest network that is accepted; `None` when it is found.

    Args:
        aim: any of the search.
        reached: the least ratio so far at which a network was accepted; 1 when there was none.
        missed: the greatest at which none was; `None` when there was none.

    Example:
        >>> aim = Aim(kind="latency", ratio=0.5, reference=None)  # doctest: +SKIP
        >>> between(aim, reached=1.0, missed=0.5).ratio  # doctest: +SKIP
        0.7071067811865476
    """
    if missed is None:
        return replace(aim, ratio=reached * FIRST_RATIO)
    return replace(aim, ratio=(reached * missed) ** 0.5) if missed / reached < NEAR else None


def is_like(candidate: Candidate, aim: Aim) -> bool:
    """Say whether a candidate is of the format and precision that is aimed at."""
    wanted, found = aim.reference.recipe, candidate.recipe
    return (found.format, found.precision) == (wanted.format, wanted.precision)


def cost_of(candidate: Candidate, aim: Aim) -> float:
    """Return what a candidate costs, as a share of the aim's reference."""
    if aim.kind == "size":
        return (candidate.size_bytes or 0) / (aim.reference.size_bytes or 1)
    return (candidate.relative_latency or float("inf")) / (aim.reference.relative_latency or 1.0)


def _aim_like(candidate: Candidate, budget: Budget) -> Aim | None:
    """Return how much less a candidate of the whole network would have to cost; `None` where nobody measured it."""
    measured, size = candidate.measurement, candidate.size_bytes
    if measured is None or not size:
        return None
    ratios: list[tuple[float, Kind]] = []
    if budget.max_size_bytes is not None:
        ratios.append((budget.max_size_bytes / size, "size"))
    if budget.max_latency_ms is not None:
        ratios.append((budget.max_latency_ms / measured.latency_median_ms, "latency"))
    if budget.max_latency_ratio is not None:
        ratios.append((budget.max_latency_ratio * measured.speedup_vs_float, "latency"))
    ratio, kind = min(ratios, default=(1.0, "latency"))
    return Aim(kind=kind, ratio=max(LEAST_RATIO, ratio * MARGIN), reference=candidate) if ratio < 1 else None

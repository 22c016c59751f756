"""Choose among judged candidates: the best overall and of each format, the Pareto front, the nearest, what binds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgeai_converters.search.candidate import Candidate, Limit

AS_FAST = 1.05
"""A smaller candidate wins over the fastest one when its latency is within this factor of it."""

AS_SMALL = 1.05
"""Of those, candidates within this factor of the smallest one count as equal in size: the search split then decides."""


def best_candidate(candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the fastest accepted candidate, or a smaller one as fast (within `AS_FAST`); `None` without any.

    Where a device's compiler reported the flash that a candidate takes, that counts as its size.
    Among those as fast and as small, the one that lost least on the search split is taken: the certification split
    is for stating what was lost, not for choosing.
    """
    accepted = [candidate for candidate in candidates if candidate.status == "accepted"]
    if not accepted:
        return None
    fastest = min(_latency(candidate) for candidate in accepted)
    as_fast = [candidate for candidate in accepted if _latency(candidate) <= fastest * AS_FAST]
    smallest = min(_size(candidate) for candidate in as_fast)
    as_small = [candidate for candidate in as_fast if _size(candidate) <= smallest * AS_SMALL]
    return min(as_small, key=lambda candidate: (max(0.0, candidate.search_drop or 0.0), _latency(candidate)))


def best_per_format(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the best accepted candidate of each format, the best of all first."""
    formats = sorted({candidate.recipe.format for candidate in candidates})
    best = [best_candidate([one for one in candidates if one.recipe.format == format]) for format in formats]
    found = [candidate for candidate in best if candidate]
    overall = best_candidate(found)
    return sorted(found, key=lambda candidate: (candidate is not overall, _latency(candidate)))


def pareto_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the measured candidates that no other one beats or equals in latency, size and drop all at once.

    Accuracy counts by the point drop; gains count as no drop. Rejected candidates take part: the front shows what
    could be had, the status says what is within the budget.
    """
    measured = [one for one in candidates if one.relative_latency is not None and one.artifact]
    if any(one.certificate for one in measured):
        measured = [one for one in measured if one.certificate]
    points = {one.id: (_latency(one), _size(one), _drop(one)) for one in measured}
    front = [
        one
        for one in measured
        if not any(other != points[one.id] and _dominates(other, points[one.id]) for other in points.values())
    ]
    return sorted(front, key=_latency)


def nearest_candidate(candidates: Sequence[Candidate], excess: dict[str, float]) -> Candidate | None:
    """Return the candidate that misses its limit by least (`excess` by candidate id), when none was accepted."""
    made = [one for one in candidates if one.artifact and one.measurement]
    return min(made, key=lambda one: (excess.get(one.id, float("inf")), _size(one))) if made else None


def binding_limit(candidates: Sequence[Candidate]) -> Limit | None:
    """Return the limit that kept every compressed candidate out, or `None` when one was accepted (or none was tried).

    With several limits at work it is the one that rejected most candidates. What could not be made, or would change
    nothing, says nothing of limits, unless there is nothing else.
    """
    compressed = [one for one in candidates if one.recipe.precision != "float32"]
    considered = compressed or list(candidates)
    if any(one.status == "accepted" for one in considered):
        return None
    of_limits = [one.limit for one in considered if one.limit not in (None, "failed", "no_effect")]
    counts = Counter(of_limits or [one.limit for one in considered if one.limit])
    return counts.most_common(1)[0][0] if counts else None


def _latency(candidate: Candidate) -> float:
    return float("inf") if candidate.relative_latency is None else candidate.relative_latency


def _size(candidate: Candidate) -> float:
    size = candidate.size_bytes if candidate.flash_bytes is None else candidate.flash_bytes
    return float("inf") if size is None else size


def _drop(candidate: Candidate) -> float:
    return max(0.0, candidate.certificate.drop) if candidate.certificate else 0.0


def _dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True))

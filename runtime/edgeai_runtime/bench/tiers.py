"""How long and how many queries a scenario must run: for a look, for a decision, and as MLPerf demands."""

from __future__ import annotations

from dataclasses import dataclass

from edgeai_runtime.errors import UsageError

SCENARIOS = ("single_stream", "multi_stream", "server", "offline")

#: Least seconds, most seconds, and least queries per scenario (of offline, whose query is one, samples). `submission`
#: is MLPerf Inference's edge category: 600 s, as many queries as early stopping needs (64 for p90, 662 for p99), 24,576
#: samples offline; it has no end, so that of here is for what cannot be measured. The others are after MLPerf
#: Mobile's (128 queries in 10 s, 1,024 in 60 s), but not below what the bound of a 99th percentile needs.
TIERS = {
    "quick": (10.0, 60.0, (128, 662, 662, 1024)),
    "normal": (60.0, 600.0, (1024, 1024, 1024, 8192)),
    "submission": (600.0, 7200.0, (64, 662, 662, 24576)),
}


@dataclass(frozen=True)
class Limits:
    """What a run must be.

    Attributes:
        least_s: seconds that it lasts at least; `valid_s`: that it must last to be valid.
        most_s: seconds after which it is ended, valid or not.
        queries: least queries; of offline, samples.
    """

    least_s: float
    most_s: float
    queries: int
    valid_s: float


def get_limits(scenario: str, tier: str, duration_s: float | None = None) -> Limits:
    """Return a scenario's limits; with `duration_s` a run lasts that long, and six times as long at most.

    Raises:
        UsageError: there is no such scenario or tier, or the duration is not above 0.
    """
    if scenario not in SCENARIOS:
        raise UsageError(f"There is no scenario {scenario!r}.", hint=f"Scenarios: {', '.join(SCENARIOS)}.")
    if tier not in TIERS:
        raise UsageError(f"There is no tier {tier!r}.", hint=f"Tiers: {', '.join(TIERS)}.")
    least_s, most_s, queries = TIERS[tier]
    needed = queries[SCENARIOS.index(scenario)]
    if duration_s is None:
        return Limits(least_s, most_s, needed, least_s)
    if not duration_s > 0:
        raise UsageError(f"a duration is above 0. Received: {duration_s} s")
    return Limits(duration_s, 6 * duration_s, needed, least_s)

"""What `edgeai.bench` gives back; times are milliseconds, memory MiB, shares fractions of operations."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of one call; `median_ci95` is the 95 % interval of the median."""

    median: float
    p90: float
    p99: float
    median_ci95: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One artifact, measured.

    Attributes:
        artifact: the path; for a variant of a bundle `path#id`.
        placement: share of operations per device.
        load_ms: opening the artifact, its engine being imported already.
        first_ms: the first call.
        rss_mib: growth of this process's resident memory by loading and the first call; `None` where
            the system does not tell.
        outputs_match: for a variant, whether the golden outputs came back within its tolerance; for a bare artifact,
            whether the outputs agree with the first artifact's (cosine 0.99) or with the reference given; `None` when
            there is nothing to compare with.
        outputs_cosine: for a bare artifact, the smallest cosine over the outputs compared.
        calls: number of calls measured.
    """

    artifact: str
    format: str
    engine: str
    delegate: str
    placement: dict[str, float]
    threads: int
    scenario: str
    latency_ms: Latency
    throughput_per_s: float
    load_ms: float
    first_ms: float
    rss_mib: float | None
    outputs_match: bool | None
    outputs_cosine: float | None
    calls: int


@dataclass(frozen=True, kw_only=True)
class PairComparison:
    """`ratio` is the time of `a` divided by that of `b`; `faster` means that `a` is, beyond chance."""

    a: str
    b: str
    ratio: float
    ci95: tuple[float, float]
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A variant that could not be measured here, and why."""

    artifact: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """What was measured, on which machine; comparisons are against the first run."""

    machine: dict[str, str]
    runs: tuple[Run, ...]
    comparisons: tuple[PairComparison, ...]
    skipped: tuple[Skipped, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the document that `edgeai bench --json` prints."""
        return asdict(self)

"""A candidate: a recipe that was tried, what was made, what was measured, what was decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.recipe import Recipe, name_of
from edgeai_runtime.manifest import Certificate, Measurement

Limit = Literal[
    "max_drop",
    "max_size",
    "max_latency",
    "max_memory",
    "slower_than_float",
    "strict",
    "lost_more",
    "no_effect",
    "no_gain",
    "device",
    "failed",
]
"""What a candidate was rejected for: budgets and promises; `device` when it does not fit the device; int8 that
lost more on the search split than another; a recipe that changes nothing in this graph; weights prepared for a device
that is not known to gain by it; `failed` is an error on the way."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One recipe tried, with what was measured on it.

    Attributes:
        artifact: what was written; `None` when that failed.
        measurement: latency and memory in its engine; `None` when that failed.
        certificate: the accuracy claim; from the search split when it was rejected before it was certified.
        status: `accepted` or `rejected`.
        reason: why, in words.
        limit: what it was rejected for.
        search_drop: point drop on the search split; what candidates are compared by.
        relative_latency: latency as a multiple of the first format's float artifact, from interleaved runs; what
            candidates are compared by, since plain times of different runs on a busy machine cannot be.
        flash_bytes: flash that it takes on the device asked for, as that one's compiler tells; `None` where none did.
    """

    recipe: Recipe
    status: Literal["accepted", "rejected"]
    reason: str
    artifact: Artifact | None = None
    measurement: Measurement | None = None
    certificate: Certificate | None = None
    limit: Limit | None = None
    search_drop: float | None = None
    relative_latency: float | None = None
    flash_bytes: int | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def id(self) -> str:
        """The recipe's id."""
        return self.recipe.id

    @property
    def size_bytes(self) -> int | None:
        """Size of the artifact's files together."""
        return self.artifact.size_bytes if self.artifact else None

    def to_json(self) -> dict[str, Any]:
        """Return the documented JSON object of a candidate; figures that do not exist are `null`."""
        measured, claim = self.measurement, self.certificate
        return {
            "id": self.id,
            "format": self.recipe.format,
            "precision": self.recipe.precision,
            "network": name_of(self.recipe.base) if self.recipe.base else None,
            "recipe": self.recipe.to_json()["recipe"],
            "size_bytes": self.size_bytes,
            "flash_bytes": self.flash_bytes,
            "latency_ms": {
                "median": measured.latency_median_ms if measured else None,
                "p90": measured.latency_p90_ms if measured else None,
                "median_ci95": list(measured.latency_median_ci95_ms) if measured else None,
            },
            "relative_latency": self.relative_latency,
            "speedup_vs_float": measured.speedup_vs_float if measured else None,
            "speedup_ci95": list(measured.speedup_ci95) if measured else None,
            "engine": measured.engine if measured else None,
            "engine_version": measured.engine_version if measured else None,
            "delegate": measured.delegate if measured else None,
            "threads": measured.threads if measured else None,
            "peak_memory_mib": measured.peak_memory_mib if measured else None,
            "metric": claim.metric if claim else None,
            "source_score": claim.source_score if claim else None,
            "score": claim.score if claim else None,
            "drop": claim.drop if claim else None,
            "drop_ci95": list(claim.drop_ci95) if claim else None,
            "search_drop": self.search_drop,
            "flip_rate": claim.flip_rate if claim else None,
            "n": claim.n if claim else 0,
            "verdict": claim.verdict if claim else "unproven",
            "samples_needed": claim.samples_needed if claim else None,
            "method": claim.method if claim else None,
            "split": claim.split if claim else None,
            "status": self.status,
            "reason": self.reason,
            "limit": self.limit,
            "operators": dict(self.artifact.operators) if self.artifact else {},
            "notes": list(self.notes),
        }

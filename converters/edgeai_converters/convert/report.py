"""What a conversion gives back, and what would be tried: data for the command line and reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from edgeai_converters.convert.gates import TOLERANCES, Tolerance, tolerance_of
from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.graph.bisect import Culprit
from edgeai_converters.graph.parity import Parity
from edgeai_converters.routes import Route
from edgeai_runtime.manifest import Format, Precision


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A route that was tried and left, or not tried because a package is missing."""

    route: tuple[str, ...]
    reason: str
    culprit: Culprit | None = None

    def to_json(self) -> dict[str, Any]:
        """Return `{route, reason, culprit}`."""
        return {
            "route": list(self.route),
            "reason": self.reason,
            "culprit": self.culprit.to_json() if self.culprit else None,
        }


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What `convert` did.

    Attributes:
        artifact: the files written.
        route: the steps that led there.
        parity: the artifact in its own engine against the source in its own.
        tolerance: what was allowed, and why.
        passes: the passes that simplified the graph.
        tried: routes that were left before, with the reason.
        notes: what a user should know.
        reused: the source had been read before, by another conversion; its kept graph was taken.
        integers: what became of the integers of a source that was quantized already; `None` when it was not.
        steps: of integers that were carried over, the largest difference in steps of an output.
    """

    artifact: Artifact
    route: tuple[str, ...]
    parity: Parity
    tolerance: Tolerance = TOLERANCES["float32"]
    passes: tuple[str, ...] = ()
    tried: tuple[Attempt, ...] = ()
    notes: tuple[str, ...] = ()
    reused: bool = False
    integers: Literal["carried over", "dequantized"] | None = None
    steps: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the document of `edgeai convert --json`."""
        return {
            "artifact": str(self.artifact.path),
            "format": self.artifact.format,
            "route": list(self.route),
            "parity": asdict(self.parity),
            "tolerance": asdict(self.tolerance),
            "files": [str(file) for file in self.artifact.files],
            "size_bytes": self.artifact.size_bytes,
            "inputs": [{**asdict(spec), "shape": list(spec.shape)} for spec in self.artifact.inputs],
            "outputs": [{**asdict(spec), "shape": list(spec.shape)} for spec in self.artifact.outputs],
            "operators": dict(self.artifact.operators),
            "passes": list(self.passes),
            "tried": [attempt.to_json() for attempt in self.tried],
            "notes": list(self.notes),
            "reused": self.reused,
            "integers": self.integers,
            "steps": self.steps,
        }


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The routes that a conversion would try, in their order; nothing was run."""

    source: str
    kind: str
    format: Format
    precision: Precision
    routes: tuple[Route, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document of `edgeai convert --explain --json`."""
        return {
            "source": self.source,
            "kind": self.kind,
            "format": self.format,
            "precision": self.precision,
            "tolerance": asdict(tolerance_of(self.precision, self.format)),
            "routes": [route.to_json() for route in self.routes],
        }

"""What every way of pruning gets and gives back: a job, and the smaller graph with what to tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.progress import OnStep
from edgeai_converters.prune.pruning_spec import PruneSpec
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder

Batch = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class PruneJob:
    """What a way of pruning works on.

    Attributes:
        graph: the float graph of the source; not changed.
        evidence: samples; calibration alone decides.
        spec: what is wanted.
        work: where finished steps are kept.
        batches: about `spec.samples` prepared calibration samples, by input name.
        on_step: progress.
    """

    graph: FloatGraph
    evidence: Evidence
    spec: PruneSpec
    work: WorkFolder
    batches: tuple[Batch, ...]
    on_step: OnStep | None = None

    @property
    def model(self) -> ir.Model:
        """The whole graph."""
        return self.graph.model

    def tell(self, label: str, done: int = 0, total: int = 1) -> None:
        """Tell how far it is."""
        if self.on_step is not None:
            self.on_step(done, total, label)

    def key(self) -> dict[str, Any]:
        """Return what decisions from samples depend on."""
        return {
            "graph": self.graph.digest,
            "data": self.evidence.digest,
            "samples": self.spec.samples,
            "metric": self.evidence.metric.name,
            "seed": self.spec.seed,
            "tools": tool_versions(),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Smaller:
    """What a way of pruning made.

    Attributes:
        model: the smaller graph, with the boundary of the whole one.
        told: what the document says of it, as plain data.
        notes: what a user should know.
    """

    model: ir.Model
    told: Mapping[str, Any]
    notes: tuple[str, ...] = ()

"""The float graphs of a search: that of the source, and those that reshaping steps make of it, each with calibration.

Each is made once and kept in the work folder; trainings on the way go on from their checkpoints.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import onnx_ir as ir

from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.search.calibration import Calibration
from edgeai_converters.search.reshape import Reshaping, reshape
from edgeai_converters.spec import RangeMethod
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of, digest_of_path
from edgeai_runtime.bench.machine import usable_cores
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Step

_GRAPH_FILE, _NOTE_FILE = "graph.onnx", "note.txt"

_LARGE = 1_000_000
"""Trained values of a graph that has work for several threads, whatever its operations."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """A float graph that recipes begin with.

    Attributes:
        steps: what made it of the source's; empty for the source's own.
        graph: the graph; its boundary is the source's.
        file: it as an ONNX file in the work folder; `None` for the source's own.
        calibration: what samples tell of it; `None` without data.
        notes: what to tell of the steps.
    """

    steps: tuple[Step, ...]
    graph: FloatGraph
    file: Path | None = None
    calibration: Calibration | None
    notes: tuple[str, ...] = ()


def threads_for(model: ir.Model) -> int:
    """Return how many threads train a graph: all processors where an operation has work for them, else one.

    Small dense and recurrent layers are slower with two threads than with one, and on a busy machine many times so:
    each waits for the other in every operation. Decided by the graph, so that a training can be repeated.
    """
    sizes = (tensor.size for value in model.graph.initializers.values() if (tensor := value.const_value) is not None)
    has_work = any(node.op_type == "Conv" for node in model.graph) or sum(sizes) >= _LARGE
    return usable_cores() if has_work else 1


class Bases:
    """All float graphs of one search, by the steps that make them."""

    def __init__(
        self,
        graph: FloatGraph,
        evidence: Evidence | None,
        methods: tuple[RangeMethod, ...],
        work: WorkFolder,
        tell: Callable[[str], None],
    ) -> None:
        self._evidence, self._methods, self._work, self._tell = evidence, methods, work, tell
        self._made = {digest_of([]): Base(steps=(), graph=graph, calibration=self._calibrated(graph))}
        self.source = self._made[digest_of([])]

    def __iter__(self) -> Iterator[Base]:
        """Yield the graphs in the order they were made."""
        return iter(self._made.values())

    def get(self, steps: Sequence[Step]) -> Base:
        """Return the graph that the steps make of the source's.

        Raises:
            UsageError: there is no data to decide or train on, or a step makes no sense.
            EdgeAIError: a step failed.
        """
        key = digest_of([asdict(step) for step in steps])
        if key not in self._made:
            self._made[key] = self._make(self.get(steps[:-1]), steps[-1])
        return self._made[key]

    def _make(self, before: Base, step: Step) -> Base:
        evidence, source = self._evidence, self.source.graph
        if evidence is None:
            raise UsageError("Pruning and distillation need samples.", hint="Give some with --data and --train-data.")
        key = {
            "graph": before.graph.digest,
            "source": source.digest,
            "step": asdict(step),
            "data": evidence.digest,
            "training": evidence.training.dataset.digest if evidence.training else None,
            "metric": evidence.metric.name,
            "tools": tool_versions(),
        }
        checkpoints = self._work.root / f"training-{digest_of(key)[:20]}"

        def make(folder: Path) -> None:
            job = Reshaping(
                graph=source, evidence=evidence, folder=checkpoints, threads=threads_for(source.model), tell=self._tell
            )
            model, note = reshape(before.graph.model, step, job)
            ir.save(model, folder / _GRAPH_FILE)
            (folder / _NOTE_FILE).write_text(note)

        folder = self._work.step("reshaped", key, make)
        shutil.rmtree(checkpoints, ignore_errors=True)
        model = ir.from_proto(ir.to_proto(ir.load(folder / _GRAPH_FILE)))
        graph = replace(
            source,
            model=model,
            digest=digest_of_path(folder / _GRAPH_FILE),
            route=(*before.graph.route, step.op),
            probe_outputs=GraphRunner(model).run(source.probe_inputs),
            carried=None,
        )
        return Base(
            steps=(*before.steps, step),
            graph=graph,
            file=folder / _GRAPH_FILE,
            calibration=self._calibrated(graph),
            notes=(*before.notes, (folder / _NOTE_FILE).read_text()),
        )

    def _calibrated(self, graph: FloatGraph) -> Calibration | None:
        if self._evidence is None:
            return None
        return Calibration(graph, self._evidence, self._methods, self._work, self._tell)

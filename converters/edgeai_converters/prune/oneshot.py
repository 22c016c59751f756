"""One-shot pruning as a job: importance → plan → cut → fitting anew → ONNX artifact, measured and certified.

Finished steps are kept in the work folder: another share reuses the importance. Nothing is decided on the samples that
the certificate is made from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.onnx import emit_onnx
from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.evaluate.job import Job
from edgeai_converters.evaluate.measure import read_measurement, read_outputs, run_job
from edgeai_converters.evaluate.metrics_outputs import classes_of_output
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.inspection.onnx import inspect_onnx
from edgeai_converters.progress import OnStep
from edgeai_converters.prune.groups import ChannelGroup, find_groups, prunable
from edgeai_converters.prune.importance import Importance, activation_importance, magnitude_importance
from edgeai_converters.prune.importance_reconstruction import reconstruction_importance
from edgeai_converters.prune.importance_taylor import own_loss, taylor_importance
from edgeai_converters.prune.plan import PruningPlan, plan_pruning
from edgeai_converters.prune.pruning_spec import PruneSpec
from edgeai_converters.prune.reconstruct import reconstruct_layers
from edgeai_converters.prune.slice import slice_channels
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of_path
from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.errors import ModelError, UsageError
from edgeai_runtime.manifest import Certificate, Measurement

_GRAPH_FILE, _PLAN_FILE, _WORTH_FILE = "graph.onnx", "plan.json", "importance.json"
_STEM = "model"
_TIMING_S = 1.0
_STEPS = 5

Batch = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a graph needs.

    Attributes:
        parameters: trained values.
        macs: multiply-accumulates for batch 1; `None` when a shape is not known.
        size_bytes: of the ONNX artifact.
    """

    parameters: int
    macs: int | None
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What came of a cut.

    Attributes:
        model: the smaller graph.
        artifact: it as ONNX, in the work folder: the file that was measured.
        plan: the channels that went.
        protected: group → why none of its channels can be cut.
        before, after: what the source's float graph and the smaller one need.
        claim: what was lost against the source on the certification split, run as an ONNX artifact.
        measurement: latency and memory of that artifact in ONNX Runtime; times in turns with the source's.
        fitted: whether layers were fitted anew.
    """

    model: ir.Model
    artifact: Artifact
    plan: PruningPlan
    protected: dict[str, str]
    before: Cost
    after: Cost
    claim: Certificate
    measurement: Measurement
    fitted: bool

    @property
    def latency_ratio(self) -> float:
        """Latency as a share of the source's float artifact's, in the same engine."""
        return 1 / self.measurement.speedup_vs_float

    @property
    def latency_ratio_ci95(self) -> tuple[float, float]:
        """Its 95 % interval."""
        low, high = self.measurement.speedup_ci95
        return 1 / high, 1 / low

    @property
    def verdict(self) -> Literal["faster", "slower", "no_difference"]:
        """How the cut changed the latency: a cut that is not `faster` did not pay in this engine."""
        low, high = self.latency_ratio_ci95
        return "faster" if high < 1 else "slower" if low > 1 else "no_difference"


def prune_oneshot(
    graph: FloatGraph, evidence: Evidence, spec: PruneSpec, work: WorkFolder, on_step: OnStep | None = None
) -> Pruned:
    """Cut the channels of a graph that are worth least, fit their readers anew, and measure what came of it.

    Holds about `spec.samples` calibration samples.

    Args:
        graph: the float graph of the source; not changed.
        evidence: its samples; calibration alone decides, certification alone judges.
        spec: what is wanted.
        work: where finished steps are kept.
        on_step: progress.

    Raises:
        ModelError: no channel of the graph can be cut.
        UsageError: nothing is left to cut by share, floor and widths asked for.
    """
    tell = on_step or (lambda done, total, label: None)
    groups = find_groups(graph.model)
    protected = {group.id: group.reason for group in groups if group.reason}
    if not prunable(groups):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(protected.items())[:3])
        raise ModelError("No channel of this model can be cut.", hint=reasons)
    batches = tuple(evidence.calibration_batches(spec.samples))
    tell(0, _STEPS, f"importance of channels ({spec.importance})")
    worth = rank_channels(graph, groups, evidence, spec, batches, work)
    plan = plan_pruning(groups, worth, share=spec.share, floors=spec.floor, multiple_of=spec.multiple_of)
    if not plan.cuts:
        raise UsageError(
            "No channel would go.",
            hint="Ask for a larger share, a lower floor, or widths that are multiples of less (--multiple-of).",
        )
    tell(1, _STEPS, "cutting")
    model, artifact, fitted = _cut(graph, groups, plan, evidence, spec, batches, work, on_step)
    tell(3, _STEPS, "measuring in ONNX Runtime, in turns with the source")
    source = _source_artifact(graph, work)
    folder = _measure(artifact, source, graph, evidence, spec, work)
    tell(4, _STEPS, "certifying")
    return Pruned(
        model=model,
        artifact=artifact,
        plan=plan,
        protected=protected,
        before=_cost(source),
        after=_cost(artifact),
        claim=evidence.certify(read_outputs(folder), "certification"),
        measurement=read_measurement(folder),
        fitted=fitted,
    )


def rank_channels(
    graph: FloatGraph,
    groups: Sequence[ChannelGroup],
    evidence: Evidence,
    spec: PruneSpec,
    batches: Sequence[Batch],
    work: WorkFolder,
) -> Importance:
    """Return what the channels are worth, comparable between groups, by the importance that `spec` names."""
    if spec.importance in ("l1", "l2"):
        return magnitude_importance(graph.model, groups, norm=1 if spec.importance == "l1" else 2)

    def make(folder: Path) -> None:
        if spec.importance == "activation":
            worth = activation_importance(graph.model, groups, batches)
        elif spec.importance == "reconstruction":
            worth = reconstruction_importance(graph.model, groups, batches, seed=spec.seed)
        else:
            metric = evidence.metric
            scores = metric.needs_class_labels or (
                metric.name == "agreement" and (classes_of_output(graph.outputs[0]) or 0) > 2
            )
            loss = own_loss(graph.model, seed=spec.seed, scores=scores)
            worth = taylor_importance(graph.model, groups, ((batch, loss) for batch in batches))
        (folder / _WORTH_FILE).write_text(json.dumps({name: each.tolist() for name, each in worth.items()}))

    key = {**_key(graph, evidence, spec), "importance": spec.importance, "metric": evidence.metric.name}
    document = json.loads((work.step("importance", key, make) / _WORTH_FILE).read_text())
    return {name: np.asarray(each, np.float64) for name, each in document.items()}


def _cut(
    graph: FloatGraph,
    groups: Sequence[ChannelGroup],
    plan: PruningPlan,
    evidence: Evidence,
    spec: PruneSpec,
    batches: Sequence[Batch],
    work: WorkFolder,
    on_step: OnStep | None,
) -> tuple[ir.Model, Artifact, bool]:
    """Return the smaller graph, its artifact, and whether layers were fitted anew."""

    def make(folder: Path) -> None:
        smaller, fitted = slice_channels(graph.model, plan.cuts, groups=groups)[0], False
        if spec.reconstruct:
            smaller, fitted = reconstruct_layers(
                graph.model, smaller, plan.cuts, groups, batches, seed=spec.seed, on_step=_within(on_step)
            )
        ir.save(smaller, folder / _GRAPH_FILE)
        _emit(smaller, folder)
        (folder / _PLAN_FILE).write_text(json.dumps({**plan.to_json(), "fitted": fitted}))

    key = {**_key(graph, evidence, spec), "plan": plan.to_json(), "reconstruct": spec.reconstruct}
    folder = work.step("pruned", key, make)
    fitted = bool(json.loads((folder / _PLAN_FILE).read_text())["fitted"])
    model = ir.from_proto(ir.to_proto(ir.load(folder / _GRAPH_FILE)))
    return model, _artifact(folder, graph), fitted


def _within(on_step: OnStep | None) -> OnStep | None:
    """Return what tells the layers that are fitted, within the steps of the whole."""
    if on_step is None:
        return None
    return lambda done, total, label: on_step(2, _STEPS, f"fitted layer {done} of {total}: {label}")


def _key(graph: FloatGraph, evidence: Evidence, spec: PruneSpec) -> dict[str, Any]:
    return {
        "graph": graph.digest,
        "data": evidence.digest,
        "samples": spec.samples,
        "seed": spec.seed,
        "tools": tool_versions(),
    }


def _source_artifact(graph: FloatGraph, work: WorkFolder) -> Artifact:
    """Return the source's float graph as an ONNX artifact."""
    key = {"graph": graph.digest, "tools": tool_versions()}
    return _artifact(work.step("float-onnx", key, lambda folder: _emit(graph.model, folder)), graph)


def _emit(model: ir.Model, folder: Path) -> None:
    emit_onnx(model, folder, stem=_STEM)


def _artifact(folder: Path, graph: FloatGraph) -> Artifact:
    """Return the artifact that `_emit` wrote; a cut leaves the boundary as it is."""
    files = tuple(sorted(folder.glob(f"{_STEM}.onnx*")))
    return Artifact(format="onnx", files=files, inputs=graph.inputs, outputs=graph.outputs)


def _measure(
    artifact: Artifact, source: Artifact, graph: FloatGraph, evidence: Evidence, spec: PruneSpec, work: WorkFolder
) -> Path:
    """Run the artifact over the certification split in a child process; return the folder of what was found."""
    data, indices = evidence.samples("certification")
    job = Job(
        artifact=str(artifact.path),
        reference=str(source.path),
        format="onnx",
        inputs=graph.inputs,
        outputs=graph.outputs,
        own_inputs=artifact.inputs,
        own_outputs=artifact.outputs,
        data=data,
        preprocessing=evidence.preprocessing,
        indices=indices,
        threads=spec.threads,
        duration_s=_TIMING_S,
        seed=spec.seed,
    )
    key: dict[str, Any] = {
        "artifact": [digest_of_path(file) for file in artifact.files],
        "reference": [digest_of_path(file) for file in source.files],
        "data": evidence.digest,
        "split": "certification",
        "threads": spec.threads,
        "duration_s": _TIMING_S,
        "machine": describe_machine(),
        "tools": tool_versions(),
    }
    return work.step("measure", key, lambda folder: run_job(job, folder))


def _cost(artifact: Artifact) -> Cost:
    found = inspect_onnx(artifact.path)
    return Cost(parameters=found.parameters, macs=found.macs, size_bytes=artifact.size_bytes)

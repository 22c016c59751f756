"""One-shot pruning as a job: a way makes the network smaller → ONNX artifact, measured and certified.

Finished steps are kept in the work folder: another share reuses the importance. Nothing is decided on the samples that
the certificate is made from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import onnx_ir as ir

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.onnx import emit_onnx
from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.evaluate.job import Job
from edgeai_converters.evaluate.measure import read_measurement, read_outputs, run_job
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.inspection.onnx import inspect_onnx
from edgeai_converters.progress import OnStep
from edgeai_converters.prune.engine_cost import TIMING_S, EngineCost, measure_in_engine
from edgeai_converters.prune.ethos_flash import FlashGain, flash_gain, has_vela
from edgeai_converters.prune.pruning_spec import PruneSpec
from edgeai_converters.prune.way import PruneJob
from edgeai_converters.prune.ways import PACKED, WAYS
from edgeai_converters.prune.weight_values import packed_size
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of_path
from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.errors import EdgeAIError
from edgeai_runtime.manifest import Certificate, Measurement

_GRAPH_FILE, _TOLD_FILE = "graph.onnx", "told.json"
_STEM = "model"
_STEPS = 5
_CLUSTERS_AGAIN = "The flash is that of an int8 model whose integers were clustered again, after quantization."

_NOT_DECIDING = ("source", "data", "metric", "max_drop", "preprocessing", "input_shapes")
"""Fields of a spec that decide nothing about the cut, or do so through the digests of graph and data."""


@dataclass(frozen=True, kw_only=True)
class ModelCost:
    """What a graph needs.

    Attributes:
        parameters: trained values.
        macs: multiply-accumulates for batch 1; `None` when a shape is not known.
        size_bytes: of the ONNX artifact.
        packed_bytes: of the same, deflated as app stores do.
    """

    parameters: int
    macs: int | None
    size_bytes: int
    packed_bytes: int


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What came of it.

    Attributes:
        model: the smaller graph.
        artifact: it as ONNX, in the work folder: the file that the claim is about.
        told: what the method says about the decision, as plain data.
        notes: what a user should know of it.
        before, after: what the source's float graph and the smaller one need.
        claim: what was lost against the source on the certification split, run as an ONNX artifact.
        engine: latency and size in the target engine, beside the whole network in the same format and precision.
        flash: what a compiler that packs weights needs; `None` where it was not asked.
    """

    model: ir.Model
    artifact: Artifact
    told: Mapping[str, Any]
    notes: tuple[str, ...]
    before: ModelCost
    after: ModelCost
    claim: Certificate
    engine: EngineCost
    flash: FlashGain | None

    @property
    def measurement(self) -> Measurement:
        """Latency and memory in the target engine; times in turns with the whole network's."""
        return self.engine.measurement

    @property
    def latency_ratio(self) -> float:
        """Latency as a share of the whole network's, in the target engine and precision."""
        return 1 / self.measurement.speedup_vs_float

    @property
    def latency_ratio_ci95(self) -> tuple[float, float]:
        """Its 95 % interval."""
        low, high = self.measurement.speedup_ci95
        return 1 / high, 1 / low

    @property
    def verdict(self) -> Literal["faster", "slower", "no_difference"]:
        """How the latency changed: what is not `faster` did not pay in this engine."""
        low, high = self.latency_ratio_ci95
        return "faster" if high < 1 else "slower" if low > 1 else "no_difference"

    @property
    def target_verdict(self) -> Literal["met", "unclear", "missed"] | None:
        """Whether the file meets the target that was asked for; `None` without one.

        A latency is `unclear` when it lies above the target, and its interval does not.
        """
        target = self.told.get("target")
        if target is None:
            return None
        if target["kind"] == "size":
            return "met" if self.engine.size_ratio <= target["asked"] else "missed"
        if self.latency_ratio <= target["asked"]:
            return "met"
        return "unclear" if self.latency_ratio_ci95[0] <= target["asked"] else "missed"


def prune_oneshot(
    graph: FloatGraph, evidence: Evidence, spec: PruneSpec, work: WorkFolder, on_step: OnStep | None = None
) -> Pruned:
    """Make a graph smaller by the way that the spec names, and measure what came of it.

    Holds about `spec.samples` calibration samples.

    Args:
        graph: the float graph of the source; not changed.
        evidence: its samples; calibration alone decides, certification alone judges.
        spec: what is wanted.
        work: where finished steps are kept.
        on_step: progress.

    Raises:
        ModelError: the graph has nothing that can go that way.
        UsageError: nothing is left to cut by what was asked for.
        UnsupportedOperationError: the target engine cannot hold the network.
    """
    tell = on_step or (lambda done, total, label: None)
    job = PruneJob(
        graph=graph,
        evidence=evidence,
        spec=spec,
        work=work,
        batches=tuple(evidence.calibration_batches(spec.samples)),
        on_step=_within(on_step),
    )
    tell(0, _STEPS, f"making it smaller ({spec.method})")
    model, artifact, told, notes = _make_smaller(job)
    tell(2, _STEPS, "running it over the samples")
    source = _source_artifact(graph, work)
    folder = _measure(artifact, source, job)
    before, after = _cost(source), _cost(artifact)
    if (spec.engine_format, spec.precision) == ("onnx", "float32"):
        engine = EngineCost(
            measurement=read_measurement(folder), whole_bytes=before.size_bytes, smaller_bytes=after.size_bytes
        )
    else:
        tell(3, _STEPS, f"measuring in {spec.engine_format}, alternating with the whole network")
        engine = measure_in_engine(job, model, artifact)
    tell(4, _STEPS, "certifying")
    flash, more = _flash(job, model)
    return Pruned(
        model=model,
        artifact=artifact,
        told=told,
        notes=(*notes, *more),
        before=before,
        after=after,
        claim=evidence.certify(read_outputs(folder), "certification"),
        engine=engine,
        flash=flash,
    )


def _make_smaller(job: PruneJob) -> tuple[ir.Model, Artifact, Mapping[str, Any], tuple[str, ...]]:
    """Return the smaller graph, its artifact, its description, and notes; made once for the same question."""

    def make(folder: Path) -> None:
        found = WAYS[job.spec.method](job)
        ir.save(found.model, folder / _GRAPH_FILE)
        _emit(found.model, folder)
        (folder / _TOLD_FILE).write_text(json.dumps({"told": dict(found.told), "notes": list(found.notes)}))

    asked = {name: value for name, value in asdict(job.spec).items() if name not in _NOT_DECIDING}
    folder = job.work.step("pruned", {**job.key(), "asked": asked, "machine": describe_machine()}, make)
    document = json.loads((folder / _TOLD_FILE).read_text())
    model = ir.from_proto(ir.to_proto(ir.load(folder / _GRAPH_FILE)))
    return model, _artifact(folder, job.graph), document["told"], tuple(document["notes"])


def _flash(job: PruneJob, model: ir.Model) -> tuple[FlashGain | None, tuple[str, ...]]:
    """Return what packed weights save of a device's flash, where a compiler is there that tells; and why it is not."""
    if job.spec.method not in PACKED or not has_vela():
        return None, ()
    job.tell("compiling for Ethos-U")
    clusters = job.spec.amount[1] if job.spec.method == "clusters" else None
    note = () if clusters is None else (_CLUSTERS_AGAIN,)
    try:
        return flash_gain(job.model, model, clusters=clusters), note
    except EdgeAIError as error:
        return None, (f"Vela could not report the flash of this model: {error.message}",)


def _within(on_step: OnStep | None) -> OnStep | None:
    """Return what tells the steps of a way, within those of the whole."""
    if on_step is None:
        return None
    return lambda done, total, label: on_step(1, _STEPS, f"{label} {done}/{total}" if total > 1 else label)


def _source_artifact(graph: FloatGraph, work: WorkFolder) -> Artifact:
    """Return the source's float graph as an ONNX artifact."""
    key = {"graph": graph.digest, "tools": tool_versions()}
    return _artifact(work.step("float-onnx", key, lambda folder: _emit(graph.model, folder)), graph)


def _emit(model: ir.Model, folder: Path) -> None:
    emit_onnx(model, folder, stem=_STEM)


def _artifact(folder: Path, graph: FloatGraph) -> Artifact:
    """Return the artifact that `_emit` wrote; the boundary stays as it is."""
    files = tuple(sorted(folder.glob(f"{_STEM}.onnx*")))
    return Artifact(format="onnx", files=files, inputs=graph.inputs, outputs=graph.outputs)


def _measure(artifact: Artifact, source: Artifact, job: PruneJob) -> Path:
    """Run the artifact over the certification split in a child process; return the folder of what was found."""
    evidence, spec = job.evidence, job.spec
    data, indices = evidence.samples("certification")
    asked = Job(
        artifact=str(artifact.path),
        reference=str(source.path),
        format="onnx",
        inputs=job.graph.inputs,
        outputs=job.graph.outputs,
        own_inputs=artifact.inputs,
        own_outputs=artifact.outputs,
        data=data,
        preprocessing=evidence.preprocessing,
        indices=indices,
        threads=spec.threads,
        duration_s=TIMING_S,
        seed=spec.seed,
    )
    key: dict[str, Any] = {
        "artifact": [digest_of_path(file) for file in artifact.files],
        "reference": [digest_of_path(file) for file in source.files],
        "data": evidence.digest,
        "split": "certification",
        "threads": spec.threads,
        "duration_s": TIMING_S,
        "machine": describe_machine(),
        "tools": tool_versions(),
    }
    return job.work.step("measure", key, lambda folder: run_job(asked, folder))


def _cost(artifact: Artifact) -> ModelCost:
    found = inspect_onnx(artifact.path)
    packed = sum(map(packed_size, artifact.files))
    return ModelCost(parameters=found.parameters, macs=found.macs, size_bytes=artifact.size_bytes, packed_bytes=packed)

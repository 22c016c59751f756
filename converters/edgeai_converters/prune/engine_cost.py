"""What networks cost in a target engine: widths before they are cut for good, and the smaller network in the end."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx_ir as ir

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.table import emit
from edgeai_converters.evaluate.job import Job
from edgeai_converters.evaluate.measure import read_measurement, run_job
from edgeai_converters.graph.shapes import fix_batch
from edgeai_converters.prune.groups import ChannelGroup
from edgeai_converters.prune.latency_measure import measure_latency_table, measure_networks
from edgeai_converters.prune.latency_table import LatencyTable
from edgeai_converters.prune.layer_artifacts import in_precision
from edgeai_converters.prune.layer_timing import BUDGET_S
from edgeai_converters.prune.slice import slice_channels
from edgeai_converters.prune.way import PruneJob
from edgeai_converters.prune.width_target import Measure
from edgeai_converters.prune.widths_axes import Cost, Widths, parameter_cost
from edgeai_converters.workfolder import digest_of_path
from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.manifest import Measurement

_SIZES_FILE = "sizes.json"
TIMING_S = 1.0
"""How long the smaller network is timed in turns with the whole one."""

TABLE_S = BUDGET_S
"""How long the layers of the table are timed."""

NETWORKS_S = 4.0
"""How long whole networks are timed beside each other, at least."""

_SAMPLES = 2
_PER_NETWORK_S = 0.3

TargetKind = Literal["latency", "size"]


@dataclass(frozen=True, kw_only=True)
class EngineCost:
    """What the smaller network costs in the target engine, beside the whole one in the same format and precision.

    Attributes:
        measurement: latency and memory; times in turns with the whole network's.
        whole_bytes, smaller_bytes: sizes of the files.
    """

    measurement: Measurement
    whole_bytes: int
    smaller_bytes: int

    @property
    def size_ratio(self) -> float:
        """Size as a share of the whole network's."""
        return self.smaller_bytes / self.whole_bytes


def predicted_cost(job: PruneJob, groups: tuple[ChannelGroup, ...], kind: TargetKind) -> Cost:
    """Return what tells the cost of widths: measured timings of layers in the target engine, or numbers of weights."""
    if kind == "size":
        return parameter_cost(job.model, groups)
    spec = job.spec
    return measure_latency_table(
        job.model,
        groups,
        format=spec.engine_format,
        precision=spec.precision,
        threads=spec.threads,
        work=job.work,
        seed=spec.seed,
        budget_s=TABLE_S,
        on_step=lambda done, total, label: job.tell(label, done, total),
    )


def measured_cost(job: PruneJob, groups: tuple[ChannelGroup, ...], kind: TargetKind) -> Measure:
    """Return what measures whole networks of given widths in the target engine, or weighs their files."""
    spec = job.spec

    def time(networks: Mapping[str, Widths]) -> Mapping[str, float]:
        job.tell(f"timing {len(networks)} networks")
        return measure_networks(
            job.model,
            groups,
            networks,
            format=spec.engine_format,
            precision=spec.precision,
            threads=spec.threads,
            work=job.work,
            seed=spec.seed,
            budget_s=max(NETWORKS_S, _PER_NETWORK_S * len(networks)),
        )

    def weigh(networks: Mapping[str, Widths]) -> Mapping[str, float]:
        whole = _size(job, job.model)
        return {name: _size(job, _of_widths(job, groups, widths)) / whole for name, widths in networks.items()}

    return time if kind == "latency" else weigh


def layers_told(table: Cost, widths: Widths) -> list[dict[str, Any]]:
    """Return what the table of timings says of each layer, whole and with these widths; nothing of other costs."""
    if not isinstance(table, LatencyTable):
        return []
    before, after = table.layer_ms({}), table.layer_ms(widths)
    return [
        {
            "layer": timed.layer.name,
            "op": timed.layer.signature.op,
            "inputs": {"before": timed.layer.inputs.whole, "after": timed.layer.inputs.at(widths)},
            "outputs": {"before": timed.layer.outputs.whole, "after": timed.layer.outputs.at(widths)},
            "ms": {"before": before[timed.layer.name], "after": after[timed.layer.name]},
        }
        for timed in table.layers
    ]


def measure_in_engine(job: PruneJob, model: ir.Model, artifact: Artifact) -> EngineCost:
    """Time the smaller graph in the target engine, in turns with the whole one; both in the target's precision.

    Args:
        job: the job.
        model: the smaller graph.
        artifact: it as the file that is handed over: what the kept result depends on.

    Raises:
        UnsupportedOperationError: the format cannot hold the network.
        EngineError: the engine failed.
    """
    spec = job.spec
    data, indices = job.evidence.samples("certification")

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="edgeai-engine-") as made:
            whole, smaller = (
                _write(job, each, Path(made), stem) for each, stem in ((job.model, "whole"), (model, "smaller"))
            )
            asked = Job(
                artifact=str(smaller.path),
                reference=str(whole.path),
                format=spec.engine_format,
                inputs=job.graph.inputs,
                outputs=job.graph.outputs,
                own_inputs=smaller.inputs,
                own_outputs=smaller.outputs,
                data=data,
                preprocessing=job.evidence.preprocessing,
                indices=indices[:_SAMPLES],
                threads=spec.threads,
                duration_s=TIMING_S,
                seed=spec.seed,
            )
            run_job(asked, folder)
            sizes = {"whole": whole.size_bytes, "smaller": smaller.size_bytes}
        (folder / _SIZES_FILE).write_text(json.dumps(sizes))

    key = {
        **job.key(),
        "artifact": [digest_of_path(file) for file in artifact.files],
        "format": spec.engine_format,
        "precision": spec.precision,
        "threads": spec.threads,
        "duration_s": TIMING_S,
        "machine": describe_machine(),
    }
    folder = job.work.step("engine", key, make)
    sizes = json.loads((folder / _SIZES_FILE).read_text())
    return EngineCost(
        measurement=read_measurement(folder), whole_bytes=int(sizes["whole"]), smaller_bytes=int(sizes["smaller"])
    )


def _of_widths(job: PruneJob, groups: tuple[ChannelGroup, ...], widths: Widths) -> ir.Model:
    cut = {group.id: range(widths.get(group.id, group.size), group.size) for group in groups}
    return slice_channels(job.model, cut, groups=groups)[0]


def _size(job: PruneJob, model: ir.Model) -> int:
    with tempfile.TemporaryDirectory(prefix="edgeai-size-") as made:
        return _write(job, model, Path(made), "model").size_bytes


def _write(job: PruneJob, model: ir.Model, folder: Path, stem: str) -> Artifact:
    """Write a graph for the target engine; in int8 with invented ranges, which cost the same as true ones."""
    smaller = in_precision(fix_batch(model, 1), job.spec.engine_format, job.spec.precision)
    return emit(smaller, job.spec.engine_format, folder, stem=stem)

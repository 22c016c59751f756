"""Pruning as a job: source → float graph → made smaller by one way → the written ONNX file with what is known of it."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeai_converters.emit.onnx import emit_onnx
from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.float_graph import make_float_graph
from edgeai_converters.pipeline import name_steps
from edgeai_converters.progress import OnStep
from edgeai_converters.prune.oneshot import Pruned, prune_oneshot
from edgeai_converters.prune.pruning_spec import PruneSpec
from edgeai_converters.prune.ways import PACKED
from edgeai_converters.spec import Budget, CompressSpec
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.errors import UsageError

_NOT_PAID = {
    "no_difference": "no difference in latency was found.",
    "slower": "the smaller network is slower.",
}
_WHAT_THEN = {
    "channels": " Widths that are multiples of 8 or 16 (--multiple-of), or chosen for a latency (--target-latency), "
    "often suit better.",
    "low-rank": " Two calls of a small layer cost more than one; fewer channels may suit better.",
}


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """A pruned model that was written.

    Attributes:
        spec: what was asked.
        artifact: the written file.
        pruned: the smaller network, what it cost and what it gave.
        counts: samples per purpose.
        notes: what a user should know.
        duration_s: time it took.
        reused: steps found finished in the work folder.
    """

    spec: PruneSpec
    artifact: Path
    pruned: Pruned
    counts: dict[str, int]
    notes: tuple[str, ...]
    duration_s: float
    reused: int

    def to_json(self) -> dict[str, Any]:
        """Return the documented JSON document of `edgeai prune --json`."""
        pruned, spec = self.pruned, self.spec
        engine = pruned.engine
        told = dict(pruned.told)
        if pruned.target_verdict is not None:
            told["target"] = {**told["target"], "verdict": pruned.target_verdict}
        return {
            "source": str(spec.source),
            "artifact": str(self.artifact),
            "format": "onnx",
            "method": spec.method,
            "asked": dict([spec.amount]),
            **told,
            "before": asdict(pruned.before),
            "after": asdict(pruned.after),
            "claim": asdict(pruned.claim),
            "latency": {
                "format": spec.engine_format,
                "precision": spec.precision,
                "ratio": pruned.latency_ratio,
                "ratio_ci95": pruned.latency_ratio_ci95,
                "verdict": pruned.verdict,
            },
            "size": {
                "format": spec.engine_format,
                "precision": spec.precision,
                "before": engine.whole_bytes,
                "after": engine.smaller_bytes,
                "ratio": engine.size_ratio,
            },
            "measurement": asdict(pruned.measurement),
            "flash": None if pruned.flash is None else asdict(pruned.flash),
            "data": self.counts,
            "notes": list(self.notes),
            "tools": tool_versions(),
            "duration_s": self.duration_s,
            "resumed_steps": self.reused,
        }


def prune_source(
    spec: PruneSpec, target: Path, work: WorkFolder, *, live: object | None = None, on_step: OnStep | None = None
) -> Pruning:
    """Prune a model and write the smaller one to `target`, an `.onnx` file; it is written whether or not that pays.

    Args:
        spec: what is wanted.
        target: the file to write; it is overwritten.
        work: where finished steps are kept.
        live: a live Keras or PyTorch model in place of the file.
        on_step: progress.

    Raises:
        UsageError: the target has another suffix, or nothing is left to cut.
        ModelError: the source cannot be read, or has nothing that can go by that method.
    """
    if target.suffix != ".onnx":
        raise UsageError(f"The pruned model is written as .onnx. Received: {target.name}")
    started = time.monotonic()
    graph = make_float_graph(live or spec.source, work, input_shapes=spec.input_shapes, seed=spec.seed)
    evidence = Evidence(
        CompressSpec(
            source=spec.source,
            data=spec.data,
            metric=spec.metric,
            budget=Budget(max_drop=spec.max_drop),
            preprocessing=name_steps(spec.preprocessing, graph.inputs, what="input"),
            threads=spec.threads,
            seed=spec.seed,
        ),
        graph,
        work,
    )
    pruned = prune_oneshot(graph, evidence, spec, work, on_step)
    _write(pruned, target)
    notes = (*graph.notes, *evidence.notes, evidence.chance_note(pruned.claim), *_notes(pruned, spec))
    return Pruning(
        spec=spec,
        artifact=target,
        pruned=pruned,
        counts=evidence.counts(),
        notes=tuple(note for note in notes if note),
        duration_s=time.monotonic() - started,
        reused=work.reused,
    )


def _write(pruned: Pruned, target: Path) -> None:
    """Write the very file that was measured; one whose weights lie beside it is written anew under its name."""
    if len(pruned.artifact.files) > 1:
        emit_onnx(pruned.model, target.parent, stem=target.stem)
        return
    beside = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(pruned.artifact.path, beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _notes(pruned: Pruned, spec: PruneSpec) -> tuple[str, ...]:
    """Return what a user should know about the outcome, beyond what the method reported."""
    notes = list(pruned.notes)
    where = f"{spec.engine_format} ({spec.precision})"
    if pruned.verdict in _NOT_PAID and spec.method not in PACKED:
        then = " Other engines were not measured (--engine-format)." + _WHAT_THEN.get(spec.method, "")
        notes.append(f"It does not pay in {where} on this machine: {_NOT_PAID[pruned.verdict]}{then}")
    if pruned.target_verdict in ("missed", "unclear"):
        target = pruned.told["target"]
        found = pruned.latency_ratio if target["kind"] == "latency" else pruned.engine.size_ratio
        how = "misses" if pruned.target_verdict == "missed" else "is not clearly within"
        notes.append(
            f"The {target['kind']} in {where} is {found:.1%} of the whole network's: it {how} the target of "
            f"{target['asked']:.1%}."
        )
    return tuple(notes)

"""From a source and data to a diagnosis of its static int8: the visible list of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.float_graph import make_float_graph
from edgeai_converters.pipeline import name_steps
from edgeai_converters.progress import OnStep, Progress
from edgeai_converters.quantize.diagnosis import DiagnosedUnit, QuantizationDiagnosis, diagnose
from edgeai_converters.quantize.patterns_inputs import Score
from edgeai_converters.quantize.range_choice import rank_range_methods
from edgeai_converters.quantize.schemes import scheme_for
from edgeai_converters.search.calibration import Calibration
from edgeai_converters.search.repairs import WRITE_OUT
from edgeai_converters.spec import CompressSpec
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.bench.machine import isa_flags
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Format

SAMPLES = 32
"""Calibration samples that errors are measured on."""

SCORED_SAMPLES = 128
"""Samples of the search split that preprocessing is judged on."""

_SCORES = ("top1", "top5")
_BATCH = 8


@dataclass(frozen=True, kw_only=True)
class SourceDiagnosis:
    """What is wrong with a source in static int8.

    Attributes:
        source: the source's path.
        format: the format asked for.
        quantization: the operations, the patterns and the cures.
        metric: what the float source was scored by; `None` without class labels.
        source_score: its score on samples of the search split.
        scored: how many they are.
        notes: what a user should know about source and data.
    """

    source: str
    format: Format
    quantization: QuantizationDiagnosis
    metric: str | None
    source_score: float | None
    scored: int
    notes: tuple[str, ...]

    @property
    def verdict(self) -> tuple[str, ...]:
        """A few sentences for people, the most important one first."""
        return _verdict(self)

    def to_json(self) -> dict[str, Any]:
        """Return the diagnosis as a JSON object."""
        return {
            "source": self.source,
            "format": self.format,
            "verdict": list(self.verdict),
            "metric": self.metric,
            "source_score": self.source_score,
            "scored": self.scored,
            "notes_of_source": list(self.notes),
            **self.quantization.to_json(),
        }


def diagnose_source(
    spec: CompressSpec, format: Format, work: WorkFolder, *, on_step: OnStep | None = None
) -> SourceDiagnosis:
    """Bring a source to the graph, find its ranges, quantize it in simulation, and say what goes wrong.

    Args:
        spec: source, data, preprocessing, range methods, nodes to keep in float; budgets are not looked at.
        format: the format whose engine's scheme is simulated.
        work: where finished steps are kept.
        on_step: progress.

    Raises:
        UsageError: no data.
        ModelError, DataError: bad input.
    """
    if not spec.data.is_given:
        raise UsageError("A diagnosis of int8 needs data.", hint="Name some with --data.")
    progress = Progress(on_step, total=4)
    progress.start("reading the source")
    graph = make_float_graph(spec.source, work, input_shapes=spec.input_shapes, seed=spec.seed)
    progress.start("reading the data")
    spec = replace(spec, preprocessing=name_steps(spec.preprocessing, graph.inputs, what="input"))
    evidence = Evidence(spec, graph, work)
    progress.start("finding value ranges")
    calibration = Calibration(graph, evidence, spec.range_methods, work)
    repairs: tuple[str, ...] = ()
    for name in WRITE_OUT.get(format, ()):
        repairs = (*repairs, name) if calibration.changes((*repairs, name)) else repairs
    model, ranges = calibration.model(repairs), calibration.ranges(repairs)
    batches = list(calibration.batches(SAMPLES))
    scheme = scheme_for(format, isa=isa_flags())
    method = rank_range_methods(model, ranges, scheme, batches)[0]
    progress.start("measuring the error of every operation")
    scored, score, count = _scored(evidence, fixed=graph.inputs[0].shape[:1] == (1,))
    found = diagnose(
        model,
        ranges,
        scheme,
        batches,
        method=method,
        score=score,
        scored=scored,
        architecture=_architecture(),
        isa=isa_flags(),
        threads=spec.threads,
        on_step=on_step,
    )
    outputs = evidence.source_outputs("search") if score is not None else {}
    return SourceDiagnosis(
        source=str(spec.source),
        format=format,
        quantization=found,
        metric=evidence.metric.name if score is not None else None,
        source_score=None if score is None else score({name: array[:count] for name, array in outputs.items()}),
        scored=count if score is not None else 0,
        notes=(*graph.notes, *evidence.notes),
    )


def _scored(evidence: Evidence, *, fixed: bool) -> tuple[dict[str, NDArray[Any]], Score | None, int]:
    """Return some samples of the search split, and what scores outputs for them when there are class labels."""
    split = evidence.splits.search
    size = 1 if fixed else _BATCH
    batches = list(islice(split.batches(size), -(-SCORED_SAMPLES // size)))
    samples = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    n = len(next(iter(samples.values())))
    labels, metric = split.labels, evidence.metric
    if labels is None or metric.name not in _SCORES:
        return samples, None, n

    def score(outputs: Mapping[str, NDArray[Any]]) -> float:
        return metric.score(dict(outputs), labels[:n], None)

    return samples, score, n


def _architecture() -> str:
    from edgeai_devices.local import detect_cpu

    return detect_cpu().architecture


def _verdict(one: SourceDiagnosis) -> tuple[str, ...]:
    found = one.quantization
    same = "" if found.agreement is None else f"; {found.agreement:.0%} of {found.samples} samples keep their class"
    whole = f"in static int8 for {one.format} (simulated) the outputs differ by {found.error:.1%}{same}"
    words = [f"{'Healthy' if found.healthy else 'Something is wrong'}: {whole}."]
    if one.source_score is not None:
        words.append(f"The float source scores {one.source_score:.1%} ({one.metric}) on {one.scored} samples.")
    culprits = [unit for unit in found.units if unit.culprit]
    if culprits:
        words.append(_blame(culprits[0]))
    if len(culprits) > 1:
        words.append(f"{len(culprits) - 1} more make too much error as well.")
    words += [
        f"{pattern.name.replace('_', ' ').capitalize()} at {pattern.node!r}: {pattern.why}. Fix: {pattern.fix}."
        for pattern in found.patterns
    ]
    if found.repairs or found.excluded:
        kept = f"{len(found.excluded)} operation{'s' if len(found.excluded) != 1 else ''} kept in float"
        cures = [*found.repairs, *([kept] if found.excluded else [])]
        words.append(f"--fix would try: {', '.join(cures)}.")
    return tuple(words)


def _blame(unit: DiagnosedUnit) -> str:
    one = unit.sensitivity
    return (
        f"{one.node!r} ({one.op_type}) alone makes the outputs differ by {one.alone or 0.0:.1%}, "
        f"{unit.share:.0%} of all error made by single operations."
    )

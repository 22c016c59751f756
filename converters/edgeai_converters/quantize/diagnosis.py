"""What is wrong with a model in static int8: every operation's error, the pattern behind it, and what would help."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.calibrate.channel_statistics import ChannelStatistics
from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.progress import OnStep
from edgeai_converters.quantize.fallback import shares_error
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.output_parts import output_parts
from edgeai_converters.quantize.patterns import Pattern, Planned, Remedy, find_patterns, repairs_of
from edgeai_converters.quantize.patterns_inputs import Score, check_inputs, check_preprocessing
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import Scheme
from edgeai_converters.quantize.sensitivity import Sensitivity, measure_sensitivity
from edgeai_converters.spec import RangeMethod

LARGE_ERROR = 0.1
"""Relative error of the outputs, everything quantized, from which something is worth a cure."""

LARGE_ALONE = 0.05
"""Relative error of the outputs by one operation alone from which it is a culprit."""

LARGE_SHARE = 0.3
"""Share of the squared error from which an operation is a culprit, if the whole error is large."""

FELT = 0.02
"""Relative error of the outputs by an operation alone from which a pattern found there is believed to do harm."""

_EVERYWHERE = frozenset({"saturation", "constant_channel", "preprocessing"})
"""Patterns that no error of an operation can show."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class DiagnosedUnit:
    """One operation computed in integers.

    Attributes:
        sensitivity: its errors.
        share: its share of the sum of all squared errors made alone; 0 when it was not followed to the outputs.
        culprit: whether it makes so much error that something should be done.
        pattern: the pattern behind it, or what kind of rounding it is (`weights`, `activations`) when no pattern fits
            a culprit; empty otherwise.
        fix: what helps, in words.
        remedy: the same for a recipe.
    """

    sensitivity: Sensitivity
    share: float
    culprit: bool
    pattern: str = ""
    fix: str = ""
    remedy: Remedy


@dataclass(frozen=True, kw_only=True)
class QuantizationDiagnosis:
    """What is wrong with a model in static int8, simulated.

    Attributes:
        scheme: the scheme planned for.
        method: the range method used.
        samples: samples looked at.
        error: relative error of the outputs with everything quantized.
        agreement: share of samples with the same predicted class; `None` when the output is no list of class scores.
        units: the operations, the most harmful one first.
        patterns: patterns that do harm.
        notes: patterns that do none here.
        float_nodes: nodes that stay in float anyway, with the reason.
    """

    scheme: str
    method: RangeMethod
    samples: int
    error: float
    agreement: float | None
    units: tuple[DiagnosedUnit, ...]
    patterns: tuple[Pattern, ...]
    notes: tuple[Pattern, ...]
    float_nodes: dict[str, str]

    @property
    def healthy(self) -> bool:
        """Whether nothing needs a cure."""
        return not self.patterns and not any(unit.culprit for unit in self.units)

    @property
    def repairs(self) -> tuple[str, ...]:
        """Names of the repairs that would help."""
        return self._cures[0]

    @property
    def excluded(self) -> dict[str, str]:
        """Nodes that should be in float, with the reason."""
        return self._cures[1]

    @property
    def _cures(self) -> tuple[tuple[str, ...], dict[str, str]]:
        unnamed = [
            Pattern(name="unlike_channels", node=unit.sensitivity.node, why="", fix=unit.fix, remedy=unit.remedy)
            for unit in self.units
            if unit.culprit and unit.pattern in ("weights", "activations")
        ]
        repairs, excluded = repairs_of([*self.patterns, *unnamed])
        names = {one.node for one in unnamed}
        reason = "alone it makes too much error in 8 bits"
        return repairs, {node: reason if node in names else why for node, why in excluded.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the diagnosis as a JSON object."""
        return {
            "healthy": self.healthy,
            "scheme": self.scheme,
            "range_method": self.method,
            "samples": self.samples,
            "error": self.error,
            "agreement": self.agreement,
            "operations": [
                {
                    **asdict(unit.sensitivity),
                    "share": unit.share,
                    "culprit": unit.culprit,
                    "pattern": unit.pattern,
                    "fix": unit.fix,
                    "remedy": unit.remedy,
                }
                for unit in self.units
            ],
            "patterns": [asdict(pattern) for pattern in self.patterns],
            "notes": [asdict(pattern) for pattern in self.notes],
            "float_operations": self.float_nodes,
            "repairs": list(self.repairs),
            "exclude": self.excluded,
        }


def diagnose(
    model: ir.Model,
    ranges: Ranges,
    scheme: Scheme,
    batches: Iterable[Arrays],
    *,
    method: RangeMethod,
    score: Score | None = None,
    scored: Arrays | None = None,
    architecture: str = "",
    isa: Sequence[str] = (),
    threads: int = 1,
    on_step: OnStep | None = None,
) -> QuantizationDiagnosis:
    """Quantize a graph in simulation and return what goes wrong where, why, and what would help.

    Args:
        model: the float graph.
        ranges: its ranges, with the largest magnitudes per channel.
        scheme: the scheme to plan for.
        batches: prepared calibration samples, held in memory; 16 to 32 suffice.
        method: the range method to plan with.
        score: gives the float graph's outputs on `scored` a score from 0 to 1; `None` without labels.
        scored: prepared samples that preprocessing is judged on; by default the batches.
        architecture: architecture of the machine that is to run it.
        isa: its instruction set flags.
        threads: threads inside an operation.
        on_step: progress.
    """
    held = list(batches)
    plan = plan_quantization(model, ranges.tensors[method], scheme)
    maxima = {**ranges.channel_maxima, **_normalized_maxima(model, held, threads)}
    planned = Planned(
        model=model,
        plan=plan,
        ranges=ranges.tensors["minmax"] if "minmax" in ranges.tensors else ranges.tensors[method],
        channel_maxima=maxima,
        architecture=architecture,
        isa=isa,
    )
    samples = {name: np.concatenate([batch[name] for batch in held]) for name in held[0]}
    error, agreement = _whole_error(model, insert_qdq(model, plan)[0], held, threads)
    sensitivities = measure_sensitivity(model, plan, held, threads=threads, on_step=on_step)
    found = [
        *check_preprocessing(model, scored if scored is not None else samples, score, threads=threads),
        *check_inputs(planned, samples),
        *find_patterns(planned),
    ]
    alone = {one.node: one.alone or 0.0 for one in sensitivities}
    harmful = [one for one in found if one.harmful and _is_felt(one, planned, alone)]
    whole = sum(value**2 for value in alone.values())
    units = [_diagnose_unit(one, planned, harmful, error=error, whole=whole) for one in sensitivities]
    return QuantizationDiagnosis(
        scheme=scheme.name,
        method=method,
        samples=len(next(iter(samples.values()))),
        error=error,
        agreement=agreement,
        units=tuple(units),
        patterns=tuple(harmful),
        notes=tuple(one for one in found if one not in harmful),
        float_nodes=dict(plan.float_nodes),
    )


def _diagnose_unit(
    one: Sensitivity, planned: Planned, patterns: Sequence[Pattern], *, error: float, whole: float
) -> DiagnosedUnit:
    share = (one.alone or 0.0) ** 2 / whole if whole else 0.0
    culprit = (one.alone or 0.0) >= LARGE_ALONE or (share >= LARGE_SHARE and error >= LARGE_ERROR)
    local = [each for each in patterns if each.name not in _EVERYWHERE or each.node == one.node]
    pattern = next((each for each in local if one.node in _places(each, planned)), None)
    if pattern is not None:
        return DiagnosedUnit(
            sensitivity=one,
            share=share,
            culprit=culprit,
            pattern=pattern.name,
            fix=pattern.fix,
            remedy=pattern.remedy,
        )
    if not culprit:
        return DiagnosedUnit(sensitivity=one, share=share, culprit=False, remedy={})
    if one.weight_rounding > max(one.input_rounding, one.output_rounding):
        fix, remedy = "correct its bias; if that is not enough, AdaRound", {"op": "bias_correction"}
        return DiagnosedUnit(sensitivity=one, share=share, culprit=True, pattern="weights", fix=fix, remedy=remedy)
    nodes = [one.node, *shares_error(one, planned.units)]
    return DiagnosedUnit(
        sensitivity=one,
        share=share,
        culprit=True,
        pattern="activations",
        fix="keep it in float, with what shares the value that 8 bits are too few for",
        remedy={"op": "exclude", "nodes": nodes},
    )


def _places(pattern: Pattern, planned: Planned) -> set[str]:
    """Return the keys of the operations that show a pattern's error: its own, those that it would exclude, readers."""
    places = {pattern.node, *pattern.remedy.get("nodes", ())}
    readers = [unit.key for unit in planned.readers.get(pattern.node, ())]
    return places | set(readers)


def _is_felt(pattern: Pattern, planned: Planned, alone: Mapping[str, float]) -> bool:
    if pattern.name in _EVERYWHERE:
        return True
    outputs = [name for unit in planned.units if unit.key == pattern.node for name in unit.outputs]
    readers = {unit.key for name in outputs for unit in planned.readers.get(name, ())}
    return max((alone.get(key, 0.0) for key in _places(pattern, planned) | readers), default=0.0) >= FELT


def _whole_error(
    model: ir.Model, quantized: ir.Model, batches: Sequence[Arrays], threads: int
) -> tuple[float, float | None]:
    """Return the error of the outputs, averaged over them and their parts, and the share of equal predictions."""
    parts = output_parts(model)
    distance, power = np.zeros(len(parts)), np.zeros(len(parts))
    same: list[NDArray[np.bool_]] = []
    runner, other = GraphRunner(model, threads=threads), GraphRunner(quantized, threads=threads)
    for batch in batches:
        wanted, found = runner.run(batch), other.run(batch)
        for i, part in enumerate(parts):
            a, b = (part.cut(one[part.output]).astype(np.float64) for one in (wanted, found))
            distance[i] += np.square(a - b).sum()
            power[i] += np.square(a).sum()
        first = runner.outputs[0]
        if wanted[first].ndim == 2 and wanted[first].shape[1] > 1:
            same.append(wanted[first].argmax(axis=1) == found[first].argmax(axis=1))
    error = float(np.sqrt(np.mean(distance / np.maximum(power, np.finfo(np.float64).tiny)))) if len(parts) else 0.0
    return error, float(np.concatenate(same).mean()) if same and len(parts) == 1 else None


def _normalized_maxima(model: ir.Model, batches: Sequence[Arrays], threads: int) -> dict[str, tuple[float, ...]]:
    """Return the largest magnitude per channel of what LayerNorms read."""
    inputs = {str(value.name) for value in model.graph.inputs}
    read = [node.inputs[0] for node in model.graph if node.op_type in ("LayerNormalization", "RMSNormalization")]
    names = [str(value.name) for value in read if value is not None and value.name not in inputs]
    if not names:
        return {}
    runner = GraphRunner(model, outputs=names, threads=threads)
    statistics = {name: ChannelStatistics(-1) for name in runner.outputs}
    for batch in batches:
        for name, array in runner.run(batch).items():
            statistics[name].add(array)
    return {name: found.maxima for name, found in statistics.items()}

"""What a float model would be in another precision, as far as a check asks: before any of it is made.

The float artifact of a format is written in no time; its quantized ones need samples and a search. Their operators have
the same names, their weights and activations fewer bytes. So what the float artifact cannot mend by being quantized
(an operator, a free shape, too many weights, too large activations) is known from it alone. Sizes are lower bounds:
what quantization adds, scales and conversions, is not counted.
"""

from __future__ import annotations

from dataclasses import replace

from edgeai_devices.fit import check_fit
from edgeai_devices.fit_report import FitReport
from edgeai_devices.operator_facts import ModelFacts, OperatorFacts
from edgeai_devices.profile import Profile
from edgeai_runtime.manifest import Precision

_WEIGHT_BITS: dict[Precision, int] = {
    "float32": 32,
    "float16": 16,
    "dynamic_int8": 8,
    "int8": 8,
    "int16x8": 8,
    "int4": 4,
}
_ACTIVATION_BITS: dict[Precision, int] = {"int8": 8, "int16x8": 16}
"""Of precisions whose activations are integers; those of the others stay float32."""

_PACKING = 0.9
"""A planner may pack tensors of other sizes more tightly than in proportion: memory is held against the device with
this share of what is foretold."""


def foresee_fit(facts: ModelFacts, profile: Profile, precision: Precision) -> FitReport:
    """Hold what a float artifact would be in `precision` against a device; a check that fails is sure to.

    Args:
        facts: of the float32 artifact.
        profile: the device.
        precision: of the artifact that is not made yet.
    """
    report = check_fit(in_precision(facts, precision), profile)
    checks = [
        replace(check, ok=True, mend="")
        if check.name == "ram" and not check.ok and _value(check.value) * _PACKING <= _value(check.limit)
        else check
        for check in report.checks
    ]
    return replace(report, checks=tuple(checks))


def in_precision(facts: ModelFacts, precision: Precision) -> ModelFacts:
    """Return the facts of a float32 artifact as they would be, at best, in another precision."""
    if precision == "float32":
        return facts
    activations = _ACTIVATION_BITS.get(precision, 32)
    return replace(
        facts,
        operators=tuple(_operator(each, precision) for each in facts.operators),
        size_bytes=facts.size_bytes * _WEIGHT_BITS[precision] // 32,
        tensors=tuple(replace(each, size_bytes=each.size_bytes * activations // 32) for each in facts.tensors),
    )


def _operator(operator: OperatorFacts, precision: Precision) -> OperatorFacts:
    computes = operator.precision == "float32" and (operator.is_heavy or precision in _ACTIVATION_BITS)
    return replace(operator, precision=precision) if computes else operator


def _value(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0

"""What each way to a device's hardware takes of a model: delegates, compilers and the export for microcontrollers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgeai_devices.fit_report import Block, LeftOver, WayFit, WayKind
from edgeai_devices.operator_facts import ModelFacts, OperatorFacts
from edgeai_devices.profile import Profile
from edgeai_devices.profile_accelerator import Accelerator
from edgeai_devices.profile_rules import Limit, Rules
from edgeai_runtime.delegates.table import DELEGATES
from edgeai_runtime.manifest import PRECISIONS, Format, Precision

FORMATS_OF: dict[str, tuple[Format, ...]] = {
    "vela": ("tflite",),
    "edgetpu": ("tflite",),
    "qnn": ("onnx",),
    "openvino": ("openvino",),
    "coreml": ("onnx",),
    "tensorrt": ("onnx",),
    "rknn": ("onnx", "tflite"),
    "c": ("tflite",),
}
"""What compilers and the export for microcontrollers read."""

_FORMAT_OF_ENGINE: dict[str, Format] = {"litert": "tflite", "onnxruntime": "onnx", "openvino": "openvino"}
_COMPILED = {
    "ethos-u": ("vela", "litert:ethosu", "c"),
    "edgetpu-custom-op": ("edgetpu", "litert:edgetpu"),
    "EPContext": ("qnn", "onnxruntime:qnn-htp", "onnxruntime:qnn-gpu"),
}
"""Operators that hold what a compiler made, and the ways that take them."""

_BATCH_AS_STORED = ("c", "vela", "litert:ethosu")
"""Ways that take a TFLite file with a free batch: they read the shape that is stored beside it, which has a 1 there."""

_AS_INT8 = "make it int8: edgeai compress MODEL --data DATA --precision int8"
_IN_INTEGERS = "give it integer inputs and outputs: edgeai compress MODEL --data DATA --precision int8 --boundary int8"
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
_MOST_LABELS = 5


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to hardware before a model is held against it; fields as in `WayFit`.

    Attributes:
        rules: of the profile, for this way.
        precisions: what it computes in; `None`: anything.
        static_shapes: every dimension must be fixed.
        splits: what it does not take, the CPU runs.
    """

    name: str
    kind: WayKind
    hardware: str
    formats: tuple[Format, ...]
    rules: tuple[Rules, ...]
    precisions: tuple[Precision, ...] | None
    static_shapes: bool
    splits: bool


def ways_of(profile: Profile) -> tuple[Way, ...]:
    """Return the ways of a device, best first: its delegates, its compilers, and the export to C."""
    names: list[tuple[str, WayKind]] = [(name, "delegate") for name in profile.delegates]
    names += [(name, "compiler") for name in profile.compilers]
    names += [(name, "export") for name in profile.exports if name in FORMATS_OF]
    return tuple(_way(profile, name, kind) for name, kind in names)


def judge_way(way: Way, facts: ModelFacts) -> WayFit:
    """Say what `way` takes of a model of a format that it reads."""
    problems = [_problem(way, operator, facts.format) for operator in facts.operators]
    left = tuple(_left_over(facts.operators, problems))
    computing = [problem for each, problem in zip(facts.operators, problems, strict=True) if each.precision is not None]
    blocks = []
    if facts.free and (needs_fixed_batch(way) if facts.only_batch_is_free else way.static_shapes):
        reason = f"needs fixed shapes; free is {', '.join(facts.free)}"
        blocks.append(Block(cause="shapes", reason=reason, mend=mend_shapes(facts)))
    if left and not way.splits:
        blocks.append(Block(cause="operators", reason=_first_reasons(left), mend=_first_mend(left)))
    elif way.hardware != "cpu" and computing and None not in computing:
        reason = f"takes none of the {len(computing)} operators that compute: {_first_reasons(left)}"
        blocks.append(Block(cause="operators", reason=reason, mend=_first_mend(left)))
    return WayFit(
        way=way.name,
        kind=way.kind,
        hardware=way.hardware,
        coverage=problems.count(None) / len(problems) if problems else None,
        left=left,
        blocks=tuple(blocks),
        notes=tuple(_notes(way, facts)),
    )


def needs_fixed_batch(way: Way) -> bool:
    """Whether a way does not even take a free batch; what reads TFLite files may take the 1 that is stored for it."""
    return way.static_shapes and way.name not in _BATCH_AS_STORED


def mend_shapes(facts: ModelFacts) -> str:
    """Return the step that fixes the free shapes of a model."""
    how = "--batch 1" if facts.only_batch_is_free else "--shape NAME=SIZES"
    return f"fix the shapes: edgeai convert MODEL --to {facts.format} {how}{keep_integers(facts)}"


def keep_integers(facts: ModelFacts) -> str:
    """Return what `edgeai convert` needs not to make a float model of an int8 one."""
    return " --precision int8" if facts.precisions[:1] == ("int8",) else ""


def _way(profile: Profile, name: str, kind: WayKind) -> Way:
    spec = DELEGATES.get(name) if kind == "delegate" else None
    hardware, accelerator = _hardware(profile, name, kind)
    rules = profile.rules_for(name)
    if spec is not None:
        engine_format = _FORMAT_OF_ENGINE.get(spec.engine)
        formats = spec.formats or ((engine_format,) if engine_format else ())
    else:
        formats = FORMATS_OF[name]
    own = accelerator.precisions if accelerator is not None else ()
    if not own and spec is not None and spec.device != "cpu":
        own = tuple(each for each in PRECISIONS if each in spec.precisions)
    return Way(
        name=name,
        kind=kind,
        hardware=hardware,
        formats=formats,
        rules=rules,
        precisions=own or None,
        static_shapes=any(each.static_shapes for each in rules)
        or (accelerator is not None and accelerator.static_shapes)
        or (spec is not None and spec.static_shapes),
        splits=all(each.otherwise == "cpu" for each in rules),
    )


def _hardware(profile: Profile, name: str, kind: WayKind) -> tuple[str, Accelerator | None]:
    for hardware, accelerator in (("npu", profile.npu), ("gpu", profile.gpu)):
        if accelerator is not None and name in (*accelerator.delegates, *accelerator.compilers):
            return hardware, accelerator
    if kind == "export":
        return "cpu", None
    return (DELEGATES[name].device if kind == "delegate" else "unknown"), None


def _left_over(operators: Sequence[OperatorFacts], problems: Sequence[tuple[str, str] | None]) -> Iterator[LeftOver]:
    """Return what a way does not take, operators of one name and reason together."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for operator, problem in zip(operators, problems, strict=True):
        if (
            problem is not None and operator.name in _CONVERSIONS
        ):  # from float and to float, where a model begins or ends
            problem = (problem[0], _IN_INTEGERS)
        if problem is not None:
            found.setdefault((operator.name, *problem), []).append(operator.label)
    for (name, reason, mend), labels in found.items():
        yield LeftOver(operator=name, labels=tuple(labels), reason=reason, mend=mend)


def _problem(way: Way, operator: OperatorFacts, format: Format) -> tuple[str, str] | None:
    """Return why a way does not take an operator, and what would mend it; `None` when it takes it."""
    if operator.name in _COMPILED:
        return None if way.name in _COMPILED[operator.name] else ("was compiled for another accelerator", "")
    if way.hardware == "cpu" and not way.rules:
        return None
    if way.name == "c" and operator.is_heavy and operator.is_unsigned:
        return "computes in int8, not in uint8", _AS_INT8
    for rules in way.rules:
        if _speaks(rules, format) and (why := rules.why_not(operator.name)):
            return why, ""
    precision = operator.precision
    for allowed in (way.precisions, *(rules.precisions for rules in way.rules)):
        if precision is not None and allowed is not None and precision not in allowed:
            return f"does not compute in {precision}, only in {', '.join(allowed)}", _mend_precision(allowed)
    for rules in way.rules:
        if not _speaks(rules, format):
            continue
        if rules.constant_weights and operator.is_heavy and not operator.constant_weights:
            return "its weights are computed in the model", "fold them: edgeai convert MODEL writes constants"
        for limit in rules.limits_of(operator.name):
            broken = _broken(limit, operator)
            if broken:
                return broken, limit.mend
    return None


def _speaks(rules: Rules, format: Format) -> bool:
    """Whether the names in the rules are those of the format."""
    return rules.vocabulary == format


def _mend_precision(allowed: Sequence[Precision]) -> str:
    return _AS_INT8 if "int8" in allowed else f"make it {allowed[0]}"


def _broken(limit: Limit, operator: OperatorFacts) -> str:
    for value in operator.values.get(limit.property, ()):
        word = limit.property.replace("_", " ")
        if limit.max is not None and value > limit.max:
            return f"{word} {value} is over {limit.max}"
        if limit.min is not None and value < limit.min:
            return f"{word} {value} is under {limit.min}"
    return ""


def _notes(way: Way, facts: ModelFacts) -> Iterator[str]:
    """Return conditions that a reader must check, and what runs slowly."""
    names = {operator.name for operator in facts.operators}
    for rules in way.rules:
        if not _speaks(rules, facts.format):
            continue
        for name in sorted(names & set(rules.conditions)):
            yield f"{name}: {rules.conditions[name]}"
        for slow in rules.slow_kernels:
            hit = [
                operator.name
                for operator in facts.operators
                if (not slow.operators or operator.name in slow.operators)
                and (not slow.precisions or operator.precision in slow.precisions)
            ]
            if hit:
                yield f"slow: {', '.join(dict.fromkeys(hit))}: {slow.reason}"


def _first_reasons(left: Sequence[LeftOver]) -> str:
    """Return the first reasons in words: `TANH (2): its table is too coarse`."""
    told = [
        f"{each.operator}{f' ({len(each.labels)})' if len(each.labels) > 1 else ''}: {each.reason}" for each in left
    ]
    more = f"; and {len(told) - _MOST_LABELS} more" if len(told) > _MOST_LABELS else ""
    return "; ".join(told[:_MOST_LABELS]) + more


def _first_mend(left: Sequence[LeftOver]) -> str:
    """Return what would mend the most operators."""
    return next((each.mend for each in sorted(left, key=lambda each: -len(each.labels)) if each.mend), "")

"""Does a model fit a device? Its facts held against a profile: operators, precision, shapes, flash, RAM, delegates.

Nothing is run: what is told here is known before anything is measured. Each check that fails names the step that would
mend it. That a model fits does not say that it is fast; that it fits a microcontroller's memory does not leave room
for a program whose size nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgeai_devices.fit_report import FitCheck, FitReport, WayFit
from edgeai_devices.fit_ways import judge_way, keep_integers, mend_shapes, ways_of
from edgeai_devices.memory_arena import ArenaEngine, plan_arena
from edgeai_devices.memory_plan import MemoryPlan
from edgeai_devices.operator_facts import ModelFacts
from edgeai_devices.profile import Profile
from edgeai_runtime.manifest import Format

_ENGINES: dict[Format, ArenaEngine] = {"tflite": "litert", "onnx": "onnxruntime", "openvino": "openvino"}
_KIB = 1024
_MIB = 1024 * 1024


def check_fit(facts: ModelFacts, profile: Profile) -> FitReport:
    """Hold a model against a device.

    Args:
        facts: of one artifact, as `edgeai_converters.facts` reads them.
        profile: the device.

    Returns:
        The checks in a fixed order; those that need a figure which the profile does not have are left out.
    """
    ways = tuple(judge_way(way, facts) for way in ways_of(profile) if facts.format in way.formats)
    checks = [_format(facts, profile, ways)]
    if checks[0].ok:
        checks += [_precision(facts, profile), _shapes(facts, ways), _operators(facts, ways), _delegates(ways)]
        checks += _accelerator(profile, ways)
    engine = engine_of(facts.format, profile)
    plan = plan_arena(facts.tensors, engine) if facts.tensors else None
    checks += [*_flash(facts, profile), *_ram(facts, profile, plan)]
    notes = [*facts.notes, *_plan_notes(facts, plan)]
    return FitReport(device=profile.id, verified=profile.verified, checks=tuple(checks), ways=ways, notes=tuple(notes))


def engine_of(format: Format, profile: Profile) -> ArenaEngine:
    """Return whose customs the memory of a model is planned by on this device."""
    runs_litert = any(name.startswith("litert:") for name in profile.delegates)
    return "micro" if format == "tflite" and not runs_litert else _ENGINES[format]


def _format(facts: ModelFacts, profile: Profile, ways: Sequence[WayFit]) -> FitCheck:
    ok = facts.format in profile.formats and bool(ways)
    detail = f"{facts.format} runs on {profile.name}" if ok else f"nothing on {profile.name} runs {facts.format}"
    mend = "" if ok else f"convert it: edgeai convert MODEL --to {profile.formats[0]}{keep_integers(facts)}"
    return FitCheck(name="format", ok=ok, limit=profile.formats, value=facts.format, detail=detail, mend=mend)


def _precision(facts: ModelFacts, profile: Profile) -> FitCheck:
    has = facts.precisions
    ok = not has or any(each in profile.precisions for each in has)
    strange = [each for each in has if each not in profile.precisions]
    detail = f"computes in {', '.join(has) or 'integers only'}"
    if strange:
        detail += f"; {profile.name} is for {', '.join(profile.precisions)}"
    mend = "" if ok else f"edgeai compress MODEL --data DATA --device {profile.id} makes {profile.precisions[0]}"
    return FitCheck(name="precision", ok=ok, limit=profile.precisions, value=has, detail=detail, mend=mend)


def _shapes(facts: ModelFacts, ways: Sequence[WayFit]) -> FitCheck:
    blocked = [way.way for way in ways if way.blocked_by("shapes")]
    ok = len(blocked) < len(ways)
    detail = f"free: {', '.join(facts.free)}" if facts.free else "all are fixed"
    if blocked:
        detail += f"; fixed ones are needed by {', '.join(blocked)}"
    mend = "" if ok else mend_shapes(facts)
    return FitCheck(name="shapes", ok=ok, limit=None, value=facts.free, detail=detail, mend=mend)


def _operators(facts: ModelFacts, ways: Sequence[WayFit]) -> FitCheck:
    """Fails when every way is closed by operators: those it does not take, with nothing beside it that would."""
    total = len(facts.operators)
    blocks = [block for way in ways if (block := way.blocked_by("operators")) is not None]
    if len(blocks) < len(ways):
        return FitCheck(name="operators", ok=True, limit=total, value=total, detail=f"all {total} can be run")
    best = max(ways, key=lambda way: way.coverage or 0.0)
    told: dict[str, list[str]] = {}
    for way, block in zip(ways, blocks, strict=True):
        told.setdefault(block.reason, []).append(way.way)
    return FitCheck(
        name="operators",
        ok=False,
        limit=total,
        value=total - sum(len(each.labels) for each in best.left),
        detail="; ".join(f"{', '.join(names)}: {reason}" for reason, names in told.items()),
        mend=next((block.mend for block in blocks if block.mend), "replace them in the model, or take another device"),
    )


def _delegates(ways: Sequence[WayFit]) -> FitCheck:
    known = tuple(way.way for way in ways)
    eligible = tuple(way.way for way in ways if way.eligible)
    if not eligible:
        mend = next((block.mend for way in ways for block in way.blocks if block.mend), "")
        detail = f"none of {', '.join(known)} can be used"
        return FitCheck(name="delegates", ok=False, limit=known, value=(), detail=detail, mend=mend)
    told = ", ".join(f"{way.way}{_share(way)}" for way in ways if way.eligible)
    return FitCheck(name="delegates", ok=True, limit=known, value=eligible, detail=f"eligible: {told}")


def _share(way: WayFit) -> str:
    return "" if way.coverage is None or way.coverage == 1 else f" ({way.coverage:.0%} of the operators)"


def _accelerator(profile: Profile, ways: Sequence[WayFit]) -> Iterator[FitCheck]:
    """An accelerator device must take something; for others, the detail says what their accelerator takes."""
    reach = [way for way in ways if way.hardware in ("npu", "gpu")]
    if not reach:
        return
    usable = [way for way in reach if way.eligible]
    if usable:
        best = max(usable, key=lambda way: way.coverage or 0.0)
        left = "".join(f"; {each.operator} stays on the CPU: {each.reason}" for each in best.left[:3])
        detail = f"{best.way} takes {best.coverage or 0.0:.0%} of the operators{left}"
        yield FitCheck(name="accelerator", ok=True, limit=None, value=best.way, detail=detail)
        return
    block = reach[0].blocks[0]
    ok = profile.kind != "npu"
    detail = f"{'the CPU runs it all; ' if ok else ''}{reach[0].way}: {block.reason}"
    yield FitCheck(name="accelerator", ok=ok, limit=None, value=None, detail=detail, mend=block.mend)


def _flash(facts: ModelFacts, profile: Profile) -> Iterator[FitCheck]:
    if profile.memory.flash_kib is None:
        return
    limit = profile.memory.flash_kib * _KIB
    ok = facts.size_bytes <= limit
    detail = f"the model takes {_kib(facts.size_bytes)} of {_kib(limit)} flash, which holds the program as well"
    mend = "" if ok else f"edgeai compress MODEL --data DATA --device {profile.id} --max-size {limit}"
    yield FitCheck(name="flash", ok=ok, limit=limit, value=facts.size_bytes, detail=detail, mend=mend)


def _ram(facts: ModelFacts, profile: Profile, plan: MemoryPlan | None) -> Iterator[FitCheck]:
    """A microcontroller's arena must fit its SRAM; elsewhere arena and weights together the smallest memory sold."""
    if plan is None:
        return
    if profile.memory.sram_kib is not None:
        limit, value = profile.memory.sram_kib * _KIB, plan.peak_bytes
        what = f"activations need {_kib(value)} of {_kib(limit)} SRAM"
    elif profile.memory.ram_mib:
        limit, value = min(profile.memory.ram_mib) * _MIB, plan.peak_bytes + facts.size_bytes
        what = f"weights and activations need {_kib(value)} of {_kib(limit)} RAM"
    else:
        return
    ok = value <= limit
    yield FitCheck(
        name="ram",
        ok=ok,
        limit=limit,
        value=value,
        detail=f"{what}{_fullest(facts, plan)}",
        mend="" if ok else _mend_ram(facts, profile),
    )


def _mend_ram(facts: ModelFacts, profile: Profile) -> str:
    if "int8" in profile.precisions and "int8" not in facts.precisions:
        return f"int8 needs a quarter: edgeai compress MODEL --data DATA --precision int8 --device {profile.id}"
    return (
        "a smaller input, or narrower first layers: edgeai compress MODEL --data DATA --train-data TRAIN --prune always"
    )


def _fullest(facts: ModelFacts, plan: MemoryPlan) -> str:
    step = plan.fullest_step
    if step is None or step >= len(facts.operators):
        return ""
    operator = facts.operators[step]
    return f", most at {operator.name} {operator.label!r} (operator {step + 1} of {len(facts.operators)})"


def _plan_notes(facts: ModelFacts, plan: MemoryPlan | None) -> Iterator[str]:
    if plan is None:
        yield f"Memory was not planned: {facts.unplanned or 'no tensor needs any'}."
    else:
        yield (
            f"Memory: {plan.peak_bytes} bytes by a plan over the lives of tensors; what kernels take for themselves "
            "and what the engine keeps of the graph comes on top."
        )


def _kib(size: int) -> str:
    return f"{size / _MIB:.1f} MiB" if size >= _MIB else f"{size / _KIB:.1f} KiB"

"""The gate `coverage`: which share of a variant's operations runs on a device.

Two can tell. The engine, where a delegate of the device is on this machine, real or simulated: the variant is loaded
with that device required. The compiler of an accelerator, of what it compiled: it counts the operators that it took and
those that it left to the processor. Where neither tells, the gate does not hold: nothing is inferred from what a
profile says that a device could run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeai.builder.gate_result import GateDevice, GateResult, TargetResult
from edgeai_runtime.errors import EdgeAIError
from edgeai_runtime.manifest import Format

_MOST_NAMED = 5
_MOST_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """A share of operations on a device, who tells it, and the kinds of operations elsewhere."""

    share: float
    told_by: str
    left: tuple[str, ...] = ()


def judge_coverage(made: TargetResult, limit: float, *, device: GateDevice) -> GateResult:
    """Hold what covers least against a limit: of what was compiled for an accelerator, else of the bundle's variants.

    Args:
        made: what was made. Placements that it holds are used where they are enough already: what the runtime chose
            may not be what it can.
        limit: least share of operations, 0 to 1.
        device: where they must run.
    """
    shares = _by_compiler(made.compiled) if device == "npu" else {}
    for one in made.candidates if not shares else ():
        try:
            shares[str(one["id"])] = _by_engine(made, str(one["id"]), limit, device)
        except EdgeAIError as error:
            reason = f"{one['id']}: no operation is known to run on {device}: {_why(one['format'], device, error)}"
            return _result(made, limit, None, reason)
    if not shares:
        return _result(made, limit, None, "no artifact was made")
    worst = min(shares, key=lambda name: shares[name].share)
    value, left = shares[worst].share, shares[worst].left
    reason = f"{worst}: {value:.1%} of the operations run on {device} ({shares[worst].told_by})"
    reason += f", {limit:.1%} are asked for"
    if value < limit and left:
        more = f" and {len(left) - _MOST_NAMED} more" if len(left) > _MOST_NAMED else ""
        reason += f"; not there: {', '.join(left[:_MOST_NAMED])}{more}"
    return _result(made, limit, value, reason)


def measure_coverage(bundle: Path, variant: str, *, device: GateDevice) -> Coverage:
    """Load a variant on a device and return how much of it runs there.

    Raises:
        EdgeAIError: no delegate of the device is here or takes the variant; the message has the reasons.
    """
    from edgeai_runtime.delegates.probe import probe
    from edgeai_runtime.loading import load
    from edgeai_runtime.placement import Placement

    with load(bundle, placement=Placement(require=device), variant=variant, threads=1) as model:
        report = model.placement
        left = dict.fromkeys(one.op_type or one.name for one in report.operations if one.device != device)
        simulated = ", simulated" if probe(report.delegate).emulated else ""
        return Coverage(share=report.shares()[device], told_by=f"{report.delegate}{simulated}", left=tuple(left))


def _by_engine(made: TargetResult, variant: str, limit: float, device: GateDevice) -> Coverage:
    known = made.placements.get(variant, {}).get(device, 0.0)
    if known and known >= limit:
        return Coverage(share=known, told_by="its engine")
    return measure_coverage(made.bundle, variant, device=device)


def _by_compiler(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Coverage]:
    found = {}
    for output, report in reports.items():
        taken, left = report.get("operators_on_accelerator"), report.get("operators_on_cpu")
        if taken is not None and left is not None and taken + left:
            names = dict.fromkeys(str(one["operator"]) for one in report.get("left_on_cpu", ()))
            share = taken / (taken + left)
            found[output] = Coverage(share=share, told_by=str(report["compiler"]), left=tuple(names))
    return found


def _result(made: TargetResult, limit: float, value: float | None, reason: str) -> GateResult:
    ok = value is not None and value >= limit
    return GateResult(name="coverage", ok=ok, limit=limit, value=value, reason=reason, where=made.where)


def _why(format: Format, device: GateDevice, error: EdgeAIError) -> str:
    """Return in one line why no delegate took a variant: none is here, or what was said of those that are."""
    from edgeai_runtime.delegates.probe import probe
    from edgeai_runtime.delegates.table import DELEGATES
    from edgeai_runtime.engines.table import FORMAT_ENGINES

    engine = FORMAT_ENGINES[format]
    known = [name for name, spec in DELEGATES.items() if spec.engine == engine and spec.device == device]
    here = [name for name in known if probe(name).present]
    if not here:
        return f"none of {', '.join(known) or 'its delegates'} is here; `edgeai doctor` tells why"
    lines = [" ".join(line.split()) for line in error.message.splitlines()]
    words = "; ".join(line for line in lines if any(name in line for name in here)) or lines[0]
    return words if len(words) <= _MOST_CHARACTERS else f"{words[:_MOST_CHARACTERS]} …"

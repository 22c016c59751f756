"""The gate `coverage`: which share of a variant's operations runs on a device.

Two can tell. The engine, where a delegate of the device is on this machine, real or simulated: the variant is loaded
with that device required. The compiler of an accelerator, of what it compiled: it counts the operators that it took and
those that it left to the processor. Where neither tells, the gate does not hold: nothing is inferred from what a
profile says that a device could run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeai.builder.gate_result import GateDevice, GateResult, TargetResult
from edgeai_runtime.errors import EdgeAIError

_MOST_NAMED = 5


def judge_coverage(made: TargetResult, limit: float, *, device: GateDevice) -> GateResult:
    """Hold what covers least against a limit: of what was compiled for an accelerator, else of the bundle's variants.

    Args:
        made: what was made. Placements that it holds are used where they are enough already: what the runtime chose
            may not be what it can.
        limit: least share of operations, 0 to 1.
        device: where they must run.
    """
    told = _by_compiler(made.compiled) if device == "npu" else {}
    try:
        shares = told or {str(one["id"]): _by_engine(made, str(one["id"]), limit, device) for one in made.candidates}
    except EdgeAIError as error:
        return _result(made, limit, None, f"no operation is known to run on {device}: {_in_one_line(error.message)}")
    if not shares:
        return _result(made, limit, None, "no artifact was made")
    worst = min(shares, key=lambda name: shares[name][0])
    value, left = shares[worst]
    reason = f"{worst}: {value:.1%} of the operations run on {device}, {limit:.1%} are asked for"
    if value < limit and left:
        more = f" and {len(left) - _MOST_NAMED} more" if len(left) > _MOST_NAMED else ""
        reason += f"; not there: {', '.join(left[:_MOST_NAMED])}{more}"
    return _result(made, limit, value, reason)


def measure_coverage(bundle: Path, variant: str, *, device: GateDevice) -> tuple[float, tuple[str, ...]]:
    """Load a variant on a device; return its share of operations there, and the kinds of those elsewhere.

    Raises:
        EdgeAIError: no delegate of the device is here or takes the variant; the message has the reasons.
    """
    from edgeai_runtime.loading import load
    from edgeai_runtime.placement import Placement

    with load(bundle, placement=Placement(require=device), variant=variant, threads=1) as model:
        report = model.placement
        left = dict.fromkeys(one.op_type or one.name for one in report.operations if one.device != device)
        return report.shares()[device], tuple(left)


def _by_engine(made: TargetResult, variant: str, limit: float, device: GateDevice) -> tuple[float, tuple[str, ...]]:
    known = made.placements.get(variant, {}).get(device, 0.0)
    return (known, ()) if known and known >= limit else measure_coverage(made.bundle, variant, device=device)


def _by_compiler(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[float, tuple[str, ...]]]:
    found = {}
    for output, report in reports.items():
        taken, left = report.get("operators_on_accelerator"), report.get("operators_on_cpu")
        if taken is not None and left is not None and taken + left:
            names = dict.fromkeys(str(one["operator"]) for one in report.get("left_on_cpu", ()))
            found[f"{output}, by {report['compiler']}"] = (taken / (taken + left), tuple(names))
    return found


def _result(made: TargetResult, limit: float, value: float | None, reason: str) -> GateResult:
    ok = value is not None and value >= limit
    return GateResult(name="coverage", ok=ok, limit=limit, value=value, reason=reason, where=made.where)


def _in_one_line(message: str) -> str:
    return " ".join(message.split())

"""Decide which delegates are tried for a placement, in which order, and whether what came out satisfies it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from edgeai_runtime.delegates.table import DELEGATES, find_delegate
from edgeai_runtime.errors import PlacementError, UsageError
from edgeai_runtime.placement import FASTEST, Attempt, OperationPlacement, Placement, PlacementReport

DEVICES = ("cpu", "gpu", "npu")
_NO_CPU = "session.disable_cpu_ep_fallback"

#: What an artifact belongs to (a variant, or nothing for a bare file).
_Owner = TypeVar("_Owner")


def check_placement(placement: Placement) -> None:
    """Check the words and numbers of a placement.

    Raises:
        UsageError: a name that is neither a device nor of the form `engine:delegate`, or a coverage outside 0 to 1.
    """
    preferred = [name for name in placement.prefer if name != FASTEST]
    for name in (*([placement.require] if placement.require else []), *preferred, *(placement.allow or ())):
        if name not in DEVICES and ":" not in name:
            import difflib

            near = difflib.get_close_matches(name, (*DEVICES, *DELEGATES), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"devices: {', '.join(DEVICES)}; or a delegate's name"
            raise UsageError(f"{name!r} is neither a device nor a delegate", hint=hint)
    for field in ("min_coverage", "min_mac_coverage"):
        if not 0.0 <= getattr(placement, field) <= 1.0:
            raise UsageError(f"{field} is a share from 0 to 1. Received: {getattr(placement, field)}")


def order_delegates(
    candidates: Sequence[tuple[_Owner, str]], placement: Placement
) -> tuple[list[tuple[_Owner, str]], list[Attempt]]:
    """Sort candidates by `prefer` (ties keep their order) and skip those that may not or cannot be used.

    Args:
        candidates: pairs of an artifact's owner and a delegate's name, best first.
        placement: what is asked.

    Returns:
        The candidates to try, in order, and one attempt per skipped delegate with the reason.
    """
    kept: list[tuple[_Owner, str]] = []
    skipped: dict[str, Attempt] = {}
    for owner, name in candidates:
        reason = _why_not(name, placement)
        if reason:
            skipped[name] = Attempt(delegate=name, outcome="skipped", reason=reason)
        else:
            kept.append((owner, name))
    kept.sort(key=lambda candidate: _rank(candidate[1], placement.prefer))
    return kept, list(skipped.values())


def check_report(report: PlacementReport, placement: Placement) -> None:
    """Check that what the engine did with a loaded model satisfies the placement.

    Raises:
        PlacementError: too few operations on the device, or operations where they are not allowed.
    """
    total = sum(operation.count for operation in report.operations)
    wanted = placement.require or _device(report.delegate)
    count = sum(operation.count for operation in report.operations if _matches(operation, wanted))
    if (placement.require or placement.min_coverage) and (not count or count / total < placement.min_coverage):
        raise PlacementError(
            f"{report.delegate} runs {count} of {total} operations on {wanted} ({count / max(total, 1):.0%}); "
            f"at least {placement.min_coverage:.0%} are asked for. Left behind: {_left_behind(report, wanted)}",
            hint="lower min_coverage, or convert the model so that the device has all of its operations",
        )
    if placement.min_mac_coverage:
        _check_macs(report, wanted, placement.min_mac_coverage)
    if placement.allow is not None:
        outside = [o for o in report.operations if not any(_matches(o, name) for name in placement.allow)]
        if outside:
            first = outside[0]
            raise PlacementError(
                f"{sum(o.count for o in outside)} of {total} operations run outside {', '.join(placement.allow)}: "
                f"{first.op_type} on {first.delegate} ({first.device}){': ' + first.reason if first.reason else ''}",
                hint="allow that device or delegate too, or convert the model so that it is not needed",
            )


def engine_options(delegate: str, placement: Placement) -> dict[str, str]:
    """Return the options that the placement has for `delegate`.

    Where nothing may be left to the CPU, ONNX Runtime is told so, and its delegates then take what they would leave:
    QNN rounds the float inputs and outputs of a quantized model itself.
    """
    spec = find_delegate(delegate)
    own = dict(placement.options.get(delegate, {}))
    if spec is None or spec.device == "cpu" or _NO_CPU not in spec.options:
        return own
    allowed = placement.allow is None or any("cpu" in (name, _device(name)) for name in placement.allow)
    return own if allowed and placement.min_coverage < 1 else {_NO_CPU: "1", **own}


def placement_error(placement: Placement, attempts: Sequence[Attempt]) -> PlacementError:
    """Return the error for a placement that no delegate satisfied: one line per delegate, why not.

    Where one is required, or only some are allowed, those that were no candidates are listed too.
    """
    lines = {attempt.delegate: attempt.reason for attempt in attempts}
    engines = {attempt.delegate.partition(":")[0] for attempt in attempts}
    special = placement.require is not None or placement.allow is not None
    for name in DELEGATES if special else ():
        if name not in lines:
            lines[name] = _why_not(name, placement) or _why_no_candidate(name, engines)
    together: dict[str, list[str]] = {}
    for name, reason in lines.items():
        together.setdefault(reason, []).append(name)
    listing = "".join(f"\n  {', '.join(names)}: {reason}" for reason, names in together.items())
    if not special:
        return PlacementError(f"no delegate here can run this model as asked:{listing}")
    asked = f"{placement.require} is required" if placement.require else f"only {placement.allow} is allowed"
    return PlacementError(
        f"{asked}, and no delegate here satisfies that:{listing}",
        hint="prefer= instead of require= takes the best device there is; model.placement then says which",
    )


def _why_no_candidate(name: str, engines: Collection[str]) -> str:
    """Say why a delegate that would do was not among the candidates: of none of the model's `engines`, absent, or both.

    The hardware is asked only here, where nothing could be loaded and someone wants to know why.
    """
    from edgeai_runtime.delegates.probe import probe

    found = probe(name)
    reasons = [] if name.partition(":")[0] in engines else ["the model has no variant for it"]
    reasons += [] if found.present else [found.reason]
    return "; ".join(reasons) or "here, but used only when it is asked for by name"


def _why_not(name: str, placement: Placement) -> str:
    spec = find_delegate(name)
    if spec is None:
        return "this version of edgeai-runtime has no such delegate"
    names = (spec.name, spec.device)
    if placement.require and placement.require not in names:
        return f"runs on {spec.device}, not on {placement.require}"
    if placement.allow is not None and not any(allowed in names for allowed in placement.allow):
        return f"runs on {spec.device}; allowed: {', '.join(placement.allow) or 'nothing'}"
    return ""


def _check_macs(report: PlacementReport, wanted: str, least: float) -> None:
    shares = report.mac_shares()
    device = wanted if wanted in DEVICES else _device(wanted)
    share = None if shares is None else next((value for name, value in shares.items() if name == device), 0.0)
    if share is None or share < least:
        found = "an unknown share" if share is None else f"{share:.1%}"
        raise PlacementError(
            f"{report.delegate} runs {found} of the multiply-accumulates on {device}; {least:.1%} are asked for",
            hint="lower min_mac_coverage, or use min_coverage, which counts operations",
        )


def _rank(name: str, prefer: Sequence[str]) -> int:
    names = (name, _device(name))
    return next((index for index, wanted in enumerate(prefer) if wanted in names), len(prefer))


def _device(delegate: str) -> str:
    spec = find_delegate(delegate)
    return spec.device if spec is not None else "unknown"


def _matches(operation: OperationPlacement, wanted: str) -> bool:
    return wanted in (operation.device, operation.delegate)


def _left_behind(report: PlacementReport, wanted: str) -> str:
    left = [operation for operation in report.operations if not _matches(operation, wanted)]
    texts = [f"{o.op_type} ({o.reason or f'runs on {o.device}'})" for o in left[:3]]
    return ", ".join(texts) + (", …" if len(left) > 3 else "")

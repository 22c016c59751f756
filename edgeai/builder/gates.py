"""Judge what was made for a target by the gates of `edgeai.toml`: one verdict per limit that was set, none raised."""

from __future__ import annotations

from edgeai.builder.gate_result import GateResult, Gates, TargetResult


def judge(target_result: TargetResult, gates: Gates) -> tuple[GateResult, ...]:
    """Return a verdict for each limit that is set, in the order of the keys; nothing is raised for a broken one.

    Args:
        target_result: what was made.
        gates: what must hold of it.
    """
    results = []
    if gates.size_bytes is not None:
        results.append(_judge_size(target_result, gates.size_bytes))
    return tuple(results)


def _judge_size(made: TargetResult, limit: int) -> GateResult:
    sizes = {str(one["id"]): one["size_bytes"] for one in made.candidates if one.get("size_bytes") is not None}
    if not sizes:
        return GateResult(
            name="size", ok=False, limit=limit, value=None, reason="no artifact was made", where=made.where
        )
    largest = max(sizes, key=lambda one: sizes[one])
    value = sizes[largest]
    reason = f"{largest} has {value} bytes, {limit} are allowed"
    return GateResult(name="size", ok=value <= limit, limit=limit, value=value, reason=reason, where=made.where)

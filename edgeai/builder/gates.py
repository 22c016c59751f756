"""Judge what was made for a target by the gates of `edgeai.toml`: one verdict per limit that was set, none raised.

Size, latency, memory and accuracy are judged by what `compress` measured of each variant, on the machine that built
it. Where operations run (`gate_coverage.py`) and the comparison with a release (`gate_release.py`) are measured when
they are asked for. Every variant of the bundle must keep a limit; what was not measured does not keep it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgeai.builder.gate_result import Accuracy, GateResult, Gates, TargetResult

Candidate = Mapping[str, Any]

_RANKS = ("violated", "unproven", "certified")
_NOTHING = "no artifact was made"


def judge(target_result: TargetResult, gates: Gates) -> tuple[GateResult, ...]:
    """Return a verdict for each limit that is set, in the order of the keys; nothing is raised for a broken one.

    Args:
        target_result: what was made.
        gates: what must hold of it.
    """
    made, results = target_result, []
    if gates.size_bytes is not None:
        results.append(_judge_largest(made, "size", gates.size_bytes, lambda one: one["size_bytes"], _size_words))
    if gates.latency_ms is not None:
        results.append(_judge_largest(made, "latency", gates.latency_ms, _median_ms, _time_words))
    if gates.latency_ratio is not None:
        results.append(_judge_largest(made, "latency", gates.latency_ratio, _share_of_float, _share_words))
    if gates.memory_mib is not None:
        peak = gates.memory_mib
        results.append(_judge_largest(made, "memory", peak, lambda one: one["peak_memory_mib"], _memory_words))
    if gates.accuracy is not None:
        results.append(_judge_accuracy(made, gates.accuracy))
    if gates.coverage is not None:
        from edgeai.builder.gate_coverage import judge_coverage

        results.append(judge_coverage(made, gates.coverage, device=gates.coverage_device))
    if gates.not_slower_than is not None:
        from edgeai.builder.gate_release import judge_not_slower

        results.append(judge_not_slower(made, gates.not_slower_than, limit=gates.slower_limit))
    return tuple(results)


def _judge_largest(
    made: TargetResult,
    name: str,
    limit: float,
    value_of: Callable[[Candidate], float | None],
    words: Callable[[Candidate, float, float], str],
) -> GateResult:
    """Hold the largest value of all variants against a limit."""
    found: dict[str, float] = {}
    for one in made.candidates:
        value = value_of(one)
        if value is None:
            return _unknown(made, name, limit, f"{one['id']}: the {name} was not measured")
        found[str(one["id"])] = value
    if not found:
        return _unknown(made, name, limit, _NOTHING)
    worst = max(made.candidates, key=lambda one: found[str(one["id"])])
    value = found[str(worst["id"])]
    reason = f"{worst['id']} {words(worst, value, limit)}"
    return GateResult(name=name, ok=value <= limit, limit=limit, value=value, reason=reason, where=made.where)


def _judge_accuracy(made: TargetResult, limit: Accuracy) -> GateResult:
    """Hold the worst verdict of all certificates against the one that is asked for."""
    for one in made.candidates:
        if not one["n"] or one["split"] != "certification":
            return _unknown(made, "accuracy", limit, f"{one['id']}: nothing was certified; a model needs `data` for it")
    if not made.candidates:
        return _unknown(made, "accuracy", limit, _NOTHING)
    worst = min(made.candidates, key=lambda one: (_RANKS.index(one["verdict"]), -one["drop"]))
    verdict = str(worst["verdict"])
    reason = f"{worst['id']}: {_claim_words(worst, made.document.get('budget') or {})}"
    ok = _RANKS.index(verdict) >= _RANKS.index(limit)
    return GateResult(name="accuracy", ok=ok, limit=limit, value=verdict, reason=reason, where=made.where)


def _unknown(made: TargetResult, name: str, limit: float | str, reason: str) -> GateResult:
    return GateResult(name=name, ok=False, limit=limit, value=None, reason=reason, where=made.where)


def _median_ms(one: Candidate) -> float | None:
    median: float | None = one["latency_ms"]["median"]
    return median


def _share_of_float(one: Candidate) -> float | None:
    """Return the time as a share of float's: both were called in turns, in the same engine."""
    speedup = one["speedup_vs_float"]
    return 1 / speedup if speedup else None


def _size_words(one: Candidate, value: float, limit: float) -> str:
    return f"has {value} bytes, {limit} are allowed"


def _time_words(one: Candidate, value: float, limit: float) -> str:
    low, high = one["latency_ms"]["median_ci95"]
    words = f"takes {value:.4g} ms (95 %: {low:.4g} to {high:.4g}), {limit:.4g} ms are allowed"
    return words + _open_words(low, value, limit)


def _share_words(one: Candidate, value: float, limit: float) -> str:
    low, high = (1 / bound for bound in reversed(one["speedup_ci95"]))
    words = f"takes {value:.1%} of float's time (95 %: {low:.1%} to {high:.1%}), {limit:.1%} are allowed"
    return words + _open_words(low, value, limit)


def _open_words(low: float, value: float, limit: float) -> str:
    """Say that a time beyond its limit may be within: it is kept with the artifact, and measured again on demand."""
    return "; the interval leaves it open, and --force measures again" if low <= limit < value else ""


def _memory_words(one: Candidate, value: float, limit: float) -> str:
    return f"takes {value:.1f} MiB more while it is loaded and run, {limit:.1f} MiB are allowed"


def _claim_words(one: Candidate, budget: Mapping[str, Any]) -> str:
    low, high = one["drop_ci95"]
    words = (
        f"{one['verdict']}: {one['metric']} drops by {one['drop']:.2%} (95 %: {low:.2%} to {high:.2%}, n={one['n']})"
    )
    if budget.get("max_drop") is not None:
        words += f", {budget['max_drop']:.2%} are allowed"
    if one["verdict"] == "unproven" and one.get("samples_needed"):
        words += f"; about {one['samples_needed']} samples would decide"
    return words

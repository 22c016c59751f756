"""Two stored results compared run by run, and the decision whether something became slower.

Two files were not measured in turns: between them lie another process (its memory at other addresses), another clock,
other neighbours. That the median of a run is known to 0.1 % says nothing about how far the next session will be from
it, so the interval of the ratio is made of what sessions differ by, not of what calls differ by:

- **drift**: each run's rounds are cut into blocks in the order of time. How far the blocks' medians lie from each
  other is how far the machine wanders while one measures. It is *not* divided by the number of blocks, as it would be
  if they were independent draws: what makes a machine wander (clock, heat, neighbours) changes slowly, and two sessions
  are at least as far apart as two blocks of one.
- **between processes**: what is constant within a process and another in the next, `BETWEEN_PROCESSES`, measured by
  `benchmarks/same_file_comparison.py`.

Logarithms of times are compared, the parts add as variances, and few blocks are paid for with Student's t (degrees of
freedom after Welch–Satterthwaite). A session that was disturbed from its begin to its end looks calm and can not be
told from a slow model: what is known of the machine stands in `note`, and comparing in one session is always better.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeai.benchmarking.result import PairComparison, Verdict
from edgeai_runtime.bench.statistics import CONFIDENCE
from edgeai_runtime.errors import UsageError

BETWEEN_PROCESSES = 0.015
"""Standard deviation of the logarithm of the ratio of one file to itself in another process, drift apart."""

BLOCKS = 10
_ROUNDS_PER_BLOCK = 3

MACHINE_KEYS = ("cpu", "architecture", "isa", "cores", "usable_cores", "governor", "os", "python")
"""What of a machine changes latencies and may not differ unnoticed; load and temperature differ always."""

_ENGINE_PACKAGES = {"litert": "ai-edge-litert", "onnxruntime": "onnxruntime", "openvino": "openvino"}

_Key = tuple[str, str, str, int, int, str]


def compare_stored(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[PairComparison, ...]:
    """Compare the runs that two results share: same artifact, format, delegate, threads, batch and scenario.

    An artifact is known by its file name, or by its whole path where a result holds that name twice. When nothing
    matches but each result holds one run alone, these two are compared.

    Args:
        old, new: documents as `edgeai.benchmarking.stored.read_report` returns them.

    Returns:
        In the order of `new`; `ratio` is new time divided by old time, so `slower` means that it became slower.

    Raises:
        UsageError: they share no run.
    """
    pairs = _pairs(old["runs"], new["runs"])
    if not pairs:
        named = "; ".join(f"{word}: {', '.join(_told(document['runs']))}" for word, document in _both(old, new))
        raise UsageError(f"The two results share no run. {named}", hint="Measure the same artifacts, in the same way.")
    machine = _machine_notes(old, new)
    return tuple(_compare(before, after, [*_run_notes(before, after, old, new), *machine]) for before, after in pairs)


def unmatched(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Return one line per run that only one of two results holds: a comparison says nothing about these."""
    pairs = _pairs(old["runs"], new["runs"])
    lines = []
    for place, (word, document) in enumerate(_both(old, new)):
        seen = {id(pair[place]) for pair in pairs}
        lines += [f"only in the {word} result: {label(run)}" for run in document["runs"] if id(run) not in seen]
    return tuple(lines)


def slower_than(comparisons: Iterable[PairComparison], limit: float) -> tuple[str, ...]:
    """Return one line per comparison that proves `a` slower than `b` by more than `limit` (0.05: 5 %).

    Proven means that the whole interval lies beyond the limit; see `unproven_slower` for the rest.

    Raises:
        UsageError: the limit is negative or no number.
    """
    bound = 1.0 + _checked_limit(limit)
    return tuple(_line(one, limit) for one in comparisons if one.ci95[0] > bound)


def unproven_slower(comparisons: Iterable[PairComparison], limit: float) -> tuple[str, ...]:
    """Return one line per comparison whose ratio is beyond the limit while its interval is not: no failure, a hint.

    Raises:
        UsageError: the limit is negative or no number.
    """
    bound = 1.0 + _checked_limit(limit)
    return tuple(f"unproven: {_line(one, limit)}" for one in comparisons if one.ratio > bound >= one.ci95[0])


def label(run: Mapping[str, Any]) -> str:
    """Return what a run is called in comparisons: its label, or its artifact where an older file has none."""
    return str(run.get("label") or run["artifact"])


def _checked_limit(limit: float) -> float:
    if not limit >= 0 or not math.isfinite(limit):
        raise UsageError(f"A limit is a share that is not negative, such as 0.05 for 5 %. Received: {limit}")
    return limit


def _line(one: PairComparison, limit: float) -> str:
    low, high = one.ci95
    name = one.a if one.a == one.b else f"{one.a} against {one.b}"
    note = f" ({one.note})" if one.note else ""
    return f"{name}: {one.ratio:.3f} times as long, 95 % [{low:.3f}, {high:.3f}], limit {1.0 + limit:.3f}{note}"


def _both(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    return (("old", old), ("new", new))


def _told(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{label(run)} ({run['format']}, {run['delegate']}, {run['threads']} threads)" for run in runs]


def _pairs(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    short = all(_is_unique(_key(run, short=True) for run in runs) for runs in (old, new))
    known: dict[tuple[_Key, int], Mapping[str, Any]] = dict(_numbered(old, short=short))
    pairs = [(known[key], run) for key, run in _numbered(new, short=short) if key in known]
    return [(old[0], new[0])] if not pairs and len(old) == len(new) == 1 else pairs


def _numbered(runs: Sequence[Mapping[str, Any]], *, short: bool) -> list[tuple[tuple[_Key, int], Mapping[str, Any]]]:
    """Return the runs with their keys; what is measured twice in one result is matched in order."""
    seen: Counter[_Key] = Counter()
    numbered = []
    for run in runs:
        key = _key(run, short=short)
        numbered.append(((key, seen[key]), run))
        seen[key] += 1
    return numbered


def _key(run: Mapping[str, Any], *, short: bool) -> _Key:
    path = str(run["artifact"]).replace("\\", "/")
    artifact = path.rsplit("/", 1)[-1] if short else path
    return artifact, run["format"], run["delegate"], run["threads"], run["batch"], run["scenario"]


def _is_unique(keys: Iterable[_Key]) -> bool:
    return all(count == 1 for count in Counter(keys).values())


@dataclass(frozen=True, kw_only=True)
class _Level:
    """Logarithm of a run's median call, the variance of that by drift, and the degrees of freedom behind it."""

    log_ms: float
    variance: float
    freedom: float


def _level(run: Mapping[str, Any]) -> _Level:
    rounds = np.log(np.maximum(np.asarray(run["rounds_ms"], dtype=np.float64), 1e-9))
    count = min(BLOCKS, len(rounds) // _ROUNDS_PER_BLOCK)
    if count < 3:
        return _level_by_interval(run)
    blocks = np.array([np.median(block) for block in np.array_split(rounds, count)])
    return _Level(log_ms=float(np.median(rounds)), variance=float(np.var(blocks, ddof=1)), freedom=count - 1.0)


def _level_by_interval(run: Mapping[str, Any]) -> _Level:
    """Return the level of a run whose rounds are not in the file: by its median's interval, as if half were drift."""
    latency = run["latency_ms"]
    low, high = (math.log(max(bound, 1e-9)) for bound in latency["median_ci95"])
    return _Level(log_ms=math.log(max(latency["median"], 1e-9)), variance=((high - low) / 2) ** 2, freedom=2.0)


def log_ratio(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[float, float]:
    """Return the logarithm of the ratio of two runs' times and half the width of its 95 % interval."""
    from scipy import stats

    levels = _level(before), _level(after)
    fixed = BETWEEN_PROCESSES**2
    total = fixed + sum(one.variance for one in levels)
    spent = sum(one.variance**2 / one.freedom for one in levels)
    freedom = total**2 / spent if spent else math.inf
    factor = float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom))
    return levels[1].log_ms - levels[0].log_ms, factor * math.sqrt(total)


def _compare(before: Mapping[str, Any], after: Mapping[str, Any], notes: Sequence[str]) -> PairComparison:
    middle, half = log_ratio(before, after)
    verdict: Verdict = "faster" if middle + half < 0 else "slower" if middle - half > 0 else "no_difference"
    return PairComparison(
        a=label(after),
        b=label(before),
        ratio=math.exp(middle),
        ci95=(math.exp(middle - half), math.exp(middle + half)),
        verdict=verdict,
        how="stored",
        note="; ".join(notes),
    )


def _run_notes(
    before: Mapping[str, Any], after: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[str]:
    notes = []
    if label(before) != label(after) and _key(before, short=True) != _key(after, short=True):
        notes.append("two different artifacts or settings")
    if before["ran_on"] != after["ran_on"]:
        notes.append(f"ran on {before['ran_on']} before, on {after['ran_on']} now")
    for word, run in (("old", before), ("new", after)):
        noise = run["noise"]
        if noise and noise["noisy"]:
            notes.append(f"the {word} run was noisy: {noise['reason']}")
        if len(run["rounds_ms"]) < 3 * _ROUNDS_PER_BLOCK:
            notes.append(f"the {word} run holds too few rounds to tell its drift")
    if before["digest"] and before["digest"] == after["digest"]:
        notes.append("the file is the same")
    versions = before["engine_version"], after["engine_version"]
    if all(versions) and versions[0] != versions[1]:
        notes.append(f"{after['engine']} {versions[0]} before, {versions[1]} now")
    return [*notes, *_version_notes(old, new, {before["engine"], after["engine"]})]


def _version_notes(old: Mapping[str, Any], new: Mapping[str, Any], engines: set[str]) -> list[str]:
    """Return the packages whose versions differ, without the engines that these runs did not use."""
    first, second = old["tools"] or {}, new["tools"] or {}
    foreign = {package for engine, package in _ENGINE_PACKAGES.items() if engine not in engines}
    names = [name for name in first if name in second and name not in foreign and first[name] != second[name]]
    return [f"{name} {first[name]} before, {second[name]} now" for name in names]


def _machine_notes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    first, second = old["machine"], new["machine"]
    return [
        f"another {key}: {first.get(key, 'unknown')} before, {second.get(key, 'unknown')} now"
        for key in MACHINE_KEYS
        if first.get(key, "unknown") != second.get(key, "unknown")
    ]

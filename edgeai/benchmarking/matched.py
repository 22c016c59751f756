"""Which run of one stored result belongs to which of another, and what else changed between the two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgeai.benchmarking.result import EMULATED
from edgeai.benchmarking.spec import ENGINE_NAMES

MACHINE_KEYS = ("cpu", "architecture", "isa", "cores", "usable_cores", "governor", "os", "python")
"""What of a machine changes latencies and may not differ unnoticed; load and temperature differ always."""

_OF_PROCESSOR = ("isa", "architecture", "cores", "usable_cores")
"""What follows from another processor needs no word of its own."""

RunDict = Mapping[str, Any]
_Key = tuple[str, str, str, int, int, str]


def match_runs(old: Sequence[RunDict], new: Sequence[RunDict]) -> list[tuple[RunDict, RunDict]]:
    """Return the runs that two results share, (old, new) in the order of `new`.

    A run is known by its artifact, format, delegate, threads, batch and scenario; an artifact by its file name (and
    variant), or by its whole path where a result holds that name twice. When nothing matches but each result holds one
    run alone, these two are a pair.
    """
    short = all(_is_unique(_key(run, short=True) for run in runs) for runs in (old, new))
    known = dict(_numbered(old, short=short))
    pairs = [(known[key], run) for key, run in _numbered(new, short=short) if key in known]
    return [(old[0], new[0])] if not pairs and len(old) == len(new) == 1 else pairs


def are_alike(before: RunDict, after: RunDict) -> bool:
    """Say whether two runs have the same file name and settings."""
    return _key(before, short=True) == _key(after, short=True)


def run_label(run: RunDict) -> str:
    """Return what a run is called in comparisons: its label, or its artifact where a file has none."""
    return str(run["label"] or run["artifact"])


def run_notes(before: RunDict, after: RunDict) -> list[str]:
    """Return what a reader must know of two runs beside their times: other place, noise, other engine, same file."""
    notes = [] if are_alike(before, after) else ["two different artifacts or settings"]
    if before["ran_on"] != after["ran_on"]:
        notes.append(f"ran on {before['ran_on']} before, on {after['ran_on']} now")
    if before["emulated"] or after["emulated"]:
        notes.append(f"{after['delegate']} was simulated: {EMULATED}")
    for word, run in (("old", before), ("new", after)):
        if run["noise"] and run["noise"]["noisy"]:
            notes.append(f"the {word} run was noisy: {run['noise']['reason']}")
    if before["digest"] and before["digest"] == after["digest"]:
        notes.append("the file is the same")
    versions = before["engine_version"], after["engine_version"]
    if all(versions) and versions[0] != versions[1]:
        notes.append(f"{after['engine']} {versions[0]} before, {versions[1]} now")
    return notes


def machine_notes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs between the machines and the tools of two results, the engines apart."""
    tools = old["tools"] or {}, new["tools"] or {}
    names = [name for name, version in tools[0].items() if tools[1].get(name, version) != version]
    own = [name for name in names if name not in (*ENGINE_NAMES, "python")]
    notes = [f"{name} {tools[0][name]} before, {tools[1][name]} now" for name in own]
    machines = old["machine"], new["machine"]
    changed = [key for key in MACHINE_KEYS if _value(machines[0], key) != _value(machines[1], key)]
    if "cpu" in changed or "architecture" in changed:
        notes.append("measured on two machines")
        changed = [key for key in changed if key not in _OF_PROCESSOR]
    return notes + [
        f"another {key}: {_value(machines[0], key)} before, {_value(machines[1], key)} now" for key in changed
    ]


def _value(machine: Mapping[str, Any], key: str) -> str:
    return str(machine.get(key, "unknown"))


def _numbered(runs: Sequence[RunDict], *, short: bool) -> list[tuple[tuple[_Key, int], RunDict]]:
    """Return the runs with their keys; what is measured twice in one result is matched in order."""
    seen: Counter[_Key] = Counter()
    numbered = []
    for run in runs:
        key = _key(run, short=short)
        numbered.append(((key, seen[key]), run))
        seen[key] += 1
    return numbered


def _key(run: RunDict, *, short: bool) -> _Key:
    path = str(run["artifact"]).replace("\\", "/")
    artifact = path.rsplit("/", 1)[-1] if short else path
    return artifact, run["format"], run["delegate"], run["threads"], run["batch"], run["scenario"]


def _is_unique(keys: Iterable[_Key]) -> bool:
    return all(count == 1 for count in Counter(keys).values())

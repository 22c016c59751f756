"""Find out which delegate, with how many threads, is fastest on this machine: once, within a time budget, remembered.

Everything is timed in one child process (`autotune_child.py`), so that no engine stays behind in the app. When that
does not survive, each delegate is measured in a process of its own: one that crashes does not cost the others their
times. The result is kept in the cache for the same artifact, candidates, engines, drivers, processor and number of
usable cores.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_runtime.cache import cache_folder
from edgeai_runtime.delegates.choose import order_delegates
from edgeai_runtime.delegates.table import find_delegate
from edgeai_runtime.errors import EdgeAIError, UsageError
from edgeai_runtime.placement import FASTEST, Attempt, Timing

if TYPE_CHECKING:
    from edgeai_runtime.bundle import Bundle
    from edgeai_runtime.loading import Choice, Loader

_LOGGER = logging.getLogger(__name__)

#: How long measuring may take, in seconds, opening the candidates not counted in.
BUDGET_VARIABLE = "EDGEAI_AUTOTUNE_S"
_BUDGET_S = 5.0


def put_fastest_first(
    loader: Loader, candidates: Sequence[tuple[Choice, str]]
) -> tuple[list[tuple[Choice, str]], tuple[Timing, ...]]:
    """Return the candidates ordered by measured speed, with their numbers of threads, and what was measured.

    With `threads="auto"` alone, only the numbers of threads of the first candidate that can be used are compared.
    """
    usable, refused = _usable(loader, candidates)
    if FASTEST not in loader.asked.prefer:
        usable = usable[:1]
    entries = [
        {"variant": str(choice), "delegate": delegate, "threads": threads, "options": options}
        for choice, delegate, options in usable
        for threads in _thread_counts(loader, delegate)
    ]
    measured = (*_measured(loader, entries), *refused) if len(entries) > 1 else ()
    best: dict[tuple[str, str], int] = {}
    for timing in measured:
        if timing.median_ms is not None:
            best.setdefault((timing.variant, timing.delegate), timing.threads)
    by_name = {(str(choice), delegate): (choice, delegate) for choice, delegate in candidates}
    ranked = [
        (dataclasses.replace(by_name[name][0], threads=threads), name[1])
        for name, threads in best.items()
        if name in by_name
    ]
    return [*ranked, *(one for name, one in by_name.items() if name not in best)], tuple(measured)


def _usable(
    loader: Loader, candidates: Sequence[tuple[Choice, str]]
) -> tuple[list[tuple[Choice, str, dict[str, str]]], list[Timing]]:
    """Return the candidates that the placement allows and whose numbers are right, with the options for that."""
    ordered, _ = order_delegates(candidates, loader.asked)
    usable, refused = [], []
    for choice, delegate in ordered:
        attempts: list[Attempt] = []
        try:
            options, _used = loader.check(choice, delegate, attempts)
        except EdgeAIError as error:
            refused.append(Timing(delegate=delegate, threads=0, variant=str(choice), how=error.message))
            continue
        usable.append((choice, delegate, options))
    return usable, refused


def _thread_counts(loader: Loader, delegate: str) -> list[int]:
    """Return the numbers of threads to try: one for accelerators, and for a number that was asked for as it is."""
    from edgeai_runtime.cores import thread_counts

    spec = find_delegate(delegate)
    if spec is None or spec.device != "cpu":
        return [loader.most_threads]
    return thread_counts(loader.most_threads)


def _measured(loader: Loader, entries: list[dict[str, Any]]) -> tuple[Timing, ...]:
    """Return the timings of `entries`, fastest first, from the cache or from a child process."""
    from edgeai_runtime.atomic import write_atomically
    from edgeai_runtime.encryption import child_environment

    digest = _digest(loader.path, loader.bundle)
    file = _folder(digest) / f"{_key(digest, entries)}.json"
    kept = _read(file)
    if kept is not None:
        return kept
    request = {
        "path": str(loader.path.absolute()),
        "digest": digest,
        "entries": entries,
        "budget_s": budget_s(),
        "environment": child_environment(loader.bundle),
    }
    found = {"measured": _measure_apart(request)}
    if all(one["median_ms"] is None for one in found["measured"]):  # nothing is known: the order of preference stays
        return ()
    try:
        write_atomically(file, json.dumps(found).encode())
    except EdgeAIError as error:
        _LOGGER.debug("measurement not kept: %s", error)
    return tuple(Timing(**timing) for timing in found["measured"])


def _measure_apart(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the timings of the entries of a request to `autotune_child.measure`, made in a child process.

    When that does not survive, each delegate is measured in a process of its own, and those that survive it together
    again. What is lost has no time, and says why.
    """
    try:
        return _measure_in_child(request)
    except EdgeAIError as error:
        _LOGGER.warning("measuring each delegate for itself: %s", error.message)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in request["entries"]:
        groups.setdefault((entry["variant"], entry["delegate"]), []).append(entry)
    alone: list[dict[str, Any]] = []
    lost: list[dict[str, Any]] = []
    good: list[dict[str, Any]] = []
    for (variant, delegate), group in groups.items():
        try:
            alone += _measure_in_child({**request, "entries": group, "budget_s": request["budget_s"] / len(groups)})
            good += group
        except EdgeAIError as error:
            lost.append(dataclasses.asdict(Timing(delegate=delegate, threads=0, variant=variant, how=error.message)))
    if lost and len(groups) - len(lost) > 1:
        with contextlib.suppress(EdgeAIError):
            return _measure_in_child({**request, "entries": good}) + lost
    return sorted(alone, key=lambda one: (one["median_ms"] is None, one["median_ms"])) + lost


def _measure_in_child(request: dict[str, Any]) -> list[dict[str, Any]]:
    from edgeai_runtime.isolation import call_in_child

    limit, what = 60 + 10 * request["budget_s"], f"measuring {request['path']}"
    found = call_in_child("edgeai_runtime.autotune_child:measure", request, timeout_s=limit, what=what)
    return list(found["measured"])


def _read(file: Path) -> tuple[Timing, ...] | None:
    try:
        return tuple(Timing(**timing) for timing in json.loads(file.read_bytes())["measured"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def forget_measurements(path: Path) -> None:
    """Delete what was measured of the bundle or artifact `path`, so that its next use measures again."""
    from edgeai_runtime.bundle import is_bundle, open_bundle

    digest = _digest(path, open_bundle(path) if is_bundle(path) else None)
    for file in _folder(digest).glob("*.json"):
        with contextlib.suppress(OSError):
            file.unlink()


def _folder(digest: str) -> Path:
    return cache_folder() / "fastest" / digest[:40]


def _digest(path: Path, bundle: Bundle | None) -> str:
    return bundle.digest if bundle is not None else hashlib.sha256(path.read_bytes()).hexdigest()


def _key(digest: str, entries: Sequence[Mapping[str, Any]]) -> str:
    from edgeai_runtime import __version__
    from edgeai_runtime.bench.machine import describe_machine
    from edgeai_runtime.first_use import driver_of
    from edgeai_runtime.installed import engine_version

    specs = [spec for name in sorted({entry["delegate"] for entry in entries}) if (spec := find_delegate(name))]
    versions = [(engine_version(spec.engine), driver_of(spec.name)) for spec in specs]
    machine = describe_machine()
    facts = [digest, entries, versions, machine["cpu"], machine["isa"], machine["usable_cores"], __version__]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:40]


def budget_s() -> float:
    """Return how long measuring may take, in seconds: `$EDGEAI_AUTOTUNE_S`, else five.

    Raises:
        UsageError: the variable is not a number above zero.
    """
    text = os.environ.get(BUDGET_VARIABLE, "")
    try:
        budget = float(text or _BUDGET_S)
    except ValueError:
        budget = 0.0
    if not budget > 0:
        raise UsageError(f"{BUDGET_VARIABLE} is a number of seconds. Received: {text!r}")
    return budget

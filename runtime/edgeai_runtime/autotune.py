"""Find out which delegate, with how many threads, is fastest on this machine: once, within a time budget, remembered.

Everything is timed in one child process, so that no engine stays behind in the app and a crash costs nothing. First
each candidate is looked at for a few calls; those that can still win are then timed interleaved
(`bench/loop.py`). Whatever is not measurably slower than the best is a tie, and a tie goes to the CPU, then to fewer
threads, then to the order of preference. The result is kept in the cache for the same artifact, candidates, engines,
drivers, processor and number of usable cores.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_runtime.cache import cache_folder
from edgeai_runtime.delegates.choose import FASTEST, order_delegates
from edgeai_runtime.delegates.table import find_delegate
from edgeai_runtime.errors import EdgeAIError, UsageError
from edgeai_runtime.placement import Attempt, Timing

if TYPE_CHECKING:
    from edgeai_runtime.bundle import Bundle
    from edgeai_runtime.loading import Choice, Loader
    from edgeai_runtime.model import Model

_LOGGER = logging.getLogger(__name__)
_Opener = Callable[[dict[str, Any]], "tuple[Model, Callable[[], object]]"]

#: How long measuring may take, in seconds, opening the candidates not counted in.
BUDGET_VARIABLE = "EDGEAI_AUTOTUNE_S"
_BUDGET_S = 5.0
_MAY_STILL_WIN = 1.5  # times the best of the first look: the first look is off by less than that
_FINALISTS = 6
_LOOK_S = 0.05
_OPENING = 6.0  # times the budget: so long may opening take, on top of it
_ROUNDS = 9


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


def measure(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run in the child: time the entries of the request, fastest first in the answer."""
    entries: list[dict[str, Any]] = request["entries"]
    open_entry = _opener(Path(request["path"]), request["digest"])
    budget_s = request["budget_s"]
    opening_s = looking_s = 0.0
    times: dict[int, float] = {}
    said: dict[int, str] = {}
    for index, entry in enumerate(entries):
        if times and (looking_s > 0.5 * budget_s or opening_s > _OPENING * budget_s):
            said[index] = "not measured: the time was up"
            continue
        start = opened = time.monotonic()
        try:
            model, call = open_entry(entry)
            opened = time.monotonic()
            times[index], said[index] = _look(call), "looked at"
            model.close()
        except EdgeAIError as error:
            said[index] = error.message
        opening_s += opened - start
        looking_s += time.monotonic() - opened
    left_s = max(budget_s - looking_s, 0.2 * budget_s)
    finalists = _finalists(times, left_s)
    ties = set(finalists)
    if len(finalists) > 1:
        compared, ties = _compare([entries[index] for index in finalists], open_entry, left_s)
        times |= dict(zip(finalists, compared, strict=True))
        ties = {finalists[place] for place in ties}
        said |= dict.fromkeys(finalists, "compared")
    ranked = sorted(ties, key=lambda index: _simplicity(entries[index], index))
    ranked += sorted(set(times) - ties, key=times.__getitem__)
    ranked += [index for index in range(len(entries)) if index not in times]
    facts = [{name: entries[index][name] for name in ("variant", "delegate", "threads")} for index in ranked]
    return {
        "measured": [
            {**fact, "median_ms": times.get(index), "how": said[index]}
            for fact, index in zip(facts, ranked, strict=True)
        ]
    }


def _finalists(times: Mapping[int, float], left_s: float) -> list[int]:
    """Return which entries can still win, best first, as many as `left_s` seconds are enough to compare."""
    order = sorted(times, key=times.__getitem__)
    kept = [index for index in order if times[index] <= _MAY_STILL_WIN * times[order[0]]][:_FINALISTS]
    while len(kept) > 1 and sum(times[index] for index in kept) * 1e-3 * _ROUNDS > left_s:
        kept.pop()
    return kept


def _compare(entries: Sequence[dict[str, Any]], open_entry: _Opener, duration_s: float) -> tuple[list[float], set[int]]:
    """Return the medians of `entries`, timed interleaved, and which of them are not measurably slower than the best."""
    from edgeai_runtime.bench.loop import interleave
    from edgeai_runtime.bench.statistics import compare, summarize

    opened = [open_entry(entry) for entry in entries]
    calls = {str(place): call for place, (_, call) in enumerate(opened)}
    samples = interleave(calls, duration_s=duration_s, min_rounds=_ROUNDS, warmup_s=_LOOK_S)
    medians = [summarize(samples[name]).median_ms for name in calls]
    best = samples[str(medians.index(min(medians)))]
    return medians, {place for place in range(len(medians)) if compare(best, samples[str(place)]).verdict != "faster"}


def _look(call: Callable[[], object]) -> float:
    """Return the median of a few calls in milliseconds, the first one not counted."""
    call()
    times: list[float] = []
    end = time.perf_counter() + _LOOK_S
    while not times or (time.perf_counter() < end and len(times) < 1000):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)[len(times) // 2]


def _opener(path: Path, digest: str) -> _Opener:
    """Return a function that opens an entry and returns the model and a call of it on one sample."""
    from edgeai_runtime.bundle import is_bundle, open_bundle
    from edgeai_runtime.device_cli_inputs import draw_inputs
    from edgeai_runtime.engines.table import get_engine
    from edgeai_runtime.model import Model

    bundle: Bundle | None = open_bundle(path, digest=digest) if is_bundle(path) else None
    golden = bundle.golden_inputs() if bundle is not None and bundle.manifest.golden else {}

    def open_entry(entry: dict[str, Any]) -> tuple[Model, Callable[[], object]]:
        spec = find_delegate(entry["delegate"])
        assert spec is not None, "delegates without a spec are skipped before"
        variant = None
        if bundle is not None:
            (variant,) = [one for one in bundle.manifest.variants if one.id == entry["variant"]]
        session = get_engine(spec.engine).open(
            bundle.file(variant.files[0]) if bundle is not None and variant is not None else path,
            delegate=spec.name,
            threads=entry["threads"],
            options=entry["options"],
        )
        model = Model(session, variant=variant, bundle=bundle, threads=entry["threads"])
        arrays = model.preprocess({k: v[:1] for k, v in golden.items()}) if golden else draw_inputs(model.inputs)
        return model, functools.partial(model.run_raw, arrays)

    return open_entry


def _simplicity(entry: Mapping[str, Any], index: int) -> tuple[bool, int, int]:
    """Return what decides a tie: the CPU first, then fewer threads, then the order of preference."""
    spec = find_delegate(entry["delegate"])
    return spec is None or spec.device != "cpu", entry["threads"], index


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
    from edgeai_runtime.isolation import call_in_child

    digest = _digest(loader.path, loader.bundle)
    file = _folder(digest) / f"{_key(digest, entries)}.json"
    kept = _read(file)
    if kept is not None:
        return kept
    budget = budget_s()
    request = {"path": str(loader.path.absolute()), "digest": digest, "entries": entries, "budget_s": budget}
    try:
        found = call_in_child(
            "edgeai_runtime.autotune:measure", request, timeout_s=60 + 10 * budget, what=f"measuring {loader.path}"
        )
    except EdgeAIError as error:  # nothing is known, so the order of preference stays
        _LOGGER.warning("nothing could be measured, so the first choice is used: %s", error.message)
        return ()
    try:
        write_atomically(file, json.dumps(found).encode())
    except EdgeAIError as error:
        _LOGGER.debug("measurement not kept: %s", error)
    return tuple(Timing(**timing) for timing in found["measured"])


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

"""Measuring candidates for `placement="fastest"` and `threads="auto"`, in the child process that `autotune.py` starts.

First each candidate is looked at for a few calls; those that can still win are then timed interleaved
(`bench/loop.py`). Whatever is not measurably slower than the best is a tie, and a tie goes to the CPU, then to fewer
threads, then to the order of preference.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_runtime.delegates.table import find_delegate
from edgeai_runtime.errors import EdgeAIError

if TYPE_CHECKING:
    from edgeai_runtime.bundle import Bundle
    from edgeai_runtime.engines.protocol import Session
    from edgeai_runtime.model import Model

_Opener = Callable[[dict[str, Any]], "tuple[Model, Callable[[], object]]"]

_MAY_STILL_WIN = 1.5  # times the best of the first look: the first look is off by less than that
_FINALISTS = 6
_LOOK_S = 0.05
_OPENING = 6.0  # times the budget: so long may opening take, on top of it
_ROUNDS = 9


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
    from edgeai_runtime.loading import open_variant
    from edgeai_runtime.model import Model

    bundle: Bundle | None = open_bundle(path, digest=digest) if is_bundle(path) else None
    golden = bundle.golden_inputs() if bundle is not None and bundle.manifest.golden else {}

    def open_entry(entry: dict[str, Any]) -> tuple[Model, Callable[[], object]]:
        spec = find_delegate(entry["delegate"])
        assert spec is not None, "delegates without a spec are skipped before"
        variant = None
        if bundle is not None:
            (variant,) = [one for one in bundle.manifest.variants if one.id == entry["variant"]]
        file = bundle.artifact(variant) if bundle is not None and variant is not None else path

        def open(more: Mapping[str, str]) -> Session:
            options = {**entry["options"], **more}
            return get_engine(spec.engine).open(file, delegate=spec.name, threads=entry["threads"], options=options)

        session = (
            open({}) if bundle is None or variant is None else open_variant(open, bundle.manifest, variant, spec.name)
        )
        model = Model(session, variant=variant, bundle=bundle, threads=entry["threads"])
        arrays = model.preprocess({k: v[:1] for k, v in golden.items()}) if golden else draw_inputs(model.inputs)
        return model, functools.partial(model.run_raw, arrays)

    return open_entry


def _simplicity(entry: Mapping[str, Any], index: int) -> tuple[bool, int, int]:
    """Return what decides a tie: the CPU first, then fewer threads, then the order of preference."""
    spec = find_delegate(entry["delegate"])
    return spec is None or spec.device != "cpu", entry["threads"], index

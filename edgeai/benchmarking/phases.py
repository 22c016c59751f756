"""The way from nothing to a warm model, phase by phase, each time in a process of its own.

A child process notes the clock at its first line, after its imports, after the file was read, after the engine made its
session, and after the first call (`phase_child.py`); then it warms up and takes the median call. One child that is not
counted goes first: it brings the files into the system's memory, and keeps what the engine compiled, where the engine
can give it out. So "cold" means a fresh process on a machine that has read the files before, not one after a boot.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from edgeai.benchmarking.result import Phases
from edgeai_runtime.errors import EngineError, UsageError

TIMEOUT_S = 600.0
"""Of one child; some accelerators compile for minutes."""

WARM_S = 0.3
_FUNCTION = "edgeai.benchmarking.phase_child:measure"
_START = """import time; begun = time.perf_counter_ns()
import sys; sys.path[:] = {path!r}
before = time.perf_counter_ns()
import edgeai_runtime.bundle, edgeai_runtime.loading, edgeai_runtime.model
from edgeai_runtime.engines.table import get_engine
get_engine({engine!r}).info()
sys.argv += [str(begun), str(before), str(time.perf_counter_ns())]
from edgeai_runtime.isolation import main; main()"""


def measure_phases(
    path: Path,
    *,
    variant: str | None = None,
    delegate: str | None = None,
    threads: int = 1,
    repeats: int = 5,
    arrays: Sequence[Any] | None = None,
    options: Mapping[str, str] | None = None,
    warm_s: float = WARM_S,
    on_step: Callable[[int, int, str], None] | None = None,
) -> Phases:
    """Start an artifact in fresh processes and return how long each phase took.

    Args:
        path: a bundle, or a bare artifact.
        variant: of the bundle; `None` for a bare artifact.
        delegate: where it runs; by default the CPU delegate of its format.
        threads: of the engine.
        repeats: how many processes without, and as many with, a compiled model kept from before.
        arrays: what it is called with (`Model.run_raw`); by default a bundle's first golden sample, else drawn values.
        options: of the engine, for this delegate.
        warm_s: how long each process calls the model before its median call is taken.
        on_step: progress, called with (done, total, label).

    Raises:
        UsageError: a number makes no sense, or it is a pipeline: its stages are measured one by one.
        EdgeAIError: it cannot be loaded or called here.
    """
    import numpy as np

    if repeats < 1 or warm_s <= 0 or threads < 1:
        raise UsageError(f"Repeats, seconds and threads must be above 0. Received: {repeats}, {warm_s}, {threads}")
    step = on_step or (lambda done, total, label: None)
    delegate = delegate or _usual_delegate(path, variant)
    engine = delegate.partition(":")[0]
    start = _START.format(path=sys.path, engine=engine)
    cold: list[dict[str, Any]] = []
    cached: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="edgeai-phases-") as folder:
        kept = Path(folder) / "compiled.bin"
        request: dict[str, Any] = {
            "path": str(Path(path).absolute()),
            "variant": variant,
            "delegate": delegate,
            "threads": threads,
            "options": dict(options or {}),
            "warm_s": warm_s,
            "arrays": None,
        }
        if arrays is not None:
            request["arrays"] = str(Path(folder) / "inputs.npz")
            np.savez(request["arrays"], *(np.asarray(array) for array in arrays))
        name = Path(path).name
        step(0, 2 * repeats + 1, "the first is not counted")
        keeps = bool(_child({**request, "warm_s": 0.0, "keep": str(kept)}, start, name)["kept"])
        total = (1 + keeps) * repeats + 1
        for done in range(repeats):
            step(total - (1 + keeps) * (repeats - done), total, "each from nothing")
            cold.append(_child(request, start, name))
            if keeps:
                cached.append(_child({**request, "use": str(kept)}, start, name))
                if not cached[-1]["kept"]:
                    raise EngineError(f"{name} on {delegate} did not start from what was compiled before")
        step(total, total, "each from nothing")
    times = {phase: [each[phase] for each in cold] for phase in ("process_start", "import", "load", "first", "warm")}
    times["compile_cold"] = [each["compile"] for each in cold]
    if cached:
        times["compile_cached"] = [each["compile"] for each in cached]
    medians = {f"{phase}_ms": float(median(values)) for phase, values in times.items()}
    return Phases(
        repeats=repeats,
        process_start_ms=medians["process_start_ms"],
        import_ms=medians["import_ms"],
        load_ms=medians["load_ms"],
        compile_cold_ms=medians["compile_cold_ms"],
        compile_cached_ms=medians.get("compile_cached_ms"),
        first_ms=medians["first_ms"],
        warm_ms=medians["warm_ms"],
        spread={f"{phase}_ms": (min(values), max(values)) for phase, values in times.items()},
    )


def _child(request: dict[str, Any], start: str, name: str) -> dict[str, Any]:
    from edgeai_runtime.isolation import call_in_child

    request = {**request, "spawned_ns": time.perf_counter_ns()}
    what = f"{name} on {request['delegate']}"
    return call_in_child(_FUNCTION, request, timeout_s=TIMEOUT_S, what=what, start=start)


def _usual_delegate(path: Path, variant: str | None) -> str:
    from edgeai_runtime.bundle import is_bundle, open_bundle
    from edgeai_runtime.engines.artifact_file import format_of
    from edgeai_runtime.engines.table import DEFAULT_DELEGATES

    if not is_bundle(path):
        return DEFAULT_DELEGATES[format_of(path)]
    manifest = open_bundle(path).manifest
    if manifest.pipeline is not None:
        raise UsageError(f"{path} is a pipeline: the start of its stages is measured one by one.")
    found = [one for one in manifest.variants if variant in (None, one.id)]
    if not found:
        raise UsageError(f"{path} has no variant {variant!r} whose start could be measured.")
    return (*found[0].delegates, DEFAULT_DELEGATES[found[0].format])[0]

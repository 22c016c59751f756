"""Resident memory of a process that does nothing but run one artifact, from its start to its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from edgeai.benchmarking.result import Memory
from edgeai_runtime.errors import UsageError

TIMEOUT_S = 600.0
_FUNCTION = "edgeai.benchmarking.memory:run_in_child"
_EVERY_S = 0.005
MOST_POINTS = 200


def measure_memory(
    path: Path,
    *,
    variant: str | None = None,
    delegate: str | None = None,
    threads: int = 1,
    seconds: float = 2.0,
    arrays: Sequence[Any] | None = None,
) -> Memory:
    """Run an artifact in a process of its own and return what memory that process held.

    `before_mib` is with Python, numpy and the runtime imported, but neither engine nor file; `loaded_mib` after the
    first call; `steady_mib` the median of the last half of the run. The curve begins before the engine is imported.

    Args:
        path: a bundle, or a bare artifact.
        variant: of the bundle; `None` for a bare artifact and for a pipeline.
        delegate: the one that must be used; by default what the runtime chooses.
        threads: of the engine.
        seconds: how long it is called.
        arrays: what it is called with (`Model.run_raw`); by default drawn values.

    Raises:
        UsageError: a number makes no sense.
        EdgeAIError: it cannot be loaded or called here.
    """
    import tempfile

    import numpy as np

    from edgeai_runtime.isolation import call_in_child

    if seconds <= 0 or threads < 1:
        raise UsageError(f"Seconds and threads must be above 0. Received: {seconds}, {threads}")
    with tempfile.TemporaryDirectory(prefix="edgeai-memory-") as folder:
        request: dict[str, Any] = {
            "path": str(Path(path).absolute()),
            "variant": variant,
            "delegate": delegate,
            "threads": threads,
            "seconds": seconds,
            "arrays": None,
        }
        if arrays is not None:
            request["arrays"] = str(Path(folder) / "inputs.npz")
            np.savez(request["arrays"], *(np.asarray(array) for array in arrays))
        found = call_in_child(
            _FUNCTION, request, timeout_s=TIMEOUT_S + seconds, what=f"{Path(path).name} on {delegate or 'any delegate'}"
        )
    curve = tuple((float(at_s), float(mib)) for at_s, mib in found.pop("curve"))
    return Memory(curve=curve, **found)


def run_in_child(request: Mapping[str, Any]) -> dict[str, Any]:
    """Load and call the artifact while a thread notes the memory; called in the child."""
    import edgeai_runtime.bundle
    import edgeai_runtime.loading
    import edgeai_runtime.model  # noqa: F401  the runtime is there before the first look
    from edgeai_runtime import Placement, load
    from edgeai_runtime.bench.memory import peak_resident_mib, reset_peak, resident_mib

    inputs = _read(request["arrays"])
    reset_peak()
    before = resident_mib()
    curve: list[tuple[float, float]] = []
    ended = threading.Event()
    sampler = threading.Thread(target=_sample, args=(curve, ended), daemon=True)
    sampler.start()
    placement = Placement(require=request["delegate"]) if request["delegate"] else None
    model = load(
        request["path"],
        variant=request["variant"],
        threads=request["threads"],
        placement=placement,
        isolate=False,
        selfcheck="never",
    )
    arrays = inputs if inputs is not None else _draw(Path(request["path"]), model.inputs)
    model.run_raw(arrays)
    loaded = resident_mib()
    begin = len(curve)
    end = time.perf_counter() + request["seconds"]
    while time.perf_counter() < end:
        model.run_raw(arrays)
    ended.set()
    sampler.join()
    later = [mib for _, mib in curve[begin + (len(curve) - begin) // 2 :]]
    return {
        "before_mib": before,
        "loaded_mib": loaded,
        "steady_mib": median(later) if later else resident_mib(),
        "peak_mib": peak_resident_mib(),
        "curve": thin_curve(curve),
    }


def _sample(curve: list[tuple[float, float]], ended: threading.Event) -> None:
    from edgeai_runtime.bench.memory import resident_mib

    start = time.perf_counter()
    while True:
        held = resident_mib()
        if held is None:
            return
        curve.append((time.perf_counter() - start, held))
        if ended.wait(_EVERY_S):
            return


def thin_curve(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most `MOST_POINTS` points: the greatest of each stretch, so that no peak is lost, and the ends."""
    if len(curve) <= MOST_POINTS:
        return list(curve)
    inner = curve[1:-1]
    size = -(-len(inner) // (MOST_POINTS - 2))
    kept = [max(inner[at : at + size], key=lambda point: point[1]) for at in range(0, len(inner), size)]
    return [curve[0], *kept, curve[-1]]


def _read(file: str | None) -> list[Any] | None:
    import numpy as np

    if file is None:
        return None
    with np.load(file, allow_pickle=False) as content:
        return [content[name] for name in content.files]


def _draw(path: Path, specs: Any) -> list[Any]:
    from edgeai_runtime.bundle import is_bundle, open_bundle
    from edgeai_runtime.device_cli_inputs import draw_inputs, recorded_stage_inputs

    recorded = recorded_stage_inputs(open_bundle(path), 1) if is_bundle(path) else None
    return recorded or draw_inputs(specs)

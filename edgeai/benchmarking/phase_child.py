"""The child process of `phases.py`: one artifact, started once, with the clock read between the phases.

The clock is `time.perf_counter_ns`, which on Linux, macOS and Windows is one clock for all processes since the system
started: the parent notes it before it makes the child, and the child at its first line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeai_runtime.bundle import Bundle
    from edgeai_runtime.manifest import Variant

_MOST_CALLS = 100_000


def measure(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the milliseconds of each phase; called in the child.

    `request["keep"]` names a file that what the engine compiled is written to; the answer's `kept` says whether there
    was anything to write. `request["use"]` names such a file, which the engine then starts from; `kept` says whether it
    could be read.
    """
    from edgeai_runtime.compiled_cache import read_entry
    from edgeai_runtime.engines.table import get_engine
    from edgeai_runtime.model import Model

    begun, before, imported = (int(text) for text in sys.argv[-3:])
    engine: Any = get_engine(request["delegate"].partition(":")[0])
    options = _options(request)
    arguments = {"delegate": request["delegate"], "threads": request["threads"], "options": options}
    clock = time.perf_counter_ns
    start = clock()
    file, variant, bundle = _open_file(Path(request["path"]), request["variant"])
    loaded = clock()
    entry = read_entry(Path(request["use"])) if "use" in request else None
    if entry is not None:
        session = engine.open_compiled(file, *entry, **arguments)
    else:
        session = engine.open(file, **arguments)
    compiled = clock()
    model = Model(session, variant=variant, bundle=bundle, threads=request["threads"])
    arrays = _arrays(request["arrays"], model, bundle)
    calling = clock()
    model.run_raw(arrays)
    called = clock()
    found = {
        "process_start": begun - request["spawned_ns"],
        "import": imported - before,
        "load": loaded - start,
        "compile": compiled - loaded,
        "first": called - calling,
        "warm": _warm(model, arrays, request["warm_s"]),
    }
    kept = _keep(session, Path(request["keep"])) if "keep" in request else entry is not None
    return {**{name: max(0.0, value / 1e6) for name, value in found.items()}, "kept": kept}


def _options(request: Mapping[str, Any]) -> dict[str, str]:
    """Return the engine's options as `edgeai_runtime.load` makes them."""
    from edgeai_runtime.engines.table import is_usual

    given = dict(request["options"])
    if is_usual(request["delegate"]) and not given:
        return {}
    from edgeai_runtime.delegates.choose import engine_options
    from edgeai_runtime.placement import Placement

    return engine_options(request["delegate"], Placement(options={request["delegate"]: given}))


def _open_file(path: Path, variant: str | None) -> tuple[Path, Variant | None, Bundle | None]:
    """Read and check what is started: every digest of a bundle, the first bytes of a bare artifact."""
    from edgeai_runtime.bundle import is_bundle, open_bundle
    from edgeai_runtime.engines.artifact_file import check_artifact_file, format_of
    from edgeai_runtime.errors import UsageError

    if path.suffix in (".tflite", ".onnx", ".xml") or not is_bundle(path):
        check_artifact_file(path, format_of(path))
        return path, None, None
    bundle = open_bundle(path)
    if bundle.manifest.pipeline is not None:
        raise UsageError(f"{path} is a pipeline: the start of its stages is measured one by one.")
    for one in bundle.manifest.variants:
        if variant in (None, one.id):
            return bundle.artifact(one), one, bundle
    raise UsageError(f"{path} has no variant {variant!r}.")


def _arrays(given: str | None, model: Any, bundle: Bundle | None) -> list[Any]:
    import numpy as np

    from edgeai_runtime.device_cli_inputs import draw_inputs

    if given is not None:
        with np.load(given, allow_pickle=False) as content:
            return [content[name] for name in content.files]
    if bundle is not None and bundle.manifest.golden:
        return list(model.preprocess({name: array[:1] for name, array in bundle.golden_inputs().items()}))
    return draw_inputs(model.inputs)


def _warm(model: Any, arrays: list[Any], seconds: float) -> float:
    """Return the median call of the second half of `seconds`, in nanoseconds."""
    clock = time.perf_counter_ns
    times: list[int] = []
    end = clock() + int(seconds * 1e9)
    while clock() < end and len(times) < _MOST_CALLS:
        start = clock()
        model.run_raw(arrays)
        times.append(clock() - start)
    later = sorted(times[len(times) // 2 :])
    return float(later[len(later) // 2]) if later else 0.0


def _keep(session: Any, file: Path) -> bool:
    """Write what the engine compiled to `file`; say whether this engine, for this model, gives anything out."""
    from edgeai_runtime.compiled_cache import write_entry

    export = getattr(session, "export", None)
    try:
        made = export() if export is not None else None
    except Exception:  # whatever an engine says: it keeps nothing
        return False
    if made is None or not len(made[1]):
        return False
    write_entry(file, *made)
    return True

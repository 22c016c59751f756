"""`edgeai.bench`: artifacts, engines and variants measured side by side in this process.

All artifacts are loaded first, then called in turns, so that what else the machine does falls on all of them alike and
ratios hold although single times do not. Latency is that of one call with one sample (batch 1), by the runtime's
`run_raw`: the engine and what lies between the bundle's tensors and the artifact's, without pre- and post-processing.
Of a pipeline, the steps of its stages are in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai.benchmarking.outputs import (
    draw,
    first_sample,
    fit_arrays,
    golden_inputs,
    golden_match,
    real_values,
    smallest_cosine,
    stage_inputs,
)
from edgeai.benchmarking.result import BenchReport, Latency, PairComparison, Run, Skipped
from edgeai_runtime.errors import EdgeAIError, MissingEngineError, UsageError

if TYPE_CHECKING:
    from edgeai_runtime.model import Model

__all__ = ["ENGINE_NAMES", "BenchReport", "bench"]

ENGINE_NAMES = ("litert", "onnxruntime", "openvino")
PIPELINE = "pipeline"
"""In place of an engine or format: several models, which may have several."""

SCENARIO = "single_stream"
"""One call after the other, one sample each."""

MATCH_COSINE = 0.99
"""Bare artifacts match when their outputs point the same way; int8 against float reaches 0.99 unless it is broken."""


@dataclass(kw_only=True)
class _Loaded:
    name: str
    model: Model
    arrays: list[Any]
    outputs: list[Any]
    load_ms: float
    first_ms: float
    rss_mib: float | None
    match: bool | None
    cosine: float | None = None


def bench(
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    *,
    engines: Sequence[str] | None = None,
    threads: int = 1,
    duration_s: float = 2.0,
    inputs: Any = None,
    reference: Sequence[Any] | None = None,
    on_step: Callable[[int, int, str], None] | None = None,
) -> BenchReport:
    """Measure bundles (every variant) and bare artifacts against each other.

    Args:
        paths: bundles, or `.tflite`, `.onnx` and `.xml` files; one or several.
        engines: only artifacts of these engines (`litert`, `onnxruntime`, `openvino`).
        threads: most threads of each engine.
        duration_s: how long each artifact is measured.
        inputs: one array or a dict by input name, `[n, …]`, of which the first sample is used: raw samples for a
            bundle, what the artifact takes for a bare one. By default a bundle's golden inputs, else drawn values.
        reference: expected outputs of the first sample in order, to hold bare artifacts against.
        on_step: progress, called with (done, total, label).

    Raises:
        UsageError: nothing to measure.
        EdgeAIError: a bare artifact can not be loaded, or no variant of a bundle can; variants that can not while
            others can are listed in `skipped`.

    Example:
        >>> edgeai.bench(["model.edge", "other.tflite"]).comparisons  # doctest: +SKIP
    """
    from edgeai_runtime.bench.loop import interleave
    from edgeai_runtime.bench.machine import describe_machine
    from edgeai_runtime.bench.statistics import compare, summarize

    if duration_s <= 0 or threads < 1:
        raise UsageError(f"duration_s and threads must be above 0. Received: {duration_s}, {threads}")
    step = on_step or (lambda done, total, label: None)
    items = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(each) for each in paths]
    targets = _targets(items, engines)
    loaded: list[_Loaded] = []
    skipped: list[Skipped] = []
    problems: list[EdgeAIError] = []
    try:
        for number, (path, variant) in enumerate(targets):
            name = str(path) if variant is None else f"{path}#{variant}"
            step(number, len(targets) + 1, f"loading {name}")
            try:
                loaded.append(_load(name, path, variant, threads=threads, inputs=inputs, others=loaded))
            except EdgeAIError as error:
                if variant is None and not isinstance(error, MissingEngineError):
                    raise
                problems.append(error)
                skipped.append(Skipped(artifact=name, reason=error.message))
        if not loaded:
            raise problems[0]
        _match_bare(loaded, reference)
        step(len(targets), len(targets) + 1, f"measuring {len(loaded)} artifacts in turns")
        calls = {each.name: _caller(each) for each in loaded}
        samples = interleave(calls, duration_s=duration_s * len(loaded))
        first = loaded[0].name
        comparisons = []
        for each in loaded[1:]:
            found = compare(samples[each.name], samples[first])
            comparisons.append(
                PairComparison(a=each.name, b=first, ratio=found.ratio, ci95=found.ci95, verdict=found.verdict)
            )
        runs = tuple(_run(each, summarize(samples[each.name]), threads) for each in loaded)
    finally:
        for each in loaded:
            each.model.close()
    return BenchReport(machine=describe_machine(), runs=runs, comparisons=tuple(comparisons), skipped=tuple(skipped))


def _targets(paths: Sequence[Path], engines: Sequence[str] | None) -> list[tuple[Path, str | None]]:
    """Return what is measured: a bare path, or a bundle's path and a variant, in order and without repetition."""
    from edgeai_runtime.bundle import is_bundle, open_bundle
    from edgeai_runtime.engines.artifact_file import format_of
    from edgeai_runtime.engines.table import FORMAT_ENGINES

    for name in engines or ():
        if name not in ENGINE_NAMES:
            raise UsageError(f"There is no engine {name!r}.", hint=f"Engines: {', '.join(ENGINE_NAMES)}.")
    found: dict[tuple[Path, str | None], str] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"There is no file {path}.")
        if is_bundle(path) or path.suffix.lower() == ".edge":
            manifest = open_bundle(path).manifest
            if manifest.pipeline is not None:
                found[path, None] = PIPELINE
            for variant in manifest.variants:
                found[path, variant.id] = FORMAT_ENGINES[variant.format]
        else:
            found[path, None] = FORMAT_ENGINES[format_of(path)]
    chosen = [target for target, engine in found.items() if engines is None or engine in (*engines, PIPELINE)]
    if not chosen:
        wanted = f" for {', '.join(engines)}" if engines else ""
        raise UsageError(f"There is nothing to measure{wanted}.", hint="Name a bundle or a model.")
    return chosen


def _load(
    name: str, path: Path, variant: str | None, *, threads: int, inputs: Any, others: Sequence[_Loaded]
) -> _Loaded:
    from edgeai_runtime import load
    from edgeai_runtime.bench.memory import resident_mib

    load(path, variant=variant, threads=threads).close()  # imports the engine, and opens a bare file in a child first
    before = resident_mib()
    start = time.perf_counter()
    model = load(path, variant=variant, threads=threads, isolate=False)
    load_ms = (time.perf_counter() - start) * 1e3
    try:
        arrays = _arrays(model, path, inputs, others)
        start = time.perf_counter()
        outputs = model.run_raw(arrays)
        first_ms = (time.perf_counter() - start) * 1e3
        after = resident_mib()
        match = golden_match(model, path)
    except BaseException:
        model.close()
        raise
    return _Loaded(
        name=name,
        model=model,
        arrays=arrays,
        outputs=outputs,
        load_ms=load_ms,
        first_ms=first_ms,
        rss_mib=None if before is None or after is None else after - before,
        match=match,
    )


def _arrays(model: Model, path: Path, inputs: Any, others: Sequence[_Loaded]) -> list[Any]:
    """Return one sample per input of the model: given, golden, those of an artifact measured already, or drawn."""
    if inputs is not None:
        return model.preprocess(first_sample(inputs, model.inputs))
    if model.manifest is not None:
        stage = stage_inputs(path)
        if stage:
            return stage
        recorded = golden_inputs(path)
        if recorded:
            return model.preprocess(first_sample(recorded, model.inputs))
    for other in others:
        fitted = fit_arrays(other.model.inputs, other.arrays, model.inputs)
        if fitted is not None:
            return fitted
    return draw(model.inputs)


def _match_bare(loaded: Sequence[_Loaded], reference: Sequence[Any] | None) -> None:
    """Hold bare artifacts against the reference, else against the first artifact when both had the same inputs."""
    first = loaded[0]
    for each in loaded:
        if each.match is not None or _is_pipeline(each.model) or (reference is None and _is_pipeline(first.model)):
            continue
        if reference is not None:
            expected = list(reference)
        elif each is first or fit_arrays(first.model.inputs, first.arrays, each.model.inputs) is None:
            continue
        else:
            expected = real_values(first.model.outputs, first.outputs)
        each.cosine = smallest_cosine(expected, real_values(each.model.outputs, each.outputs))
        each.match = None if each.cosine is None else each.cosine >= MATCH_COSINE


def _is_pipeline(model: Model) -> bool:
    return model.manifest is not None and model.manifest.pipeline is not None


def _caller(loaded: _Loaded) -> Callable[[], object]:
    model, arrays = loaded.model, loaded.arrays
    return lambda: model.run_raw(arrays)


def _run(loaded: _Loaded, summary: Any, threads: int) -> Run:
    from edgeai_runtime.engines.table import FORMAT_ENGINES

    report = loaded.model.placement
    shares: Mapping[Any, float] = report.shares()
    formats = {engine: form for form, engine in FORMAT_ENGINES.items()}
    return Run(
        artifact=loaded.name,
        format=PIPELINE
        if _is_pipeline(loaded.model)
        else loaded.model.variant.format
        if loaded.model.variant
        else formats.get(report.engine, report.engine),
        engine=report.engine,
        delegate=report.delegate,
        placement={str(device): share for device, share in shares.items()},
        threads=threads,
        scenario=SCENARIO,
        latency_ms=Latency(
            median=summary.median_ms,
            p90=summary.p90_ms,
            p99=summary.p99_ms,
            median_ci95=tuple(summary.median_ci95_ms),
        ),
        throughput_per_s=1e3 / summary.median_ms,
        load_ms=loaded.load_ms,
        first_ms=loaded.first_ms,
        rss_mib=loaded.rss_mib,
        outputs_match=loaded.match,
        outputs_cosine=loaded.cosine,
        calls=summary.n,
    )

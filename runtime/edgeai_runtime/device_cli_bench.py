"""`python -m edgeai_runtime bench`: time artifacts, interleaved, and compare each with the first of its batch."""

from __future__ import annotations

import argparse
import functools
import hashlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_runtime import __version__
from edgeai_runtime.bundle import is_bundle, open_bundle
from edgeai_runtime.device_cli_inputs import draw_inputs, read_inputs, recorded_stage_inputs
from edgeai_runtime.device_cli_placement import add_placement_options, read_placement, read_threads
from edgeai_runtime.errors import UsageError

if TYPE_CHECKING:
    from edgeai_runtime.manifest import Variant
    from edgeai_runtime.model import Model

SCHEMA = "edgeai.device-bench/1"
"""Of the document; what it holds is checked where it is read."""


def add_parser(verbs: Any) -> None:
    """Add the verb and its options."""
    from edgeai_runtime.bench.tiers import SCENARIOS, TIERS

    parser = verbs.add_parser("bench", help="time models side by side")
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="bundles or .tflite, .onnx, .xml files")
    parser.add_argument("--all-variants", action="store_true", help="every variant of a bundle, not only the best")
    parser.add_argument("--input", type=Path, metavar="FILE", help=".npy or .npz; without it values are drawn")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="samples per call when values are drawn")
    parser.add_argument("--duration", type=float, default=2.0, metavar="S", help="seconds per model")
    parser.add_argument("--scenario", choices=SCENARIOS, help="also this scenario of MLPerf, one by one")
    parser.add_argument("--tier", choices=TIERS, default="quick", help="its least duration and queries")
    parser.add_argument("--latency-bound", type=float, metavar="MS", help="of server's 99th percentile (10)")
    add_placement_options(parser)
    parser.set_defaults(work=bench)


def bench(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Return the document and exit code 0: `{schema, created, machine, tools, runs, comparisons, yardsticks}`.

    It holds what `edgeai.benchmarking.device_result` makes a result of `edgeai bench` of, and no more than the device
    alone can tell: the digests of the files (`files`: of each its sha256 and its bytes), the median call of each round
    (`rounds_ms`), what other processes took meanwhile (`load`, in cores). A bundle's name in it has its variant.

    With a scenario, a run has its `outcome` too: the fields of `bench.scenarios.ScenarioResult` without `call_ms`.
    `load_ms` is `load()` with the engine imported already and the file checked; `first_ms` is the first call. `rss_mib`
    is the growth of this process's resident memory by loading and the first call. Times are those of `run_raw`:
    pre- and post-processing are not in them, but those between the stages of a pipeline.
    """
    from edgeai_runtime.bench.machine import describe_machine, describe_moment
    from edgeai_runtime.bench.meters import load_meter
    from edgeai_runtime.bench.percentiles import histogram
    from edgeai_runtime.bench.statistics import compare, summarize
    from edgeai_runtime.bench.yardsticks import time_with_yardsticks

    if not (options.batch > 0 and options.duration >= 0):
        raise UsageError(f"--batch is at least 1, --duration at least 0. Received: {options.batch}, {options.duration}")
    runs: dict[str, dict[str, Any]] = {}
    calls: dict[str, Any] = {}
    models: dict[str, tuple[Model, list[Any]]] = {}
    for path, variant in _tasks(options):
        name = f"{path}#{variant}" if variant else str(path)
        runs[name], model, arrays = _prepare(path, variant, name, options)
        models[name], calls[name] = (model, arrays), functools.partial(model.run_raw, arrays)
    others = load_meter()
    samples, rounds = time_with_yardsticks(calls, duration_s=options.duration * len(calls))
    load = others()
    for name, run in runs.items():
        summary = summarize(samples[name])
        run["latency_ms"] = {key.removesuffix("_ms"): value for key, value in summary.__dict__.items()}
        run["rounds_ms"] = samples[name].round_ms.tolist()
        run["histogram"] = [each.tolist() for each in histogram(samples[name].call_ms)]
        run["throughput_per_s"] = 1e3 * run["batch"] / summary.median_ms
        run["load"] = load
        if options.scenario:
            run["outcome"] = _run_scenario(*models[name], options)
    firsts: dict[int, str] = {}
    comparisons = []
    for name, run in runs.items():
        first = firsts.setdefault(run["batch"], name)
        if first != name:
            result = compare(samples[name], samples[first])
            comparisons.append({"a": name, "b": first, **result.__dict__})
    return {
        "schema": SCHEMA,
        "created": time.strftime("%FT%TZ", time.gmtime()),
        "machine": describe_machine() | describe_moment(),
        "tools": {"edgeai-runtime": __version__, "numpy": np.__version__},
        "runs": list(runs.values()),
        "comparisons": comparisons,
        "yardsticks": rounds,
    }, 0


def _tasks(options: argparse.Namespace) -> list[tuple[Path, str | None]]:
    """Return what is timed: paths, each with a variant's id when all variants of a bundle are asked for."""
    tasks: list[tuple[Path, str | None]] = []
    for path in options.models:
        variants = open_bundle(path).manifest.variants if options.all_variants and is_bundle(path) else ()
        tasks += [(path, variant.id) for variant in variants] or [(path, None)]  # a pipeline has none
    return tasks


def _run_scenario(model: Model, arrays: list[Any], options: argparse.Namespace) -> dict[str, Any]:
    from edgeai_runtime.bench.model_calls import open_calls
    from edgeai_runtime.bench.scenarios import run_scenario

    say = _tell if sys.stderr.isatty() and not options.json else None
    try:
        with open_calls(model, arrays, scenario=options.scenario) as (workers, batch):
            result = run_scenario(
                workers,
                scenario=options.scenario,
                tier=options.tier,
                latency_bound_ms=options.latency_bound,
                on_step=say,
            )
    finally:
        if say:
            sys.stderr.write("\n")
    return {key: value for key, value in result.__dict__.items() if key != "call_ms"} | {"batch": batch}


def _tell(done: int, total: int, label: str) -> None:
    sys.stderr.write(f"\r{label}: {done} of {total} s   ")


def _prepare(
    path: Path, variant: str | None, name: str, options: argparse.Namespace
) -> tuple[dict[str, Any], Model, list[Any]]:
    from edgeai_runtime.bench.memory import resident_mib
    from edgeai_runtime.bench.model_calls import count_samples, is_emulated
    from edgeai_runtime.engines.artifact_file import format_of
    from edgeai_runtime.installed import engine_version
    from edgeai_runtime.loading import load
    from edgeai_runtime.selfcheck import compare_golden

    open_model = functools.partial(
        load, path, placement=read_placement(options), threads=read_threads(options), variant=variant
    )
    open_model().close()  # imports the engine, checks the file, and unpacks the bundle
    bundle = open_bundle(path) if is_bundle(path) else None
    memory = resident_mib()
    start = time.perf_counter()
    model = open_model(isolate=False)
    loaded = time.perf_counter()
    if options.input is not None:
        arrays = model.preprocess(read_inputs(options.input, [spec.name for spec in model.inputs]))
    else:
        recorded = recorded_stage_inputs(bundle, options.batch) if bundle else None
        arrays = recorded or draw_inputs(model.inputs, batch=options.batch)
    before = time.perf_counter()
    model.run_raw(arrays)
    first = time.perf_counter()
    grown = resident_mib()
    report, chosen = model.placement, model.variant
    run = {
        "artifact": name,
        "variant": chosen.id if chosen else None,
        "format": chosen.format if chosen else "pipeline" if bundle else format_of(path),
        "precision": chosen.precision if chosen else None,
        "files": _files(path, chosen),
        "engine": report.engine,
        "engine_version": engine_version(report.engine),
        "delegate": report.delegate,
        "placement": dict(report.shares()),
        "emulated": is_emulated(model),
        "threads": model.threads,
        "scenario": "single_stream",
        "batch": count_samples(model, arrays),
        "load_ms": (loaded - start) * 1e3,
        "first_ms": (first - before) * 1e3,
        "rss_mib": grown and memory and grown - memory,
        "outputs_match": compare_golden(bundle, model)[0] if bundle and chosen and bundle.manifest.golden else None,
    }
    return run, model, arrays


def _files(path: Path, variant: Variant | None) -> list[tuple[str, int]]:
    """Return the sha256 and the size of each file that is loaded; none of a folder with several models."""
    from edgeai_runtime.isolation import companions

    if variant is not None:
        return [(entry.sha256, entry.size_bytes) for entry in variant.files]
    contents = [file.read_bytes() for file in (path, *companions(path)) if file.is_file()]
    return [(hashlib.sha256(content).hexdigest(), len(content)) for content in contents]

"""A benchmark's report as it looks on a desktop with a GPU: every part of the record is in it somewhere."""

from __future__ import annotations

import numpy as np

from edgeai.benchmarking.result import (
    Accuracy,
    BenchReport,
    Energy,
    Histogram,
    Latency,
    Memory,
    Noise,
    OperatorProfile,
    OperatorTime,
    PairComparison,
    Phases,
    Run,
    ScenarioOutcome,
    Skipped,
    Sustained,
    SustainedPoint,
    Yardstick,
)

FILES = (
    # name, format, engine, precision, delegate, ran on, median ms, size, score
    ("m/resnet8.onnx", "onnx", "onnxruntime", "float32", "onnxruntime:cpu", "cpu", 1.92, 315_000, 0.872),
    ("m/resnet8.edge#tflite-float32", "tflite", "litert", "float32", "litert:xnnpack", "cpu", 1.71, 322_000, 0.872),
    ("m/resnet8.edge#tflite-int8", "tflite", "litert", "int8", "litert:xnnpack", "cpu", 0.62, 96_000, 0.869),
    ("m/resnet8.edge#onnx-int8", "onnx", "onnxruntime", "int8", "onnxruntime:cpu", "cpu", 0.81, 101_000, 0.868),
    ("m/resnet8.edge#openvino-int8", "openvino", "openvino", "int8", "openvino:cpu", "cpu", 0.55, 112_000, 0.869),
    ("m/resnet8.edge#tflite-float32", "tflite", "litert", "float32", "litert:gpu", "gpu", 0.43, 322_000, 0.872),
    ("m/resnet8.edge#onnx-int8", "onnx", "onnxruntime", "int8", "onnxruntime:qnn", "mixed", 0.38, 101_000, 0.866),
)  # fmt: skip


def latency(median: float, *, seed: int, calls: int = 4000) -> Latency:
    """Return a right-skewed distribution around `median`, with a histogram."""
    times = median * np.exp(np.abs(np.random.default_rng(seed).gumbel(0.0, 0.07, calls)) - 0.04)
    edges = np.geomspace(times.min(), np.percentile(times, 99.9), 49)
    counts = np.histogram(np.minimum(times, edges[-1]), edges)[0]
    middle, p90, p99 = (float(value) for value in np.percentile(times, (50, 90, 99)))
    return Latency(
        median=middle,
        p90=p90,
        p99=p99,
        median_ci95=(middle * 0.994, middle * 1.006),
        p90_bound=p90 * 1.02,
        mean=float(times.mean()),
        min=float(times.min()),
        max=float(times.max()),
        histogram=Histogram(edges_ms=tuple(map(float, edges)), counts=tuple(map(int, counts))),
    )


def run(index: int, *, threads: int = 1, batch: int = 1, full: bool = True) -> Run:
    """Return the run of a file of `FILES`; with `full` every optional part is there."""
    artifact, format_, engine, precision, delegate, ran_on, median, size, score = FILES[index % len(FILES)]
    middle = median * (0.25 + 0.75 / threads) * (0.3 + 0.7 * batch)
    shares = {"mixed": {"npu": 0.8, "cpu": 0.2}}.get(ran_on, {ran_on: 1.0})
    return Run(
        artifact=artifact,
        label=f"{artifact} {delegate} {threads}t b{batch}",
        format=format_,
        engine=engine,
        delegate=delegate,
        placement={"cpu": 0.0, "gpu": 0.0, "npu": 0.0, "unknown": 0.0} | shares,
        ran_on=ran_on,
        threads=threads,
        batch=batch,
        scenario="single_stream",
        precision=precision,
        latency_ms=latency(middle, seed=index),
        throughput_per_s=1000 * batch / middle,
        load_ms=14.2 + index,
        first_ms=3.1 * middle,
        rss_mib=21.5 + 4 * index,
        outputs_match=None if index == 0 else index % len(FILES) != 6,
        outputs_cosine=None if index == 0 else 0.99991 - 0.0101 * (index % len(FILES) == 6),
        calls=4000,
        size_bytes=size,
        digest="4f" * 32,
        engine_version="2.3.0",
        rounds_ms=tuple(middle * (1 + 0.01 * k) for k in range(15)),
        accuracy=Accuracy(metric="top1", score=score, ci95=(score - 0.011, score + 0.011), n=3_000) if full else None,
        noise=_noise(index) if full else None,
        memory=_memory(index) if full and index != 3 else None,
        phases=_phases(index) if full else None,
        outcome=_outcome(index, middle) if full else None,
        operators=_operators(index, middle, ran_on) if full and index < 5 else None,
        sustained=_sustained(index, middle) if full and index in (2, 4) else None,
        energy=_energy(index) if full and index < 2 else None,
    )


def report() -> BenchReport:
    """Return seven runs, a sweep over threads and one over batches, comparisons of both kinds, and what was skipped."""
    runs = [run(index) for index in range(len(FILES))]
    runs += [run(index, threads=threads, full=False) for index in (2, 3) for threads in (2, 4)]
    runs += [run(4, batch=batch, full=False) for batch in (2, 4, 8, 16)]
    first = runs[0]
    comparisons = [_comparison(each, first) for each in runs[1:7]]
    same = PairComparison(
        a=runs[1].label, b=runs[4].label, ratio=1.004, ci95=(0.985, 1.019), verdict="no_difference", how="stored",
        note="another governor",
    )  # fmt: skip
    return _whole(runs, [*comparisons, same])


def many_runs(count: int = 50) -> BenchReport:
    """Return a report of `count` runs, each with all its parts."""
    runs = [run(index, threads=1 + index // len(FILES)) for index in range(count)]
    return _whole(runs, [_comparison(each, runs[0]) for each in runs[1:]])


def _whole(runs: list[Run], comparisons: list[PairComparison]) -> BenchReport:
    return BenchReport(
        machine={"cpu": "Example CPU 9000", "governor": "performance", "load": "0.21", "cores": "8", "os": "Linux 6.6"},
        runs=tuple(runs),
        comparisons=tuple(comparisons),
        skipped=(
            Skipped(artifact="m/resnet8.edge#tflite-float16", reason="litert:npu: no driver on this machine"),
            Skipped(artifact="m/other.tflite", reason="the file ends in the middle of a buffer"),
        ),
        tools={"edgeai": "0.1.0", "onnxruntime": "1.26.0", "ai-edge-litert": "2.3.0"},
        settings={"delegate": "all", "duration_s": 2.0, "threads": [1, 2, 4], "tier": "quick"},
        created="2026-05-04T10:20:30Z",
        yardsticks=_yardsticks(),
    )


def _yardsticks() -> tuple[Yardstick, ...]:
    """Return two for all runs, undisturbed but for a fifth of the rounds in the middle."""
    rounds = tuple(0.05 * (1.7 if 40 <= at < 60 else 1.0 + 0.01 * (at % 3)) for at in range(100))
    return tuple(Yardstick(group=0, name=name, rounds_ms=rounds) for name in ("squares/1", "copy/1"))


def _comparison(a: Run, b: Run) -> PairComparison:
    ratio = a.latency_ms.median / b.latency_ms.median
    return PairComparison(
        a=a.label,
        b=b.label,
        ratio=ratio,
        ci95=(ratio * 0.97, ratio * 1.03),
        verdict="faster" if ratio < 0.95 else "slower" if ratio > 1.05 else "no_difference",
    )


def _noise(index: int) -> Noise:
    if index != 3:
        return Noise(noisy=False, reason="quiet", spread=0.006, load=0.04, calm=0.995 - 0.01 * (index % 5))
    return Noise(noisy=True, reason="other processes took 1.3 cores", spread=0.081, load=1.3, repeats=2, calm=0.41)


def _memory(index: int) -> Memory:
    steady = 46.0 + 9.0 * index
    grown = [(0.05 * k, 12.0 + (steady - 12.0) * (1 - np.exp(-k / 6.0)) + (4.0 if k == 9 else 0.0)) for k in range(40)]
    curve = tuple((float(at), float(mib)) for at, mib in grown)
    return Memory(
        before_mib=12.0,
        loaded_mib=steady * 0.8,
        steady_mib=steady,
        peak_mib=steady + 4.0,
        curve=curve if index != 5 else (),
    )


def _phases(index: int) -> Phases:
    cold = 38.0 + 60.0 * (index == 4)
    return Phases(
        repeats=5,
        process_start_ms=14.0,
        import_ms=61.0 + 9.0 * index,
        load_ms=4.4,
        compile_cold_ms=cold,
        compile_cached_ms=12.5 if index == 4 else None,
        first_ms=3.3,
        warm_ms=0.6,
        spread={"process_start_ms": (13.1, 15.9), "compile_cold_ms": (cold - 4, cold + 7)},
    )


def _outcome(index: int, median: float) -> ScenarioOutcome:
    kinds = (
        ("single_stream", "p90_latency_ms", median * 1.2, median * 1.23),
        ("multi_stream", "p99_latency_ms", median * 8.1, None),
        ("server", "queries_per_s", 700 / median, 680 / median),
        ("offline", "samples_per_s", 1300 / median, None),
    )
    scenario, metric, value, bound = kinds[index % 4]
    return ScenarioOutcome(
        scenario=scenario,  # type: ignore[arg-type]
        tier="quick",
        metric=metric,
        value=value,
        bound=bound,
        valid=index % 4 != 1,
        reason="" if index % 4 != 1 else "too few queries: 120 of 662",
        queries=4000,
        samples=4000,
        seconds=2.4,
        detail={"latency_bound_ms": 10.0} if scenario == "server" else None,
    )


def _operators(index: int, median: float, ran_on: str) -> OperatorProfile:
    weights = [1.0 / (1 + k) for k in range(22 + index)]
    names = ("Conv", "Add", "Relu", "MatMul", "GlobalAveragePool")
    total, at, found = sum(weights), 0.0, []
    for k, weight in enumerate(weights):
        ms = median * 0.93 * weight / total
        found.append(
            OperatorTime(
                name=f"resnet/stack{k // 4}/block{k % 4}/{names[k % 5].lower()}_{k}",
                op=names[k % 5],
                device="cpu" if k % 3 or (ran_on == "cpu" and index != 2) else "npu",
                ms=ms,
                share=weight / total,
                start_ms=at,
                kernel="avx512_igemm" if k % 2 else "",
            )
        )
        at += ms
    return OperatorProfile(
        method="engine",
        calls=200,
        whole_ms=median,
        sum_ms=median * 0.93,
        overhead=1.08,
        operators=tuple(found),
        note="Fused operations are told as one." if index == 1 else "",
    )


def _sustained(index: int, median: float) -> Sustained:
    hot = index == 4
    points = [
        SustainedPoint(
            at_s=10.0 * k,
            median_ms=median * (1 + 0.006 * max(0, k - 12) * hot + 0.01 * np.sin(k)),
            p99_ms=median * (1.3 + 0.01 * max(0, k - 12) * hot + 0.08 * np.cos(2 * k)),
            calls=9000,
            clock_mhz=3800.0 - 28.0 * max(0, k - 12) * hot if hot else None,
            celsius=41.0 + 38.0 * (1 - np.exp(-k / 8.0)) if hot else None,
            rss_mib=82.0 + 0.02 * k,
        )
        for k in range(31)
    ]
    return Sustained(
        seconds=300.0,
        points=tuple(points),
        drift=1.094 if hot else 1.001,
        drift_ci95=(1.081, 1.107) if hot else (0.996, 1.006),
        throttled=True if hot else None,
        reason="the clock fell from 3.8 to 3.3 GHz while it became slower" if hot else "no clock, no temperature told",
    )


def _energy(index: int) -> Energy:
    if index:
        return Energy(meter="unknown", reason="no meter can be read")
    return Energy(meter="rapl", joules_per_call=0.0213, idle_watts=6.1, busy_watts=17.2)

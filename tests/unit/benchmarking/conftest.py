"""A result of `edgeai bench` as a document, made by hand: two runs, measured in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from edgeai.benchmarking.result import BenchReport, Latency, Noise, PairComparison, Run, Skipped

ROUNDS = 200

MakeRun = Callable[..., Run]


@pytest.fixture
def make_run() -> MakeRun:
    """Return a maker of runs: `make_run("a.onnx", ms=2.0, seed=1, spread=0.01, threads=2, …)`."""

    def make(artifact: str, *, ms: float = 1.0, seed: int = 0, spread: float = 0.01, **more: Any) -> Run:
        rounds: Sequence[float] = ms * np.exp(np.random.default_rng(seed).normal(scale=spread, size=ROUNDS))
        facts: dict[str, Any] = {
            "format": "onnx",
            "engine": "onnxruntime",
            "delegate": "onnxruntime:cpu",
            "placement": {"cpu": 1.0},
            "ran_on": "cpu",
            "threads": 1,
            "scenario": "single_stream",
            "label": artifact,
            "rounds_ms": tuple(map(float, rounds)),
            **more,
        }
        return Run(
            artifact=artifact,
            latency_ms=Latency(median=ms, p90=1.1 * ms, p99=1.3 * ms, median_ci95=(0.999 * ms, 1.001 * ms)),
            throughput_per_s=1e3 / ms,
            load_ms=10.0,
            first_ms=2 * ms,
            rss_mib=1.5,
            outputs_match=True,
            outputs_cosine=None,
            calls=10 * ROUNDS,
            **facts,
        )

    return make


@pytest.fixture
def make_document() -> Callable[..., dict[str, Any]]:
    """Return a maker of documents of runs."""

    def make(*runs: Run, **more: Any) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "machine": {"cpu": "a processor", "governor": "performance", "load": "0.1"},
            "tools": {"edgeai": "0.1.0", "onnxruntime": "1.31.1", "openvino": "2026.4"},
            "comparisons": (),
            **more,
        }
        return BenchReport(runs=runs, **facts).to_json()

    return make


@pytest.fixture
def document(make_run: MakeRun, make_document: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Return a document with two runs, a comparison, a noisy run and something skipped."""
    noise = Noise(noisy=True, reason="others took 1.2 cores", spread=0.08, load=1.2)
    runs = make_run("nets/a.onnx"), make_run("nets/b.edge#int8", ms=0.5, seed=1, noise=noise, size_bytes=1234)
    return make_document(
        *runs,
        comparisons=(
            PairComparison(a="nets/b.edge#int8", b="nets/a.onnx", ratio=0.5, ci95=(0.49, 0.51), verdict="faster"),
        ),
        skipped=(Skipped(artifact="nets/b.edge#fp16", reason="the engine openvino is not installed"),),
        created="2026-01-02T03:04:05Z",
    )

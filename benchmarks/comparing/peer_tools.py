"""Other people's benchmarks of one artifact, each in a process of its own: the median call, one thread, batch 1.

What each counts: OpenVINO's `benchmark_app` and LiteRT's `litert-benchmark` the call alone, with inputs and outputs
left in the engine's memory; a plain loop over ONNX Runtime's `session.run`, arrays in and out; ours `run_raw`, arrays
in and out. Where a network computes for a millisecond, the copies are lost in it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

LIMIT_S = 300.0

_LOOP = """
import os, sys, time
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy, onnxruntime
path, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
(given,) = session.get_inputs()
x = {given.name: numpy.random.default_rng(0).normal(size=given.shape).astype(numpy.float32)}
end = time.perf_counter() + 0.2
while time.perf_counter() < end:
    session.run(None, x)
times, end = [], time.perf_counter() + seconds
while time.perf_counter() < end:
    start = time.perf_counter()
    session.run(None, x)
    times.append(time.perf_counter() - start)
print(1e3 * numpy.median(times))
"""


def ours(path: Path, *, threads: int, duration_s: float) -> dict[str, Any]:
    """Return the document of `edgeai bench`."""
    options = ["--threads", str(threads), "--duration", f"{duration_s:g}s", "--json"]
    document: dict[str, Any] = json.loads(_run([sys.executable, "-m", "edgeai", "bench", str(path), *options]))
    return document


def benchmark_app(path: Path, *, threads: int, duration_s: float) -> float:
    """Return the median of OpenVINO's own benchmark: synchronous calls, one request, one stream, float32."""
    fixed = ["-d", "CPU", "-hint", "none", "-api", "sync", "-nireq", "1", "-nstreams", "1", "-infer_precision", "f32"]
    program = [str(_script("benchmark_app")), "-m", str(path), *fixed, "-pin", "NO"]  # as our runtime asks
    said = _run([*program, "-nthreads", str(threads), "-t", str(max(1, round(duration_s)))])
    return told_median_ms(said)


def told_median_ms(said: str) -> float:
    """Return the median that `benchmark_app` prints, in milliseconds; its JSON has two decimals only."""
    found = re.search(r"Median:\s+([\d.]+) (us|ms)", said)
    if found is None:
        raise RuntimeError(f"benchmark_app told no median: {said[-500:]}")
    return float(found.group(1)) * (1e-3 if found.group(2) == "us" else 1.0)


def litert_benchmark(path: Path, *, threads: int, duration_s: float) -> float:
    """Return the median of LiteRT's own benchmark; its runs are counted, so a short one says how many fill the time."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "result.json"
        program = [str(_script("litert-benchmark")), "--model", str(path), "--num_threads", str(threads)]

        def median_ms(runs: int) -> float:
            _run([*program, "--warmup_runs", str(runs // 5 + 1), "--num_runs", str(runs), "--result_json", str(answer)])
            return float(json.loads(answer.read_text())["latency"]["median_ms"])

        return median_ms(max(50, round(1e3 * duration_s / max(median_ms(50), 0.01))))


def plain_loop(path: Path, *, threads: int, duration_s: float) -> float:
    """Return the median of a loop over `session.run` of ONNX Runtime."""
    return float(_run([sys.executable, "-c", _LOOP, str(path), str(threads), str(duration_s)]).split()[-1])


PEERS: Mapping[str, tuple[str, Callable[..., float]]] = MappingProxyType(
    {
        "openvino": ("benchmark_app", benchmark_app),
        "litert": ("litert-benchmark", litert_benchmark),
        "onnxruntime": ("a plain loop", plain_loop),
    }
)
"""Per engine the name of the peer, and what measures with it."""


def is_installed(engine: str) -> bool:
    """Say whether the peer of an engine is there."""
    scripts = {"openvino": "benchmark_app", "litert": "litert-benchmark"}
    return engine not in scripts or _script(scripts[engine]).is_file()


def _script(name: str) -> Path:
    return Path(sys.executable).parent / name


def _run(command: list[str]) -> str:
    environment = {**os.environ, "OPENVINO_TELEMETRY_DISABLE": "1", "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout

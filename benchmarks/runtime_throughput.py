"""Measure results per second through `model.submit` against the engine's own ways to run several calls at once.

Those are OpenVINO's `AsyncInferQueue` with one stream per worker, ONNX Runtime's `run_async`, which computes in the
session's own threads, and for ONNX Runtime and LiteRT a `ThreadPoolExecutor` over `session.run` and over an interpreter
per thread. Batches of calls are handed in, in turns, and the ratios of a round's times are compared.

    python benchmarks/runtime_throughput.py [--workers N] [--json FILE]

Limit (the program ends with 1 when it is surely broken, with the whole interval beyond it): 10 % longer than the
engine alone, for a network that computes for some hundred microseconds; a tiny one is measured without a limit.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from runtime_cold_start import make_artifacts, write_network
from runtime_overhead import write_onnx

from edgeai_runtime import load
from edgeai_runtime.bench.loop import interleave
from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.bench.statistics import compare

MOST_RATIO = 1.10
CALLS = 64

Run = Callable[[], object]


def main() -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--duration", type=float, default=6.0, metavar="S", help="seconds per engine and network")
    parser.add_argument("--json", type=Path, help="also write the result there")
    options = parser.parse_args()
    rows = []
    for network in ("tiny", "small"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            target = folder / "net.onnx"
            source = write_onnx(target) if network == "tiny" else write_network(target, layers=3, channels=64)
            for engine, path in make_artifacts(source, folder).items():
                for row in measure(engine, path, options.workers, options.duration):
                    rows.append({"network": network, **row, "ok": network == "tiny" or row["ci95"][0] <= MOST_RATIO})
                    print_row(rows[-1])
    if options.json is not None:
        document = {"machine": describe_machine(), "workers": options.workers, "rows": rows}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(row["ok"] for row in rows) else 1


def print_row(row: dict[str, Any]) -> None:
    """Print one line."""
    low, high = row["ci95"]
    print(
        f"{row['network']:6} {row['engine']:12} {row['way']:15} {row['way_per_s']:9.0f}/s  submit "
        f"{row['submit_per_s']:9.0f}/s  one after another {row['call_per_s']:9.0f}/s  time submit / {row['way']} "
        f"{row['ratio']:.3f} ({low:.3f} to {high:.3f})"
        f"  limit kept: {'yes' if row['ok'] else 'NO'}",
        flush=True,
    )


def measure(engine: str, path: Path, workers: int, duration_s: float) -> list[dict[str, Any]]:
    """Time `CALLS` calls in each of the engine's own ways, by `submit`, and one after another; a row for each way."""
    with load(path, threads=workers, isolate=False) as model:
        model.open_queue(workers=workers, queue_size=2 * CALLS)
        x = np.zeros([size or 1 for size in model.inputs[0].shape], np.float32)
        ways = {name: make(path, x, workers) for name, make in RAW[engine].items()}

        def submit() -> None:
            for future in [model.submit(x) for _ in range(CALLS)]:
                future.result()

        def call() -> None:
            for _ in range(CALLS):
                model(x)

        samples = interleave({**ways, "submit": submit, "call": call}, duration_s=duration_s, min_rounds=31)
    rates = {name: CALLS * 1e3 / float(np.median(one.round_ms)) for name, one in samples.items()}
    rows = []
    for way in ways:
        found = compare(samples["submit"], samples[way])
        row = {"engine": engine, "way": way, "way_per_s": rates[way], "ratio": found.ratio, "ci95": found.ci95}
        rows.append({**row, "submit_per_s": rates["submit"], "call_per_s": rates["call"]})
    return rows


def raw_onnxruntime(path: Path, x: Any, workers: int) -> Run:
    """Return a pool of threads over one session with one thread per call."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    names, feed = [session.get_outputs()[0].name], {session.get_inputs()[0].name: x}
    return pooled(lambda: session.run(names, feed), workers)


def raw_run_async(path: Path, x: Any, workers: int) -> Run:
    """Return ONNX Runtime's own asynchronous calls, which need a session with two threads or more."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = max(2, workers), 1
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    names, feed = [session.get_outputs()[0].name], {session.get_inputs()[0].name: x}
    results: list[Any] = [None] * CALLS
    done = threading.Semaphore(0)

    def keep(arrays: Any, index: int, error: str) -> None:
        results[index] = error or arrays[0]
        done.release()

    def run() -> None:
        for index in range(CALLS):
            session.run_async(names, feed, keep, index)
        for _ in range(CALLS):
            done.acquire()
        assert not isinstance(results[-1], str), results[-1]

    return run


def raw_litert(path: Path, x: Any, workers: int) -> Run:
    """Return a pool of threads with an interpreter each."""
    from ai_edge_litert.interpreter import Interpreter

    local = threading.local()

    def run() -> Any:
        if not hasattr(local, "interpreter"):
            local.interpreter = Interpreter(str(path), num_threads=1)
            local.interpreter.allocate_tensors()
            local.source = local.interpreter.get_input_details()[0]["index"]
            local.target = local.interpreter.get_output_details()[0]["index"]
        local.interpreter.set_tensor(local.source, x)
        local.interpreter.invoke()
        return local.interpreter.get_tensor(local.target)

    return pooled(run, workers)


def raw_openvino(path: Path, x: Any, workers: int) -> Run:
    """Return OpenVINO's asynchronous queue, with a callback that copies the result."""
    import openvino

    properties = {"NUM_STREAMS": str(workers), "INFERENCE_NUM_THREADS": str(workers)}
    queue = openvino.AsyncInferQueue(openvino.Core().compile_model(str(path), "CPU", properties), workers)
    results: list[Any] = [None] * CALLS

    def keep(request: Any, index: int) -> None:
        results[index] = request.get_output_tensor(0).data.copy()

    queue.set_callback(keep)

    def run() -> None:
        for index in range(CALLS):
            queue.start_async([x], index)
        queue.wait_all()

    return run


def pooled(call: Callable[[], Any], workers: int) -> Run:
    """Return a function that runs `CALLS` calls in a pool of threads and waits for their results."""
    pool = ThreadPoolExecutor(workers)

    def run() -> None:
        for future in [pool.submit(call) for _ in range(CALLS)]:
            future.result()

    return run


RAW = {
    "onnxruntime": {"pool": raw_onnxruntime, "run_async": raw_run_async},
    "openvino": {"AsyncInferQueue": raw_openvino},
    "litert": {"pool": raw_litert},
}


if __name__ == "__main__":
    sys.exit(main())

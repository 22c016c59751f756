"""Measure what edgeai-runtime costs: `model(x)` against the engine's own fastest Python call, and the import.

Per engine a tiny network is loaded twice, by the engine's API alone and by `edgeai_runtime.load`, and both are called
in interleaved blocks; so is `run_into` against the engine's own way of running from and into memory of the caller, and
`submit(x).result()`, a call that goes through another thread. `import edgeai_runtime` is timed against `import numpy`
in fresh interpreters, in turns.

    python benchmarks/runtime_overhead.py [--tflite FILE] [--json FILE]

Limits (the program ends with 1 when one is broken): a call and `run_into` cost at most 10 % or 5 µs more, whichever is
larger; the import at most 20 ms more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_runtime.bench.loop import Samples, interleave
from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.bench.statistics import compare, median_interval

MOST_EXTRA_SHARE = 0.10
MOST_EXTRA_US = 5.0
MOST_IMPORT_MS = 20.0
IMPORT_ROUNDS = 21

COLUMNS = ("model", "model, one sample", "run_raw", "run_into", "submit")

Calls = tuple[Callable[[Any], Any], Any]

#: What the runtime asks of OpenVINO with one thread.
_OPENVINO = {
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": "1",
    "INFERENCE_NUM_THREADS": "1",
    "ENABLE_CPU_PINNING": "NO",
}


def main() -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tflite", type=Path, help="a .tflite file with one input; by default one is made")
    parser.add_argument("--json", type=Path, help="also write the result there")
    parser.add_argument("--duration", type=float, default=3.0, metavar="S", help="seconds per engine")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        onnx = write_onnx(Path(folder) / "tiny.onnx")
        artifacts = {
            "onnxruntime": onnx,
            "openvino": write_openvino(onnx),
            "litert": options.tflite or write_tflite(onnx),
        }
        rows = [measure_engine(name, path, options.duration) for name, path in artifacts.items() if path is not None]
    imports = measure_import()
    document = {"machine": describe_machine(), "calls": rows, "import": imports}
    print_table(document)
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(row["ok"] for row in rows) and imports["ok"] else 1


def write_onnx(path: Path) -> Path:
    """Write a network of one dense layer, x `[1, 16]` → y `[1, 8]`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32), "w")
    bias = numpy_helper.from_array(np.zeros(8, np.float32), "b")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])
    graph = helper.make_graph([helper.make_node("Gemm", ["x", "w", "b"], ["y"])], "tiny", [x], [y], [weights, bias])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def write_openvino(onnx: Path) -> Path:
    """Write the same network as OpenVINO IR."""
    import openvino

    path = onnx.with_suffix(".xml")
    openvino.save_model(openvino.convert_model(str(onnx)), path, compress_to_fp16=False)
    return path


def write_tflite(onnx: Path) -> Path | None:
    """Write the same network as TFLite with our own writer."""
    import onnx_ir

    from edgeai_converters.emit.tflite.writer import emit_tflite

    return emit_tflite(onnx_ir.load(onnx), onnx.parent).path


def raw_litert(path: Path) -> Calls:
    """Return LiteRT's own call: bound methods, no views of its memory."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    source, target = details["index"], interpreter.get_output_details()[0]["index"]
    set_tensor, invoke, get_tensor = interpreter.set_tensor, interpreter.invoke, interpreter.get_tensor

    def call(x: Any) -> Any:
        set_tensor(source, x)
        invoke()
        return get_tensor(target)

    return call, np.zeros(details["shape"], details["dtype"])


def raw_onnxruntime(path: Path) -> Calls:
    """Return ONNX Runtime's own call, names given."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    run, name, outputs = session.run, session.get_inputs()[0].name, [session.get_outputs()[0].name]
    return lambda x: run(outputs, {name: x})[0], np.zeros((1, 16), np.float32)


def raw_openvino(path: Path) -> Calls:
    """Return OpenVINO's own fastest call that gives the caller a copy: memory written and read in place."""
    import openvino

    request = openvino.Core().compile_model(str(path), "CPU", _OPENVINO).create_infer_request()
    source, target, infer = request.get_input_tensor(0).data, request.get_output_tensor(0).data, request.infer

    def call(x: Any) -> Any:
        source[...] = x
        infer(None, share_outputs=True)
        return target.copy()

    return call, np.zeros((1, 16), np.float32)


def bound_litert(path: Path, x: Any, y: Any) -> Callable[[], object]:
    """Return LiteRT's way into and out of the caller's arrays: short-lived views of its memory."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.tensor(interpreter.get_input_details()[0]["index"])
    target = interpreter.tensor(interpreter.get_output_details()[0]["index"])
    invoke, copyto = interpreter.invoke, np.copyto

    def call() -> None:
        copyto(source(), x)
        invoke()
        copyto(y, target())

    return call


def bound_onnxruntime(path: Path, x: Any, y: Any) -> Callable[[], object]:
    """Return ONNX Runtime's IO binding on the caller's memory."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    binding, value = session.io_binding(), onnxruntime.OrtValue.ortvalue_from_numpy
    binding.bind_ortvalue_input(session.get_inputs()[0].name, value(x))
    binding.bind_ortvalue_output(session.get_outputs()[0].name, value(y))
    return lambda: session.run_with_iobinding(binding)


def bound_openvino(path: Path, x: Any, y: Any) -> Callable[[], object]:
    """Return OpenVINO's request on tensors that share the caller's memory."""
    import openvino

    request = openvino.Core().compile_model(str(path), "CPU", _OPENVINO).create_infer_request()
    request.set_input_tensor(0, openvino.Tensor(x, shared_memory=True))
    request.set_output_tensor(0, openvino.Tensor(y, shared_memory=True))
    return lambda: request.infer(None, share_outputs=True)


BOUND = {"litert": bound_litert, "onnxruntime": bound_onnxruntime, "openvino": bound_openvino}
RAW = {"litert": raw_litert, "onnxruntime": raw_onnxruntime, "openvino": raw_openvino}


def measure_engine(name: str, path: Path, duration_s: float) -> dict[str, Any]:
    """Time raw calls, `model(x)` with and without a batch axis, `run_raw`, `run_into` and `submit`, interleaved."""
    from edgeai_runtime import load

    raw, x = RAW[name](path)
    model = load(path, threads=1)
    sample, arrays = x[0], [x]
    bound = BOUND[name](path, x, np.empty_like(raw(x)))
    results = [np.empty_like(raw(x))]
    calls = {
        "raw": lambda: raw(x),
        "model": lambda: model(x),
        "model, one sample": lambda: model(sample),
        "run_raw": lambda: model.run_raw(arrays),
        "bound": bound,
        "run_into": lambda: model.run_into(arrays, results),
        "submit": lambda: model.submit(x).result(),
    }
    samples = interleave(calls, duration_s=duration_s, min_rounds=51)
    model.close()
    row: dict[str, Any] = {"engine": name}
    row.update({f"{key}_us": 1e3 * float(np.median(samples[key].round_ms)) for key in ("raw", "bound")})
    for key in COLUMNS:
        base = "bound" if key == "run_into" else "raw"
        extra, interval = extra_us(samples[key], samples[base])
        row[key] = {"extra_us": extra, "ci95": interval, "ratio": compare(samples[key], samples[base]).ratio}
    row["ok"] = all(
        row[key]["extra_us"] <= max(MOST_EXTRA_US, MOST_EXTRA_SHARE * row[f"{base}_us"])
        for key, base in (("model", "raw"), ("model, one sample", "raw"), ("run_into", "bound"))
    )
    return row


def extra_us(a: Samples, b: Samples) -> tuple[float, tuple[float, float]]:
    """Return by how many microseconds a call of `a` is longer than one of `b`: median over rounds, 95 % interval."""
    differences = 1e3 * (a.round_ms - b.round_ms)
    return float(np.median(differences)), median_interval(differences)


def measure_import() -> dict[str, Any]:
    """Time the imports in fresh interpreters, in turns; `load` also fetches what an app needs before any engine."""
    program = "import time; start = time.perf_counter(); import {0}; print(time.perf_counter() - start)"
    names = {"numpy": "numpy", "import": "numpy, edgeai_runtime", "load": "numpy, edgeai_runtime; edgeai_runtime.load"}
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(IMPORT_ROUNDS):
        for name, words in names.items():
            done = subprocess.run(
                [sys.executable, "-c", program.format(words)], capture_output=True, text=True, check=True
            )
            times[name].append(1e3 * float(done.stdout))
    result: dict[str, Any] = {"numpy_ms": statistics.median(times["numpy"])}
    for name in ("import", "load"):
        extra = np.array(times[name]) - np.array(times["numpy"])
        result[name] = {"extra_ms": float(np.median(extra)), "ci95": median_interval(extra)}
    return {**result, "ok": result["import"]["extra_ms"] <= MOST_IMPORT_MS}


def print_table(document: dict[str, Any]) -> None:
    """Print one table."""
    print(f"{document['machine']['cpu']}, Python {document['machine']['python']}")
    heads = ("model(x)", "model(sample)", "run_raw", "run_into", "submit")
    print(f"{'engine':12} {'raw µs':>8} {'bound µs':>9} {' '.join(head.rjust(22) for head in heads)}  limit kept")
    for row in document["calls"]:
        cells = []
        for key in COLUMNS:
            low, high = row[key]["ci95"]
            cells.append(f"{row[key]['extra_us']:+.2f} ({low:+.2f} to {high:+.2f})".rjust(22))
        kept = "yes" if row["ok"] else "NO"
        print(f"{row['engine']:12} {row['raw_us']:8.2f} {row['bound_us']:9.2f} {' '.join(cells)}  {kept}")
    imports = document["import"]
    print(f"import numpy: {imports['numpy_ms']:.1f} ms; on top of it:")
    for name, words in (("import", "import edgeai_runtime"), ("load", "and its load(), before any engine")):
        low, high = imports[name]["ci95"]
        print(f"  {words}: {imports[name]['extra_ms']:+.1f} ms ({low:+.1f} to {high:+.1f})")
    print(f"  limit kept: {'yes' if imports['ok'] else 'NO'}")


if __name__ == "__main__":
    sys.exit(main())

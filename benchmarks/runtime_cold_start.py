"""Measure the cold start: from the birth of a process to its first answer, edgeai-runtime against the engine alone.

Per engine a network is started in fresh processes, in turns: by the engine's own API from the bare file, by
`edgeai_runtime.load` from a bundle, and by the same after `python -m edgeai_runtime warm`.

    python benchmarks/runtime_cold_start.py [--onnx FILE | --layers N --channels N] [--engines NAME…] [--rounds N]
        [--json FILE]

Told are the time on the clock and the processor time of the whole process, which a busy machine disturbs less.

Limits on the time (the program ends with 1 when one is surely broken, with the interval beyond it): without a cache at
most 5 % more than the engine alone; with one, where an engine has one (OpenVINO, ONNX Runtime), less than without.
Whether the cache gains is `proven` where the whole interval of the processor time is below 1. What ONNX Runtime gains
grows with the number of operations that it need not optimize: try 150 layers of 32 channels.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.bench.statistics import median_interval

MOST_RATIO = 1.05
CACHED_ENGINES = ("openvino", "onnxruntime")

_RAW = {
    "onnxruntime": """
import os
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads = settings.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
session.run(None, {session.get_inputs()[0].name: x})
""",
    "openvino": """
import os
os.environ["OPENVINO_TELEMETRY_DISABLE"] = "1"
import openvino
properties = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": "1"}
properties["ENABLE_CPU_PINNING"] = "NO"
request = openvino.Core().compile_model(path, "CPU", properties).create_infer_request()
request.infer([x])
""",
    "litert": """
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(path, num_threads=1)
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
interpreter.invoke()
interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
""",
}
_OURS = """
import edgeai_runtime
model = edgeai_runtime.load(path, threads=1)
model(x)
"""
_BEFORE = "import sys, time\nimport numpy\npath, shape = sys.argv[1], [int(size) for size in sys.argv[2].split(',')]\n"
_X = "x = numpy.zeros(shape, numpy.float32)\n"
_AFTER = "\nprint('answered', time.time())\n"


def main() -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--onnx", type=Path, help="a float network with one input; by default one is made")
    parser.add_argument("--layers", type=int, default=18, help="of the network that is made (18)")
    parser.add_argument("--channels", type=int, default=64, help="of its layers (64)")
    parser.add_argument("--engines", nargs="+", choices=tuple(_RAW), default=tuple(_RAW))
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path, help="also write the result there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = options.onnx or write_network(
            Path(folder) / "net.onnx", layers=options.layers, channels=options.channels
        )
        artifacts = make_artifacts(source, Path(folder))
        rows = [measure(engine, artifacts[engine], Path(folder), options.rounds) for engine in options.engines]
    document = {"machine": describe_machine(), "rows": rows}
    print(f"{document['machine']['cpu']}, Python {document['machine']['python']}, {options.rounds} rounds")
    for row in rows:
        for suffix, words in (("", "time"), ("_cpu", "processor time")):
            parts = [f"{name} / raw {text(row[name + suffix])}" for name in ("cold", "warm")]
            parts.append(f"warm / cold {text(row['warm_to_cold' + suffix])}")
            print(f"{row['engine']:12} {words:14} raw {row[f'raw{suffix}_ms']:7.1f} ms  {'  '.join(parts)}")
        proven = f"; the cache gains: {row['cache_gains']}" if row["cache_gains"] else ""
        print(f"{'':12} limits kept: {'yes' if row['ok'] else 'NO'}{proven}")
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(row["ok"] for row in rows) else 1


def text(ratio: dict[str, Any]) -> str:
    """Return a ratio with its interval."""
    low, high = ratio["ci95"]
    return f"{ratio['ratio']:.3f} ({low:.3f} to {high:.3f})"


def write_network(path: Path, *, layers: int = 18, channels: int = 64) -> Path:
    """Write a stack of convolutions with batch normalization and ReLU, x `[1, channels, 16, 16]`."""
    import onnx
    from onnx import helper, numpy_helper

    draw = np.random.default_rng(0)
    nodes, constants, last = [], [], "x"
    for layer in range(layers):
        weights = draw.normal(scale=0.05, size=(channels, channels, 3, 3)).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"w{layer}"))
        for kind, value in (("scale", 1.0), ("bias", 0.1), ("mean", 0.0), ("variance", 1.0)):
            constants.append(numpy_helper.from_array(np.full(channels, value, np.float32), f"{kind}{layer}"))
        nodes.append(helper.make_node("Conv", [last, f"w{layer}"], [f"c{layer}"], f"conv{layer}", pads=[1, 1, 1, 1]))
        names = [f"{kind}{layer}" for kind in ("scale", "bias", "mean", "variance")]
        nodes.append(helper.make_node("BatchNormalization", [f"c{layer}", *names], [f"b{layer}"], f"norm{layer}"))
        last = "y" if layer == layers - 1 else f"r{layer}"
        nodes.append(helper.make_node("Relu", [f"b{layer}"], [last], f"relu{layer}"))
    shape = [1, channels, 16, 16]
    x, y = helper.make_tensor_value_info("x", 1, shape), helper.make_tensor_value_info("y", 1, shape)
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def make_artifacts(source: Path, folder: Path) -> dict[str, Path]:
    """Return the network as the converters write it, per engine."""
    import onnx_ir

    from edgeai_converters.emit.table import emit
    from edgeai_converters.graph.simplify import simplify

    graph, _ = simplify(onnx_ir.load(source))
    formats = {"onnxruntime": "onnx", "openvino": "openvino", "litert": "tflite"}
    artifacts = {}
    for engine, format in formats.items():
        (folder / engine).mkdir()
        artifacts[engine] = emit(graph, format, folder / engine).path  # type: ignore[arg-type]
    return artifacts


def write_bundle_of(engine: str, artifact: Path, target: Path) -> tuple[Path, list[int]]:
    """Write a bundle with one variant; return it and the shape of its input."""
    from edgeai_runtime import load
    from edgeai_runtime.bundle import file_entry, write_bundle
    from edgeai_runtime.manifest import Manifest, Variant

    format = {"onnxruntime": "onnx", "openvino": "openvino", "litert": "tflite"}[engine]
    files = [artifact, *([artifact.with_suffix(".bin")] if engine == "openvino" else [])]
    members: dict[str, Path | bytes] = {f"variants/net/{path.name}": path for path in files}
    with load(artifact, threads=1, isolate=False) as model:
        inputs, outputs, delegate = model.inputs, model.outputs, model.placement.delegate
    variant = Variant(
        id="net",
        format=format,  # type: ignore[arg-type]
        precision="float32",
        delegates=(delegate,),
        files=tuple(file_entry(name, path) for name, path in members.items()),
        inputs=inputs,
        outputs=outputs,
    )
    manifest = Manifest(name="net", version="1", inputs=inputs, outputs=outputs, variants=(variant,))
    write_bundle(target, manifest, members)
    return target, [size or 1 for size in inputs[0].shape]


def measure(engine: str, artifact: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Start the three programs in turns and compare them."""
    bundle, shape = write_bundle_of(engine, artifact, folder / f"{engine}.edge")
    base = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}  # as installed packages have it
    base.pop("PYTHONDONTWRITEBYTECODE", None)
    caches = {name: {**base, "EDGEAI_CACHE": str(folder / f"{engine}-{name}")} for name in ("cold", "warm")}
    subprocess.run(
        [sys.executable, "-m", "edgeai_runtime", "warm", str(bundle), "--threads", "1"],
        env=caches["warm"],
        check=True,
        capture_output=True,
    )
    programs = {
        "raw": (_BEFORE + _X + _RAW[engine] + _AFTER, artifact, base),
        "cold": (_BEFORE + _X + _OURS + _AFTER, bundle, caches["cold"]),
        "warm": (_BEFORE + _X + _OURS + _AFTER, bundle, caches["warm"]),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    order = np.random.default_rng(0)
    for round_ in range(-1, rounds):  # one round to unpack bundles and fill the system's file cache
        for name in order.permutation(list(programs)):
            took = start(*programs[name], shape)
            if round_ >= 0:
                times[name].append(took)
    row: dict[str, Any] = {"engine": engine}
    for place, suffix in ((0, ""), (1, "_cpu")):
        raw, cold, warm = (1e3 * np.array(times[name])[:, place] for name in ("raw", "cold", "warm"))
        row[f"raw{suffix}_ms"] = float(np.median(raw))
        pairs = {"cold": (cold, raw), "warm": (warm, raw), "warm_to_cold": (warm, cold)}
        row.update({f"{name}{suffix}": ratio(*pair) for name, pair in pairs.items()})
    low, high = row["warm_to_cold_cpu"]["ci95"]
    row["cache_gains"] = ""
    if engine in CACHED_ENGINES:
        row["cache_gains"] = "proven" if high < 1 else "no" if low > 1 else "not proven"
    kept = row["cold"]["ci95"][0] <= MOST_RATIO
    row["ok"] = kept and (engine not in CACHED_ENGINES or row["warm_to_cold"]["ci95"][0] < 1)
    return row


def ratio(a: Any, b: Any) -> dict[str, Any]:
    """Return the median of the rounds' ratios and its interval."""
    ratios = a / b
    return {"ratio": float(np.median(ratios)), "ci95": median_interval(ratios)}


def start(program: str, path: Path, environment: dict[str, str], shape: list[int]) -> tuple[float, float]:
    """Run a program in a fresh interpreter; return the seconds until its answer, and its processor time to the end."""
    words = [sys.executable, "-c", program, str(path), ",".join(map(str, shape))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.time()
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return float(done.stdout.split("answered")[-1]) - began, used


if __name__ == "__main__":
    sys.exit(main())

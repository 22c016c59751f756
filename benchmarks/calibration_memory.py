"""Show that calibration memory does not grow with the number of samples.

    python benchmarks/calibration_memory.py [--model FILE.onnx] [--samples 64,256,1024]

Each number of samples is calibrated in a process of its own, on drawn inputs made batch by batch; the table shows the
growth of that process's peak memory. By default the model is a five-million-parameter CNN that this program makes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH = 8


def main() -> None:
    """Run every number of samples in a child and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="an ONNX model")
    parser.add_argument("--samples", default="64,256,1024", help="numbers of samples, separated by commas")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(calibrate(arguments.model, arguments.child)))
        return
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or make_model(Path(folder) / "model.onnx")
        print(f"| samples | growth of peak memory MiB | seconds |  (model: {model.stat().st_size / 2**20:.1f} MiB)")
        print("|---|---|---|")
        for samples in arguments.samples.split(","):
            command = [sys.executable, __file__, "--model", str(model), "--child", samples]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(f"| {samples} | {found['growth_mib']:.0f} | {found['seconds']:.1f} |", flush=True)


def calibrate(path: Path, samples: int) -> dict[str, float]:
    """Collect the ranges of the model on drawn samples and return what it took."""
    import onnx_ir as ir

    from edgeai_converters.calibrate.collect import collect_ranges
    from edgeai_converters.graph.boundary import draw_inputs, input_specs
    from edgeai_converters.graph.simplify import simplify
    from edgeai_runtime.bench.memory import peak_resident_mib, reset_peak, resident_mib

    model, _ = simplify(ir.load(path))
    specs = input_specs(model)
    before = resident_mib() or 0.0
    reset_peak()
    started = time.monotonic()
    collect_ranges(model, (draw_inputs(specs, n=BATCH, seed=i) for i in range(samples // BATCH)))
    return {"growth_mib": (peak_resident_mib() or 0.0) - before, "seconds": time.monotonic() - started}


def make_model(path: Path) -> Path:
    """Write a plain CNN of about five million parameters with drawn weights."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(0)
    nodes, weights, channels, value = [], [], 3, "x"
    for i, (out, stride) in enumerate([(32, 2), (64, 2), (128, 2), (256, 2), (512, 2), (512, 1), (256, 1)]):
        weight = generator.normal(0, (2 / (9 * channels)) ** 0.5, (out, channels, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{i}"))
        nodes.append(helper.make_node("Conv", [value, f"w{i}"], [f"c{i}"], pads=[1, 1, 1, 1], strides=[stride, stride]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        channels, value = out, f"r{i}"
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["y"]))
    graph = helper.make_graph(
        nodes,
        "cnn",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 160, 160])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", channels, 1, 1])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


if __name__ == "__main__":
    main()

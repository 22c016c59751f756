"""How long static int8 quantization of a CNN of 5 million parameters takes, and how much memory.

    python benchmarks/quantization_speed.py [--samples 128] [--format tflite,onnx,openvino] [--json FILE]

One line per format: from the float ONNX file to the int8 artifact, in a process of its own: reading and simplifying,
ranges by min-max over all samples (224 × 224), plan, Q/DQ, writing the artifact. Search and certificates are not in it:
how long they take depends on the data and on the budget. Each line is held against the limit.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from conversion.attempt import run
from conversion.page import one_line

from edgeai_converters.versions import tool_versions
from edgeai_runtime.bench.machine import describe_machine

LIMIT_S = 90.0
MEMORY_ALLOWED_MIB = 512.0  # beside four times the model
_STOP_S = 900.0
_BATCH = 8


def main() -> None:
    """Run every format in a child and print one line each; exit with 1 when one is over a limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=128, help="number of calibration samples")
    parser.add_argument("--format", default="tflite,onnx,openvino", help="formats, separated by commas")
    parser.add_argument("--json", type=Path, help="JSON file to write")
    parser.add_argument("--child", nargs=3, metavar=("MODEL", "FORMAT", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        model, format, folder = arguments.child
        print(json.dumps(quantize(Path(model), format, Path(folder), samples=arguments.samples)))
        return
    machine = describe_machine()
    print(f"Machine: {machine['cpu']}, {machine['cores']} cores ({machine['isa']}); " + str(tool_versions()))
    print(f"\n| format | s (limit {LIMIT_S:.0f}) | of it calibration | growth of memory MiB (limit) | artifact MB |")
    print("|---|---|---|---|---|", flush=True)
    found = {}
    with tempfile.TemporaryDirectory(prefix="edgeai-speed-") as name:
        model = make_model(Path(name) / "large.onnx")
        allowed = 4 * model.stat().st_size / 2**20 + MEMORY_ALLOWED_MIB
        for format in arguments.format.split(","):
            folder = Path(name) / format
            folder.mkdir()
            child = ["--child", str(model), format, str(folder), "--samples", str(arguments.samples)]
            command = [sys.executable, str(Path(__file__).resolve()), *child]
            ended = run(command, limit_s=_STOP_S, cache=folder / "cache")
            if ended.code != 0:
                last = (ended.stderr.strip().splitlines() or ["no words"])[-1]
                sys.exit(f"{format} failed ({ended.code}): {one_line(last)}")
            row: dict[str, Any] = {**json.loads(ended.stdout), "seconds": ended.seconds, "allowed_mib": allowed}
            row["within"] = ended.seconds <= LIMIT_S and row["growth_mib"] <= allowed
            found[format] = row
            print(
                f"| {format} | {row['seconds']:.1f} | {row['calibration_s']:.1f} | {row['growth_mib']:.0f} "
                f"({allowed:.0f}) | {row['size_bytes'] / 1e6:.1f} |",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": found}, indent=1), encoding="utf-8")
    over = [format for format, row in found.items() if not row["within"]]
    if over:
        sys.exit(f"over a limit: {', '.join(over)}")


def make_model(path: Path) -> Path:
    """Write the CNN as ONNX."""
    from conversion.large_cnn import large_cnn
    from families.save_torch import export, write_onnx

    network = large_cnn()
    write_onnx(network, export(network), path)
    return path


def quantize(source: Path, format: str, folder: Path, *, samples: int) -> dict[str, Any]:
    """Quantize the model on drawn samples and return what it took, the start of this process not included."""
    import time

    import onnx_ir as ir

    from edgeai_converters.calibrate.collect import collect_ranges
    from edgeai_converters.emit.table import emit
    from edgeai_converters.graph.boundary import draw_inputs, input_specs
    from edgeai_converters.graph.simplify import simplify
    from edgeai_converters.quantize.insert_qdq import insert_qdq
    from edgeai_converters.quantize.planner import plan_quantization
    from edgeai_converters.quantize.schemes import scheme_for
    from edgeai_runtime.bench.machine import isa_flags
    from edgeai_runtime.bench.memory import peak_resident_mib, reset_peak, resident_mib

    before = resident_mib() or 0.0
    reset_peak()
    model, _ = simplify(ir.load(source))
    specs = input_specs(model)
    started = time.monotonic()
    batches = (draw_inputs(specs, n=_BATCH, seed=seed) for seed in range(samples // _BATCH))
    ranges = collect_ranges(model, batches, methods=("minmax",))
    calibration_s = time.monotonic() - started
    plan = plan_quantization(model, ranges.tensors["minmax"], scheme_for(format, isa=isa_flags()))
    quantized, changed = insert_qdq(model, plan)
    assert changed
    artifact = emit(quantized, format, folder)
    return {
        "calibration_s": calibration_s,
        "growth_mib": (peak_resident_mib() or 0.0) - before,
        "size_bytes": artifact.size_bytes,
    }


if __name__ == "__main__":
    main()

"""Call a model 100,000 times and see whether memory grows: the slope of the resident size, with its 95 % interval.

Per engine a tiny network is called in a process of its own, in four ways: `model(x)`, `run_into`, `submit`, and
`model(x)` with batches of changing size. The slope is that of a straight line through equally spaced readings, after
the first tenth; its interval takes into account that neighbouring readings are alike (residuals as a first-order
autoregression, which makes fewer independent readings of them).

    python benchmarks/runtime_soak.py [--calls N] [--engine NAME] [--json FILE]

Limit (the program ends with 1 when it is surely broken, with the whole interval beyond it): 1 MiB per million calls.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from runtime_overhead import write_onnx, write_openvino, write_tflite

from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.bench.memory import process_status, resident_mib

MOST_MIB_PER_MILLION = 1.0
READINGS = 200
WAYS = ("call", "run_into", "submit", "batches")


def main() -> int:
    """Run the soak in child processes and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--engine", choices=("onnxruntime", "openvino", "litert"), action="append")
    parser.add_argument("--json", type=Path, help="also write the result there")
    parser.add_argument("--child", nargs=2, metavar=("FILE", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(soak(Path(options.child[0]), options.child[1], options.calls)))
        return 0
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        onnx = write_onnx(Path(folder) / "tiny.onnx")
        artifacts = {"onnxruntime": onnx, "openvino": write_openvino(onnx), "litert": write_tflite(onnx)}
        for engine in options.engine or artifacts:
            for way in WAYS:
                words = [sys.executable, __file__, "--calls", str(options.calls)]
                words += ["--child", str(artifacts[engine]), way]
                done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
                rows.append({"engine": engine, "way": way, **json.loads(done.stdout.splitlines()[-1])})
                print_row(rows[-1])
    if options.json is not None:
        document = {"machine": describe_machine(), "calls": options.calls, "rows": rows}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(row["ok"] for row in rows) else 1


def print_row(row: dict[str, Any]) -> None:
    """Print one line."""
    low, high = row["ci95"]
    print(
        f"{row['engine']:12} {row['way']:9} {row['slope']:+8.3f} MiB per million calls ({low:+.3f} to {high:+.3f}); "
        f"{row['first_mib']:.1f} MiB at first, {row['last_mib']:.1f} at last  "
        f"limit kept: {'yes' if row['ok'] else 'NO'}",
        flush=True,
    )


def soak(path: Path, way: str, calls: int) -> dict[str, Any]:
    """Call the model and return the slope of the memory in MiB per million calls."""
    from edgeai_runtime import load

    readings, block = [], max(1, calls // READINGS)
    with load(path, threads=1, isolate=False) as model:
        x = np.zeros([size or 1 for size in model.inputs[0].shape], np.float32)
        y = np.empty_like(model(x))
        inputs, outputs = [x], [y]
        several = [np.repeat(x, count, axis=0) for count in (1, 2, 4, 3)]
        for _ in range(READINGS):
            if way == "call":
                for _ in range(block):
                    model(x)
            elif way == "run_into":
                for _ in range(block):
                    model.run_into(inputs, outputs)
            elif way == "submit":
                for future in [model.submit(x) for _ in range(block)]:
                    future.result()
            else:
                for index in range(block):
                    model(several[index % len(several)])
            readings.append(private_mib())
    row = slope(readings[READINGS // 10 :], block)
    return {**row, "first_mib": readings[0], "last_mib": readings[-1], "ok": row["ci95"][0] <= MOST_MIB_PER_MILLION}


def private_mib() -> float:
    """Return the private memory of this process; all of the resident memory where that is not told."""
    for line in process_status().splitlines():
        if line.startswith(b"RssAnon:"):
            return int(line.split()[1]) / 1024
    return resident_mib() or 0.0


def slope(readings: list[float], block: int) -> dict[str, Any]:
    """Return the least-squares slope in MiB per million calls and its interval."""
    from scipy import stats

    calls = np.arange(len(readings)) * block / 1e6
    if len(set(readings)) == 1:  # not one page more or less
        return {"slope": 0.0, "ci95": (0.0, 0.0)}
    found = stats.linregress(calls, readings)
    rest = np.asarray(readings) - found.intercept - found.slope * calls
    power = float(rest[:-1] @ rest[:-1])
    alike = min(0.99, max(0.0, float(rest[1:] @ rest[:-1]) / power)) if power > 1e-18 else 0.0
    independent = max(3.0, len(readings) * (1 - alike) / (1 + alike))
    error = found.stderr * np.sqrt((len(readings) - 2) / max(1.0, independent - 2))
    width = float(stats.t.ppf(0.975, max(1.0, independent - 2)) * error)
    return {"slope": float(found.slope), "ci95": (float(found.slope) - width, float(found.slope) + width)}


if __name__ == "__main__":
    sys.exit(main())

"""Run `edgeai compress` over real models and write one table of what it reached.

    python benchmarks/compress_assets.py [--assets FOLDER] [--only resnet8] [--write docs/results.md] [--json FILE]

For each model: `edgeai compress --json` in a process of its own (time and peak memory are that process's), then all
float artifacts and the best compressed artifact of each format interleaved in one process, for the ratios.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

_CIFAR = "cast:float32;scale:factor=0.00392156862745098;normalize:mean=[0.485,0.456,0.406],std=[0.229,0.224,0.225]"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model, its data (calibration and the rest), and the steps from a sample to its input."""

    model: str
    calibration: str
    data: str
    preprocess: str


CASES = {
    "resnet8": Case(
        model="mlperf_tiny/image_classification/pretrainedResnet.h5",
        calibration="cifar10/cifar10_test_jpeg.npz:x_calib,y_calib",
        data="cifar10/cifar10_test_jpeg.npz:x_eval,y_eval",
        preprocess="cast:float32",
    ),
    "dscnn": Case(
        model="mlperf_tiny/keyword_spotting/kws_ref_model.h5",
        calibration="mlperf_tiny/keyword_spotting/kws01.npz:x_calib,y_calib",
        data="mlperf_tiny/keyword_spotting/kws01.npz:x_eval,y_eval",
        preprocess="scale:factor=0.5847029,offset=-48.5303407",
    ),
    "resnet20": Case(
        model="cifar10/resnet20.pt2",
        calibration="cifar10/cifar10_test_jpeg.npz:x_calib,y_calib",
        data="cifar10/cifar10_test_jpeg.npz:x_eval,y_eval",
        preprocess=f"{_CIFAR};layout:NHWC>NCHW",
    ),
    "squeezenet": Case(
        model="imagenet_sample/squeezenet_v1.1_f32.onnx",
        calibration="imagenet_sample/split.csv#calib",
        data="imagenet_sample/split.csv#eval",
        preprocess="cast:float32;crop:height=227,width=227;channels:order=[2,1,0];"
        "normalize:mean=[104,117,123],std=[1,1,1];layout:NHWC>NCHW",
    ),
}


def main() -> None:
    """Run the cases asked for and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, default=ROOT.parent / "shared" / "assets", help="folder of the models")
    parser.add_argument("--only", default=",".join(CASES), help="names of models, separated by commas")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    parser.add_argument("--json", type=Path, help="JSON file to write, with everything measured")
    arguments = parser.parse_args()
    if not (arguments.assets / "index.json").is_file():
        sys.exit(f"no models in {arguments.assets}: name their folder with --assets")
    results = {}
    for name in arguments.only.split(","):
        print(f"== {name}", file=sys.stderr, flush=True)
        results[name] = run_case(CASES[name], arguments.assets)
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1))
    text = to_markdown(results)
    print(text)
    if arguments.write:
        arguments.write.write_text(text)


def run_case(case: Case, assets: Path) -> dict[str, Any]:
    """Compress one model with an empty work folder and time its artifacts side by side."""
    with tempfile.TemporaryDirectory(prefix="edgeai-bench-") as name:
        folder = Path(name)
        options = {
            "--data": _resolve(case.data, assets, folder),
            "--calibration-data": _resolve(case.calibration, assets, folder),
            "--preprocess": case.preprocess,
            "--work": str(folder / "work"),
        }
        started = time.monotonic()
        flat = [word for pair in options.items() for word in pair]
        document = _edgeai("compress", str(assets / case.model), *flat, "-o", str(folder / "model.edge"))
        duration_s = time.monotonic() - started
        floats = []
        for format, suffix in (("tflite", "tflite"), ("onnx", "onnx"), ("openvino", "xml")):
            file = folder / f"float-{format}.{suffix}"
            _edgeai("convert", str(assets / case.model), "--to", format, "-o", str(file))
            floats.append(str(file))
        bench = _edgeai("bench", str(folder / "model.edge"), *floats, "--duration", "2s")
        return {"compress": document, "duration_s": duration_s, "bench": bench}


def _edgeai(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "edgeai", *arguments, "--json"], capture_output=True, text=True, check=False
    )
    if not done.stdout.strip().startswith("{"):
        sys.exit(f"edgeai {' '.join(arguments)} failed ({done.returncode}):\n{done.stderr}")
    document: dict[str, Any] = json.loads(done.stdout)
    if "error" in document:
        sys.exit(f"edgeai {' '.join(arguments)} failed:\n{document['error']}")
    return document


def _resolve(text: str, assets: Path, folder: Path) -> str:
    """Return the data text with full paths; `table.csv#split` becomes a table of that split's images."""
    if "#" not in text:
        return str(assets / text)
    table, split = text.split("#")
    source = assets / table
    with source.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == split]
    target = folder / f"{split}.csv"
    with target.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "label"])
        writer.writerows([source.parent / "images" / row["file"], row["class_index"]] for row in rows)
    return str(target)


def to_markdown(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the tables: one line per model, then one per candidate."""
    machine = next(iter(results.values()))["compress"]["machine"]
    tools = next(iter(results.values()))["compress"]["tools"]
    lines = [
        "# Results on real models",
        "",
        "Written by `python benchmarks/compress_assets.py --write docs/results.md`; nothing here is typed in.",
        f"Machine: {machine['cpu']}, {machine['cores']} cores ({machine['isa']}), Python {machine['python']}; "
        + ", ".join(f"{package} {version}" for package, version in tools.items())
        + ".",
        "",
        "One thread, batch 1. Drops are in percentage points against the float source, with",
        "their 95 % interval on the certification split. `x own` is the latency divided by that of the float artifact",
        "in the same engine, `x best` by that of the fastest float artifact of the three engines, all interleaved in",
        "one process (95 % interval in brackets).",
        "",
        "| model | best | n | float score | drop [95 %] | verdict | flips | size | smaller | ms | x own | x best "
        "| s | peak MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_summary(name, result) for name, result in results.items()]
    for name, result in results.items():
        lines += [
            "",
            f"## {name}",
            "",
            "| candidate | status | size | ms | speed-up | drop [95 %] | n | verdict | why |",
        ]
        lines += ["|---|---|---|---|---|---|---|---|---|"]
        lines += [_candidate(candidate) for candidate in result["compress"]["candidates"]]
    return "\n".join(lines) + "\n"


def _summary(name: str, result: Mapping[str, Any]) -> str:
    best = result["compress"]["best"]
    sizes = {
        one["format"]: one["size_bytes"] for one in result["compress"]["candidates"] if one["precision"] == "float32"
    }
    ratios = _ratios(result["bench"], best)
    cells: Sequence[object] = (
        name,
        best["id"],
        best["n"],
        f"{best['source_score']:.4f}",
        _drop(best),
        best["verdict"],
        f"{best['flip_rate']:.2%}",
        best["size_bytes"],
        f"{sizes[best['format']] / best['size_bytes']:.2f}×",
        f"{best['latency_ms']['median']:.3f}",
        *ratios,
        f"{result['duration_s']:.0f}",
        f"{result['compress']['peak_memory_mib']:.0f}",
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _ratios(bench: Mapping[str, Any], best: Mapping[str, Any]) -> tuple[str, str]:
    """Return the latency of the best candidate against its own engine's float and against the fastest float."""
    runs = bench["runs"]
    floats = [run for run in runs if Path(run["artifact"]).name.startswith("float-")]
    mine = next(run["artifact"] for run in runs if run["artifact"].endswith(best["id"]))
    own = next(run["artifact"] for run in floats if run["format"] == best["format"])
    fastest = min(floats, key=lambda run: run["latency_ms"]["median"])["artifact"]
    return _ratio(bench, mine, own), _ratio(bench, mine, fastest)


def _ratio(bench: Mapping[str, Any], a: str, b: str) -> str:
    for one in bench["comparisons"]:
        if (one["a"], one["b"]) == (a, b):
            return f"{one['ratio']:.2f} [{one['ci95'][0]:.2f}, {one['ci95'][1]:.2f}]"
        if (one["a"], one["b"]) == (b, a):
            return f"{1 / one['ratio']:.2f} [{1 / one['ci95'][1]:.2f}, {1 / one['ci95'][0]:.2f}]"
    raise LookupError(f"no comparison of {a} and {b}")


def _candidate(one: Mapping[str, Any]) -> str:
    latency = one["latency_ms"]["median"]
    cells = (
        one["id"],
        one["status"],
        one["size_bytes"] or "",
        f"{latency:.3f}" if latency else "",
        f"{one['speedup_vs_float']:.2f}×" if one["speedup_vs_float"] else "",
        _drop(one) if one["drop"] is not None else "",
        one["n"],
        one["verdict"],
        one["reason"],
    )
    return "| " + " | ".join(str(cell).replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def _drop(one: Mapping[str, Any]) -> str:
    low, high = one["drop_ci95"]
    return f"{100 * one['drop']:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


if __name__ == "__main__":
    main()

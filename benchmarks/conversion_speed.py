"""Our TFLite files against those of other converters, in LiteRT; and how long a CNN of 5 million parameters takes.

    python benchmarks/conversion_speed.py [--only NAMES] [--write docs/conversion-speed.md] [--json FILE]

Each conversion runs in a process of its own: its time and the peak memory of it and its children are that process's.
The files then run interleaved in one process, one thread, batch 1, `invoke()` alone. Tools that are not installed are
left out, and so are the real models where there are none.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from conversion.attempt import Ended, run
from conversion.page import one_line
from conversion.peers import is_installed

from edgeai_converters.versions import tool_versions
from edgeai_runtime.bench.loop import interleave
from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.bench.statistics import compare, summarize

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 600.0
BUDGET_S = 30.0  # for converting the CNN of 5 million parameters, parity included, on two cores


@dataclass(frozen=True, kw_only=True)
class Case:
    """A real model: the file that we take, and those that the other tools take."""

    source: str
    peers: Mapping[str, str]


CASES = {
    "resnet20": Case(
        source="cifar10/resnet20.onnx",
        peers={"litert-torch": "cifar10/resnet20.pt2", "onnx2tf": "cifar10/resnet20.onnx"},
    ),
    "squeezenet": Case(
        source="imagenet_sample/squeezenet_v1.1_f32.onnx",
        peers={"onnx2tf": "imagenet_sample/squeezenet_v1.1_f32.onnx"},
    ),
    "kwt1": Case(
        source="speech_commands/kwt1.onnx",
        peers={"litert-torch": "speech_commands/kwt1.pt2", "onnx2tf": "speech_commands/kwt1.onnx"},
    ),
    "gru_s": Case(
        source="speech_commands/gru_s.onnx",
        peers={"tensorflow": "speech_commands/gru_s.keras", "onnx2tf": "speech_commands/gru_s.onnx"},
    ),
    "resnet8": Case(
        source="mlperf_tiny/image_classification/pretrainedResnet.h5",
        peers={"tensorflow": "mlperf_tiny/image_classification/pretrainedResnet.h5"},
    ),
    "dscnn": Case(
        source="mlperf_tiny/keyword_spotting/kws_ref_model.h5",
        peers={"tensorflow": "mlperf_tiny/keyword_spotting/kws_ref_model.h5"},
    ),
}
LARGE = "cnn_5m"


def main() -> None:
    """Run the cases asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, default=ROOT.parent / "shared" / "assets", help="folder of real models")
    parser.add_argument("--only", default=",".join((*CASES, LARGE)), help="names of models, separated by commas")
    parser.add_argument("--duration", type=float, default=3.0, help="seconds of timing per model")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    parser.add_argument("--json", type=Path, help="JSON file to write, with everything measured")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    for name in arguments.only.split(","):
        print(f"== {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="edgeai-speed-") as folder:
            if name == LARGE:
                results[name] = time_large(Path(folder))
            elif (arguments.assets / CASES[name].source).is_file():
                results[name] = run_case(CASES[name], arguments.assets, Path(folder), duration_s=arguments.duration)
            else:
                print(f"no {CASES[name].source} in {arguments.assets}: left out", file=sys.stderr)
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    text = to_markdown(results)
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")


def run_case(case: Case, assets: Path, folder: Path, *, duration_s: float) -> list[dict[str, Any]]:
    """Convert one model with every tool and time the files side by side; ours comes first."""
    rows = [{"tool": "edgeai", **_ours(assets / case.source, folder / "edgeai.tflite")}]
    for tool, source in case.peers.items():
        if not is_installed(tool):
            print(f"{tool} is not installed: left out", file=sys.stderr)
            continue
        out = folder / f"{tool}.tflite"
        command = [sys.executable, "-m", "conversion.peers", tool, str(assets / source), str(out)]
        ended = run(command, limit_s=LIMIT_S, cache=folder / "cache")
        rows.append({"tool": tool, **_measured(ended, out)})
    files = {row["tool"]: folder / f"{row['tool']}.tflite" for row in rows if "error" not in row}
    calls, facts = {}, {}
    for tool, file in files.items():
        calls[tool], facts[tool] = _prepare(file)
    samples = interleave(calls, duration_s=duration_s * len(calls))
    for row in rows:
        tool = row["tool"]
        if tool not in files:
            continue
        row |= facts[tool]
        row["median_ms"] = summarize(samples[tool]).median_ms
        if tool != "edgeai" and "edgeai" in samples:
            against = compare(samples[tool], samples["edgeai"])
            row |= {"ratio": against.ratio, "ci95": list(against.ci95), "verdict": against.verdict}
    return rows


def time_large(folder: Path) -> list[dict[str, Any]]:
    """Convert a CNN of about 5 million parameters from ONNX and from `.pt2` to each format."""
    import torch
    from conversion.large_cnn import large_cnn
    from families.save_torch import export, write_onnx

    network = large_cnn()
    program = export(network)
    write_onnx(network, program, folder / "large.onnx")
    torch.export.save(program, folder / "large.pt2")
    parameters = sum(tensor.numel() for tensor in network.model.parameters())
    rows = []
    for suffix, formats in (("onnx", ("tflite", "onnx", "openvino")), ("pt2", ("tflite",))):
        for format in formats:
            out = folder / f"{suffix}-{format}.{'xml' if format == 'openvino' else format}"
            row = _ours(folder / f"large.{suffix}", out, format=format)
            rows.append({"source": f".{suffix}", "format": format, "parameters": parameters, **row})
    return rows


def _ours(source: Path, out: Path, *, format: str = "tflite") -> dict[str, Any]:
    command = [sys.executable, "-m", "edgeai", "convert", str(source), "--to", format, "-o", str(out), "--json"]
    with tempfile.TemporaryDirectory(prefix="edgeai-speed-") as empty:  # nothing was read before
        ended = run(command, limit_s=LIMIT_S, cache=Path(empty))
    row = _measured(ended, out)
    if "error" in row and ended.stdout.strip().startswith("{"):
        row["error"] = one_line(json.loads(ended.stdout)["error"]["message"])
    elif "error" not in row:
        row["parity"] = json.loads(ended.stdout)["parity"]["max_rel"]
    return row


def _measured(ended: Ended, out: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"seconds": ended.seconds, "peak_mib": ended.peak_mib}
    if ended.code == 0 and out.is_file():
        files = [out, out.with_suffix(".bin")]  # OpenVINO keeps its weights beside
        return {**row, "size_bytes": sum(file.stat().st_size for file in files if file.is_file())}
    last = [line for line in ended.stderr.strip().splitlines() if line.strip()] or ["no words"]
    return {**row, "error": one_line(last[-1] if ended.code is not None else f"no end within {LIMIT_S:.0f} s")}


def _prepare(file: Path) -> tuple[Any, dict[str, Any]]:
    """Return the call to time, and what the engine makes of the file: operators, parts, transposes."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=1)
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        shape = [1 if size < 0 else int(size) for size in detail.get("shape_signature", detail["shape"])]
        interpreter.resize_tensor_input(detail["index"], shape)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], rng.normal(0, 1, detail["shape"]).astype(detail["dtype"]))
    names = [operator["op_name"] for operator in interpreter._get_ops_details()]
    parts = names.count("DELEGATE")
    return interpreter.invoke, {
        "operators": len(names) - parts, "parts": parts, "transposes": names.count("TRANSPOSE"),
    }  # fmt: skip


def to_markdown(results: Mapping[str, list[dict[str, Any]]]) -> str:
    """Return the page."""
    machine, tools = describe_machine(), tool_versions()
    lines = [
        "# Speed of conversions and of what they write",
        "",
        "Written by `python benchmarks/conversion_speed.py --write docs/conversion-speed.md`; nothing is typed in.",
        f"Machine: {machine['cpu']}, {machine['cores']} cores ({machine['isa']}), Python {machine['python']}; "
        + ", ".join(f"{package} {version}" for package, version in tools.items())
        + ".",
        "",
    ]
    models = {name: rows for name, rows in results.items() if name != LARGE}
    if models:
        lines += [
            "## TFLite files in LiteRT",
            "",
            "One thread, batch 1, float32, all files of a model interleaved in one process. `x ours` is the latency of",
            "a file divided by that of ours (95 % interval; above 1 ours is faster). Our conversion includes the",
            "parity gate, theirs check nothing. *parts* is how many pieces XNNPACK took, one being best.",
            "",
            "| model | by | ms | x ours | bytes | operators | parts | transposes | conversion s | peak MiB |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [_file_line(name, row) for name, rows in models.items() for row in rows]
    if LARGE in results:
        lines += [
            "",
            f"## A CNN of {results[LARGE][0]['parameters'] / 1e6:.1f} million parameters, 224 × 224",
            "",
            f"The whole `edgeai convert`, parity gate included; the budget is {BUDGET_S:.0f} s on two cores.",
            "",
            "| source | to | s | peak MiB | bytes | parity | within the budget |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_large_line(row) for row in results[LARGE]]
    return "\n".join(lines) + "\n"


def _file_line(name: str, row: Mapping[str, Any]) -> str:
    spent = f"{row['seconds']:.1f} | {row['peak_mib']:.0f}"
    if "error" in row:
        return f"| {name} | {row['tool']} | failed: {row['error']} | | | | | | {spent} |"
    ratio = f"{row['ratio']:.2f} [{row['ci95'][0]:.2f}, {row['ci95'][1]:.2f}]" if "ratio" in row else "1"
    counts = f"{row['operators']} | {row['parts']} | {row['transposes']}"
    return f"| {name} | {row['tool']} | {row['median_ms']:.3f} | {ratio} | {row['size_bytes']} | {counts} | {spent} |"


def _large_line(row: Mapping[str, Any]) -> str:
    head = f"| {row['source']} | {row['format']} | {row['seconds']:.1f} | {row['peak_mib']:.0f} |"
    if "error" in row:
        return f"{head} failed: {row['error']} | | no |"
    within = "yes" if row["seconds"] < BUDGET_S else "**no**"
    return f"{head} {row['size_bytes']} | {row['parity']:.1g} | {within} |"


if __name__ == "__main__":
    main()

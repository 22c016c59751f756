"""Our static quantization against that of others: same models, same data, same splits, one run.

    python benchmarks/quantization_peers.py [--only 'resnet8/*,hard_swish/ours'] [--resume]
        [--write docs/quantization.md] [--json FILE] [--aimet-python PATH] [--quark-python PATH]

Real models come from the folder of assets; three harder networks are built and trained here (benchmarks/hard_networks)
and kept below build/. Every method runs in a process of its own, every artifact is scored in its engine in a process
of its own, and all artifacts of one model are timed interleaved in one process. AIMET and Quark want environments of
their own: `python -m venv E && E/bin/pip install aimet-onnx` (or `amd-quark onnxruntime torch`), then name
E/bin/python. Keep the machine quiet; a full run takes hours.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conversion.cells import converters_digest, digest_of
from quantization.attempt import make_all, time_together
from quantization.cases import CASES, is_there, prepare
from quantization.compared import judge
from quantization.methods import METHODS
from quantization.page import to_markdown

from edgeai_converters.versions import tool_versions
from edgeai_runtime.bench.machine import describe_machine

ROOT = Path(__file__).resolve().parent.parent
OURS = "ours"


def main() -> None:
    """Run the cases and methods asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, default=ROOT.parent / "shared" / "assets", help="folder of real models")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "quantization-peers", help="what is made is kept")
    parser.add_argument("--only", default="*", help="patterns of model or model/method, separated by commas")
    parser.add_argument("--resume", action="store_true", help="keep artifacts that this same code made before")
    parser.add_argument("--limit", type=float, default=1200.0, help="most seconds for making or scoring one artifact")
    parser.add_argument("--duration", type=float, default=2.0, help="seconds of timing per artifact")
    parser.add_argument("--aimet-python", default="", help="Python of an environment with aimet-onnx")
    parser.add_argument("--quark-python", default="", help="Python of an environment with amd-quark")
    parser.add_argument("--ours", default="", help="more words for `edgeai compress`, as '--precision float32,int8'")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    parser.add_argument("--json", type=Path, help="JSON file to write, with everything measured")
    arguments = parser.parse_args()
    interpreters = {"aimet": arguments.aimet_python, "quark": arguments.quark_python}
    peers_code = digest_of(own_files())
    code = f"{converters_digest()}-{peers_code}"
    wanted = choose(arguments.only)
    results: dict[str, Any] = {}
    for name in CASES:
        file = arguments.work / name / "result.json"
        if name in wanted and not is_there(name, arguments.assets):
            print(f"no {name} in {arguments.assets}: left out", file=sys.stderr)
        elif name in wanted:
            print(f"== {name}", file=sys.stderr, flush=True)
            folder = file.parent.resolve()
            job = prepare(name, arguments.assets.resolve(), folder, resume=arguments.resume)
            rows = make_all(
                job,
                folder,
                wanted[name],
                limit_s=arguments.limit,
                interpreters=interpreters,
                resume=arguments.resume,
                code={"ours": code, "peers": peers_code},
                options=arguments.ours.split(),
            )
            race = time_together(rows, folder, duration_s=arguments.duration, limit_s=arguments.limit)
            verdicts = judge(job, rows, race)
            results[name] = {"code": code, "rows": rows, "race": race, "verdicts": verdicts}
            file.write_text(json.dumps(results[name], indent=1), encoding="utf-8")
        elif arguments.resume and file.is_file():
            results[name] = json.loads(file.read_text(encoding="utf-8"))
    text = to_markdown(results, machine=describe_machine(), tools=tool_versions(), code=code)
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


def choose(patterns: str) -> dict[str, Sequence[str]]:
    """Return the methods to try by model, from patterns such as `resnet*`, `kwt1/ours`, `*/ort-*`.

    >>> choose("resnet8/ort-d*,resnet8/ours")
    {'resnet8': ['ours', 'ort-default']}
    """
    found: dict[str, Sequence[str]] = {}
    parts = [part if "/" in part else f"{part}/*" for part in patterns.split(",")]
    for case in CASES:
        names = [
            name for name in (OURS, *METHODS) if any(fnmatch.fnmatchcase(f"{case}/{name}", part) for part in parts)
        ]
        if names:
            found[case] = names
    if not found:
        sys.exit(f"nothing matches {patterns!r}; models: {', '.join(CASES)}; methods: {OURS}, {', '.join(METHODS)}")
    return found


def own_files() -> list[Path]:
    """Return the files that decide what the peers do and what they are given."""
    folder = Path(__file__).resolve().parent
    return [*sorted((folder / "quantization").glob("*.py")), *sorted((folder / "hard_networks").glob("*.py"))]


if __name__ == "__main__":
    main()

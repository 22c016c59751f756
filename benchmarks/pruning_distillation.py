"""Pruning and distillation on real data: what they give on top of int8, and what a teacher is worth.

    python benchmarks/pruning_distillation.py [--case resnet8] [--quick] [--write docs/slimming.md] [--json FILE]

ResNet20 and ResNet8 are fine-tuned on 30,000 images first; a small MLP, LSTM and transformer are trained here. Each
float model then goes through `edgeai.compress` twice: for int8 alone, and with training data, pruning and half of
int8's latency (or size) as the budget. A copy of ResNet20 with half the channels is trained with and without its
teacher. Finished steps are kept below build/; an interrupted run goes on. `--quick` shows that everything runs, on a
few samples, and proves nothing. Keep the machine quiet: latencies are compared.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from conversion.cells import converters_digest
from slimming.cases import CASES, StudentCase, quick
from slimming.compressed import run_slimming
from slimming.page import to_markdown
from slimming.rows import Row, row_from_json
from slimming.students import run_students

from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of
from edgeai_runtime.bench.machine import describe_machine

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run the cases asked for and write the page with all that have a result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, default=ROOT.parent / "shared" / "assets", help="models and data")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "pruning-distillation", help="what is made is kept"
    )
    parser.add_argument("--case", default=",".join(CASES), help=f"names, separated by commas: {', '.join(CASES)}")
    parser.add_argument("--quick", action="store_true", help="few samples and passes: shows that it runs")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs made of these cases")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    parser.add_argument("--json", type=Path, help="JSON file to write, with every row")
    arguments = parser.parse_args()
    names = arguments.case.split(",")
    unknown = [name for name in names if name not in CASES]
    if unknown:
        sys.exit(f"there is no case {unknown[0]!r}: {', '.join(CASES)}")
    if not (arguments.assets / "index.json").is_file():
        sys.exit(f"no models in {arguments.assets}: name their folder with --assets")
    if arguments.quick and arguments.write:
        sys.exit("--quick proves nothing that could be written to a page")
    root = arguments.work / ("quick" if arguments.quick else "full")
    code = digest_of([converters_digest(), str(arguments.quick)])[:12]
    for name in names:
        print(f"== {name}", file=sys.stderr, flush=True)
        if arguments.fresh:
            shutil.rmtree(root / name, ignore_errors=True)
        row = run_case(name, arguments.assets.resolve(), (root / name).resolve(), is_quick=arguments.quick, code=code)
        (root / f"{name}.json").write_text(json.dumps(asdict(row), indent=1), encoding="utf-8")
        print(f"   {row.verdict}, {sum(row.seconds.values()):.0f} s in all", file=sys.stderr, flush=True)
    rows = [row_from_json(json.loads(file.read_text(encoding="utf-8"))) for file in _files(root)]
    text = to_markdown(rows, machine=describe_machine(), tools=tool_versions(), code=code)
    print(text)
    (root / "rows.json").write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    if arguments.json:
        shutil.copyfile(root / "rows.json", arguments.json)


def run_case(name: str, assets: Path, folder: Path, *, is_quick: bool, code: str) -> Row:
    """Run one case in its folder and return its row."""
    case = quick(CASES[name]) if is_quick else CASES[name]
    work = WorkFolder(folder, keep_days=None)
    if isinstance(case, StudentCase):
        return run_students(name, case, assets, work, code=code)
    return run_slimming(name, case, assets, work, code=code)


def _files(root: Path) -> list[Path]:
    return [file for name in CASES if (file := root / f"{name}.json").is_file()]


if __name__ == "__main__":
    main()

"""Try every source × family × format with `edgeai convert`, check what comes out, and write the table of the docs.

    python benchmarks/conversion_matrix.py [--write docs/conversions.md] [--json FILE] [--fresh | --resume] [--jobs 2]
                                           [--only PATTERNS]

Families are built with fixed seeds and saved by their frameworks first, once, in a work folder; the real models come
from the folder of assets and are left out when there is none. Each conversion runs in a process of its own with a time
limit. The three formats of a source run one after the other, so that its framework starts once: `edgeai convert` keeps
what it read, in a cache folder of this program's own.

Cells that are finished are kept in the work folder with the digest of the code that made them. `--fresh` goes on with
those of this very code: the page then states one code, also after an interruption. `--resume` also takes those that
worked with other code and the same versions of engines and frameworks; the page says how many. Without either, all are
run.
"""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import json
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import Any

from conversion.attempt import attempt
from conversion.cells import Cell, asset_cells, builders_digest, converters_digest, family_cells, save_families
from conversion.page import one_line, to_markdown

from edgeai_converters.versions import tool_versions
from edgeai_runtime.bench.machine import describe_machine

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run the cells asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, default=ROOT.parent / "shared" / "assets", help="folder of real models")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "conversion-matrix", help="folder to work in")
    parser.add_argument("--only", default="*", help="patterns of family/source/format, separated by commas")
    parser.add_argument("--fresh", action="store_true", help="keep cells finished by this very code")
    parser.add_argument("--resume", action="store_true", help="keep also those that worked with other code")
    parser.add_argument("--no-run", action="store_true", help="write the page from what is finished")
    parser.add_argument("--jobs", type=int, default=1, help="conversions at a time")
    parser.add_argument("--limit", type=float, default=600.0, metavar="SECONDS", help="longest time of a conversion")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    parser.add_argument("--json", type=Path, help="JSON file to write, with everything measured")
    arguments = parser.parse_args()
    save_families(arguments.work)
    cells = [*family_cells(arguments.work), *_real(arguments.assets)]
    kept = Kept(arguments.work / "cells.json")
    patterns = arguments.only.split(",")
    wanted = [cell for cell in cells if any(fnmatch.fnmatch(cell.key, pattern) for pattern in patterns)]
    if not wanted:
        sys.exit(f"no cell is named like {arguments.only}; there are {cells[0].key}, …, {cells[-1].key}")
    if not arguments.no_run:
        todo = [
            cell
            for cell in wanted
            if not (arguments.fresh or arguments.resume) or not kept.is_done(cell, any_code=arguments.resume)
        ]
        print(f"{len(wanted)} cells, {len(todo)} to do", file=sys.stderr, flush=True)
        _run(todo, kept, jobs=arguments.jobs, limit_s=arguments.limit, cache=arguments.work / "cache")
    text = to_markdown(
        cells, kept.results(cells), machine=describe_machine(), tools=tool_versions(), code=converters_digest()
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(kept.results(cells), indent=1), encoding="utf-8")
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    print(text.split("\n## ")[0])
    if any(kept.results(wanted).get(cell.key, {}).get("status") == "wrong" for cell in wanted):
        sys.exit("a file was written whose outputs are wrong")


class Kept:
    """The finished cells, in a file that is rewritten after each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._all: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        self._versions = {**tool_versions(), "builders": builders_digest()}

    def is_done(self, cell: Cell, *, any_code: bool) -> bool:
        """Say whether a result still holds: made by these versions and this code, or, when asked so, a success."""
        result = self._all.get(cell.key)
        if result is None or result["versions"] != self._versions:
            return False
        success = result["status"] in ("works", "refused", "missing")
        return bool(result["code"] == converters_digest()) or (any_code and success)

    def add(self, cell: Cell, result: dict[str, Any], *, code: str) -> None:
        """Keep a result, made with converters of this digest."""
        self._all[cell.key] = {**result, "versions": self._versions, "code": code}
        beside = self._path.with_suffix(".part")
        beside.write_text(json.dumps(self._all, indent=1), encoding="utf-8")
        beside.replace(self._path)

    def results(self, cells: Iterable[Cell]) -> dict[str, dict[str, Any]]:
        """Return the results of these cells that were made by these versions."""
        found = {cell.key: self._all[cell.key] for cell in cells if cell.key in self._all}
        return {key: result for key, result in found.items() if result["versions"] == self._versions}


def _real(assets: Path) -> list[Cell]:
    if not (assets / "index.json").is_file():
        print(f"no real models in {assets}: they are left out (name their folder with --assets)", file=sys.stderr)
        return []
    return list(asset_cells(assets))


def _run(cells: list[Cell], kept: Kept, *, jobs: int, limit_s: float, cache: Path) -> None:
    """Attempt the cells, those of one source one after the other, and keep each result as it comes."""
    sources: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        sources.setdefault((cell.family, cell.form), []).append(cell)
    lock = Lock()
    done = itertools.count(1)

    def one(group: list[Cell]) -> None:
        for cell in group:
            if stopped.is_set():
                return
            code = converters_digest()
            result = attempt(cell, limit_s=limit_s, cache=cache)
            with lock:
                kept.add(cell, result, code=code)
                error = one_line(result["error"]["message"])[:150] if "error" in result else ""
                told = f"{result['status']} {result.get('seconds', 0):.1f} s {error}"
                print(f"[{next(done)}/{len(cells)}] {cell.key}: {told}", file=sys.stderr, flush=True)

    stopped = Event()
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(one, group) for group in sources.values()]
        try:
            for future in running:
                future.result()
        finally:  # after an interruption the conversions under way end, and no other begins
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)


if __name__ == "__main__":
    main()

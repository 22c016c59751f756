"""Compress the digits network for three engines, prove what it kept, and run the bundle as a device would.

    make demo            or    python examples/digits/run_demo.py

Writes `build/digits.edge` and `build/digits.html`. Everything here is the public API; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgeai
import edgeai_runtime
from edgeai.report import wording

HERE = Path(__file__).resolve().parent
MAX_DROP = 0.01
SHADES = " .:-=+*#%@"


def main() -> int:
    """Run the demo; return 0 when a candidate within the budget was found and the bundle answers."""
    parser = argparse.ArgumentParser(description="Compress the digits network and run the bundle.")
    parser.add_argument("--out", type=Path, default=HERE.parent.parent / "build", help="folder to write to")
    build = parser.parse_args().out
    started = time.perf_counter()
    result = edgeai.compress(
        HERE / "digits.onnx",
        data=HERE / "digits.npz",
        max_drop=MAX_DROP,
        preprocess="cast:dtype=float32;scale:factor=0.0625",  # pixels 0 to 16 → 0 to 1, written into the bundle
        postprocess="softmax",
        labels=[str(digit) for digit in range(10)],
        on_step=show_progress,
    )
    build.mkdir(parents=True, exist_ok=True)
    bundle = result.save(build / "digits.edge", force=True)
    report = build / "digits.html"
    report.write_text(result.report_html(), encoding="utf-8")

    document = result.to_json()
    show_candidates(document)
    for headline in wording.headlines(document):
        print(f"{headline.title + ':':<10}{headline.figure}. {headline.sentence}")
    if document["binding_limit"]:
        print(wording.binding_words(document["binding_limit"], within_budget=document["within_budget"]))

    predict(bundle)
    megabytes, packages = installed()
    print(f"\nBundle: {shown(bundle)}    Report: {shown(report)}")
    duration_s = time.perf_counter() - started
    print(f"Took {duration_s:.0f} s. Installed for this demo: {megabytes:.0f} MB in {packages} packages.")
    return 0 if document["within_budget"] else 1


def show_progress(done: int, total: int, label: str) -> None:
    """Keep one line of progress on stderr when it is a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K[{done}/{total}] {label}", end="" if done < total else "\n", file=sys.stderr, flush=True)


def show_candidates(document: dict[str, Any]) -> None:
    """Print every candidate in one line: what it weighs, how fast it is, what it lost and what became of it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Every candidate, measured in its own engine", box=None, header_style="bold")
    for title in ("candidate", "size", "latency", "speed", "drop", "95 % interval", "verdict", "status"):
        justify = "left" if title in ("candidate", "verdict", "status") else "right"
        table.add_column(title, justify=justify, no_wrap=title != "status")
    for candidate in document["candidates"]:
        metric = candidate["metric"]
        table.add_row(
            str(candidate["id"]),
            wording.size_words(candidate["size_bytes"]),
            wording.time_words((candidate["latency_ms"] or {}).get("median")),
            wording.ratio_words(candidate["speedup_vs_float"]),
            wording.drop_words(candidate["drop"], metric),
            wording.drop_range_words(candidate["drop_ci95"], metric),
            candidate["verdict"] or wording.NOTHING,
            candidate["status"] + (f": {candidate['reason']}" if candidate["reason"] else ""),
            style="bold green" if candidate["id"] == (document["best"] or {}).get("id") else None,
        )
    Console(width=None if sys.stdout.isatty() else 150).print(table)


def predict(bundle: Path) -> None:
    """Load the bundle with the on-device runtime and let it read six digits from raw pixels."""
    with np.load(HERE / "digits.npz") as data:
        images, labels = data["x"][:6], data["y"][:6]
    with edgeai_runtime.load(bundle) as model:
        answers = [np.ravel(model(image[None])) for image in images]
        print(f"\nedgeai_runtime.load({bundle.name!r}) runs {model.variant.id if model.variant else '?'} on", end=" ")
        print(f"{model.placement.delegate}:")
    for row in range(8):
        print("   ".join(drawn(image[0, row]) for image in images))
    for answer, label in zip(answers, labels, strict=True):
        print(f"{answer.argmax()} ({answer.max():.0%}), is {label}".ljust(16), end="   ")
    print()


def drawn(pixels: NDArray[np.uint8]) -> str:
    """Return one row of an image (values 0 to 16), two letters per pixel."""
    return "".join(SHADES[int(pixel) * len(SHADES) // 17] * 2 for pixel in pixels)


def installed() -> tuple[float, int]:
    """Return the megabytes and the number of packages in this Python's site-packages."""
    folders = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    return sum(file.stat().st_size for file in files) / 1e6, sum(file.name == "METADATA" for file in files)


def shown(path: Path) -> str:
    """Return a path as seen from the current folder, when it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())

"""A file against itself, hundreds of times: how often does `edgeai bench` rightly say "no difference"?

Every session is a fresh process that runs `edgeai.bench` on a file and a copy of it; its comparison is one trial of the
interleaved kind. Each two sessions that follow each other are a trial of the stored kind, as `--compare` makes it.
Sessions run at rest and with a load: as many processes as there are cores, each working and pausing by turns.

    python benchmarks/same_file_comparison.py [--sessions N] [--minutes M] [--write docs/same-file-comparison.md]

Finished sessions are kept in `build/`, so that a call goes on where the last one stopped; `--minutes 0` only writes the
page. The program ends with 1 when a rate is surely below the stated one, with its whole interval beneath.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from comparing.same_file_page import to_markdown
from runtime_cold_start import make_artifacts, write_network

from edgeai.benchmarking.compared import compare_stored, slower_than
from edgeai.benchmarking.result import PairComparison, Verdict
from edgeai.benchmarking.stored import check_report
from edgeai_converters.versions import tool_versions
from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.bench.statistics import SAME_FILE_MARGIN
from edgeai_runtime.bench.yardsticks import yardsticks

ROOT = Path(__file__).resolve().parent.parent
STATED_RATE = 0.95
CONDITIONS = ("rest", "load")
ENGINES = ("litert", "onnxruntime", "openvino")
MARGINS = (0.0, 0.01, 0.02, 0.03)
EFFECTS = (0.05, 0.10, 0.20)
LIMIT = 0.05

Session = dict[str, Any]


def main() -> int:
    """Run the sessions that are missing, write the page, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=200, help="per engine and condition")
    parser.add_argument("--minutes", type=float, default=10.0, help="no new session begins after that")
    parser.add_argument("--duration", type=float, default=1.0, help="seconds of timing per file and session")
    parser.add_argument("--conditions", default=",".join(CONDITIONS))
    parser.add_argument("--state", type=Path, default=ROOT / "build" / "same-file" / "sessions.jsonl")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    parser.add_argument("--session", type=Path, nargs=2, metavar=("FILE", "COPY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.session:
        print(json.dumps(run_session(*arguments.session, duration_s=arguments.duration)))
        return 0
    settings = {
        "duration_s": arguments.duration,
        "cpu": describe_machine()["cpu"],
        "tools": tool_versions(),
        "yardsticks": list(yardsticks()),
    }
    sessions = read_state(arguments.state, settings)
    more = run_missing(sessions, arguments, settings)
    rows = [row for condition in CONDITIONS for row in summarize_all(more, condition)]
    limits = {"rate": STATED_RATE, "margins": MARGINS, "effects": EFFECTS, "slower": LIMIT}
    text = to_markdown(rows, settings, limits)
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    rates = [one for row in rows for one in (row["rate"], row.get("passed")) if one is not None]
    return 1 if any(one["ci95"][1] < STATED_RATE for one in rates) else 0


def read_state(path: Path, settings: Session) -> list[Session]:
    """Return the sessions of earlier calls that were made in the same way; a line cut short is left out."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with contextlib.suppress(json.JSONDecodeError):
            session = json.loads(line)
            if session["settings"] == settings:
                kept.append(session)
    return kept


def run_missing(sessions: list[Session], arguments: argparse.Namespace, settings: Session) -> list[Session]:
    """Run what is missing, one after another through conditions and engines, until the time is up."""
    end = time.monotonic() + 60.0 * arguments.minutes
    counts = {(condition, engine): 0 for condition in arguments.conditions.split(",") for engine in ENGINES}
    for session in sessions:
        if (session["condition"], session["engine"]) in counts:
            counts[session["condition"], session["engine"]] += 1
    with tempfile.TemporaryDirectory(prefix="edgeai-same-file-") as folder:
        files: dict[str, tuple[Path, Path]] = {}
        while time.monotonic() < end and min(counts.values()) < arguments.sessions:
            condition, engine = min(counts, key=counts.__getitem__)
            files = files or make_files(Path(folder))
            command = [sys.executable, __file__, "--session", *map(str, files[engine])]
            with load() if condition == "load" else contextlib.nullcontext():
                done = subprocess.run(
                    [*command, "--duration", str(arguments.duration)], capture_output=True, text=True, check=True
                )
            result = json.loads(done.stdout.splitlines()[-1])
            sessions.append({"condition": condition, "engine": engine, "settings": settings, **result})
            arguments.state.parent.mkdir(parents=True, exist_ok=True)
            with arguments.state.open("a", encoding="utf-8") as state:
                state.write(json.dumps(sessions[-1]) + "\n")
            counts[condition, engine] += 1
            print(f"{condition} {engine} {counts[condition, engine]}", file=sys.stderr, flush=True)
    return sessions


def make_files(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return per engine a network of three convolutions, and its copy in a folder of its own."""
    pairs = {}
    source = write_network(folder / "net.onnx", layers=3, channels=32)
    for engine, path in make_artifacts(source, folder).items():
        shutil.copytree(path.parent, folder / "copy" / engine)
        pairs[engine] = (path, folder / "copy" / engine / path.name)
    return pairs


@contextlib.contextmanager
def load() -> Iterator[None]:
    """Keep all cores busy by turns: a process per core works and pauses for 1 to 500 ms each, drawn anew."""
    work = [sys.executable, "-c", "import same_file_comparison as own, sys; own.disturb(int(sys.argv[1]))"]
    count = int(describe_machine()["usable_cores"])
    processes = [subprocess.Popen([*work, str(seed)], cwd=Path(__file__).parent) for seed in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def disturb(seed: int) -> None:
    """Work and pause by turns until killed."""
    draw = random.Random(seed + time.time_ns())
    values = np.ones((96, 96))
    while True:
        end = time.monotonic() + draw.uniform(0.001, 0.5)
        while time.monotonic() < end:
            values = values @ values / 96.0
        time.sleep(draw.uniform(0.001, 0.5))


def run_session(file: Path, copy: Path, *, duration_s: float) -> Session:
    """Return the comparison of a file with its copy, and the document of the file alone."""
    import edgeai

    document = edgeai.bench([file, copy], threads=1, duration_s=duration_s).to_json()
    (pair,) = document["comparisons"]
    run = document["runs"][0]
    run["latency_ms"]["histogram"] = None
    run["artifact"] = run["label"] = file.name
    for one in (run, *document["yardsticks"]):
        one["rounds_ms"] = [float(f"{value:.5g}") for value in one["rounds_ms"]]
    return {"pair": pair, "document": {**document, "runs": [run], "comparisons": [], "settings": None}}


def summarize_all(sessions: Sequence[Session], condition: str) -> list[dict[str, Any]]:
    """Return two rows per engine, of one session and of two, as far as there are trials."""
    rows: list[dict[str, Any]] = []
    for engine in ENGINES:
        own = [one for one in sessions if (one["condition"], one["engine"]) == (condition, engine)]
        if len(own) >= 2:
            found = (summarize_turns(own), summarize_stored(own))
            rows += [{"condition": condition, "engine": engine, **one} for one in found]
    return rows


def rate(hits: int, trials: int) -> dict[str, Any]:
    """Return a share with its exact 95 % interval (Clopper and Pearson, Biometrika 26, 1934)."""
    from scipy.special import betaincinv

    misses = trials - hits
    low = float(betaincinv(hits, misses + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, misses, 0.975)) if misses else 1.0
    return {"hits": hits, "n": trials, "share": hits / trials, "ci95": (low, high)}


def summarize_turns(sessions: Sequence[Session]) -> dict[str, Any]:
    """Return what the comparisons within a session said, with other margins too."""
    pairs = [one["pair"] for one in sessions]
    bounds = np.array([one["ci95"] for one in pairs])
    apart = {margin: int(np.sum((bounds[:, 0] > 1 + margin) | (bounds[:, 1] * (1 + margin) < 1))) for margin in MARGINS}
    return {
        "how": "interleaved",
        "rate": rate(sum(one["verdict"] == "no_difference" for one in pairs), len(pairs)),
        "by_margin": {margin: 1 - count / len(pairs) for margin, count in apart.items()},
        "found": {effect: float(np.mean(bounds[:, 0] * (1 + effect) > 1 + SAME_FILE_MARGIN)) for effect in EFFECTS},
        "p95": float(np.quantile(np.abs([one["ratio"] - 1 for one in pairs]), 0.95)),
        "noisy": float(np.mean([one["document"]["runs"][0]["noise"]["noisy"] for one in sessions])),
        "load": float(
            np.median(
                [
                    load if (load := one["document"]["runs"][0]["noise"]["load"]) is not None else math.nan
                    for one in sessions
                ]
            )
        ),
    }


def summarize_stored(sessions: Sequence[Session]) -> dict[str, Any]:
    """Return what comparing each two sessions that follow each other said, every session in one pair."""
    documents = [check_report(one["document"], where="a session") for one in sessions]
    pairs = list(zip(documents[::2], documents[1::2], strict=False))
    found = [compare_stored(*pair)[0] for pair in pairs]
    ratios = np.array([one.ratio for one in found if not one.disturbed] or [math.nan])
    return {
        "how": "stored",
        "rate": rate(sum(one.verdict == "no_difference" for one in found), len(found)),
        "passed": rate(len(found) - len(slower_than(found, LIMIT)), len(found)),
        "found": {
            effect: sum(slowed(effect)(one).verdict == "slower" for one in found) / len(found) for effect in EFFECTS
        },
        "caught": {effect: len(slower_than(map(slowed(effect), found), LIMIT)) / len(found) for effect in EFFECTS},
        "disturbed": float(np.mean([one.disturbed for one in found])),
        "half": float(np.median([math.sqrt(one.ci95[1] / one.ci95[0]) - 1 for one in found])),
        "deviation": float(np.sqrt(np.mean(np.log(ratios) ** 2))),
        "raw": float(np.sqrt(np.mean([raw_ratio(*pair) ** 2 for pair in pairs]))),
        "p95": float(np.quantile(np.abs(ratios - 1), 0.95)),
    }


def slowed(effect: float) -> Callable[[PairComparison], PairComparison]:
    """Return what makes of a comparison the same one whose new file takes longer by a share."""

    def slow(one: PairComparison) -> PairComparison:
        low, high = (bound * (1 + effect) for bound in one.ci95)
        verdict: Verdict = "no_difference"
        if not one.disturbed:
            verdict = "slower" if low > 1 else "faster" if high < 1 else "no_difference"
        return replace(one, ratio=one.ratio * (1 + effect), ci95=(low, high), verdict=verdict)

    return slow


def raw_ratio(old: Session, new: Session) -> float:
    """Return the logarithm of the ratio of two sessions' medians, all rounds counted."""
    return math.log(new["runs"][0]["latency_ms"]["median"] / old["runs"][0]["latency_ms"]["median"])


if __name__ == "__main__":
    sys.exit(main())

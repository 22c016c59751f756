"""`edgeai bench` next to other benchmarks of the same artifact: do they tell the same time?

Per engine a network of a millisecond is measured by ours and by a peer (OpenVINO's `benchmark_app`, LiteRT's
`litert-benchmark`, a plain loop over ONNX Runtime), with the same threads and duration, each time in a fresh process,
in turns whose order is drawn.

    python benchmarks/benchmark_peers.py [--rounds N] [--write docs/benchmark-peers.md] [--json FILE]

They agree when the median ratio of the rounds lies within the noise that ours states: half the width of the interval
that `--compare` gives for two of our own results. The program ends with 1 when one surely does not, with its whole
interval beyond.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from comparing.peer_tools import PEERS, is_installed, ours
from runtime_cold_start import make_artifacts, write_network

from edgeai.benchmarking.compared import compare_stored
from edgeai_converters.versions import tool_versions
from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.bench.statistics import median_interval

LAYERS, CHANNELS = 6, 64
MOST_NOISE = 0.25  # where two of our own results may differ by more, agreeing with another means nothing


def main() -> int:
    """Run the measurement, write the page and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--duration", type=float, default=3.0, help="seconds of timing per measurement, whole ones")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default=",".join(PEERS), help="engines, separated by commas")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    parser.add_argument("--json", type=Path, help="JSON file to write")
    options = parser.parse_args()
    how = {"threads": options.threads, "duration_s": options.duration}
    with tempfile.TemporaryDirectory(prefix="edgeai-peers-") as name:
        artifacts = make_artifacts(write_network(Path(name) / "net.onnx", layers=LAYERS, channels=CHANNELS), Path(name))
        rows = []
        for engine in options.only.split(","):
            if is_installed(engine):
                rows.append(measure(engine, artifacts[engine], options.rounds, how))
            else:
                print(f"{PEERS[engine][0]} is not installed: left out", file=sys.stderr)
    text = to_markdown(rows, options.rounds, how)
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps({"machine": describe_machine(), "rows": rows}, indent=1) + "\n")
    return 1 if any(row["verdict"] == "differs" for row in rows) else 0


def measure(engine: str, path: Path, rounds: int, how: dict[str, Any]) -> dict[str, Any]:
    """Measure one artifact by both, `rounds` times, in an order that is drawn each time."""
    _, peer = PEERS[engine]
    order = random.Random(0)
    documents: list[dict[str, Any]] = []
    theirs: list[float] = []
    for number in range(rounds):
        steps = [lambda: documents.append(ours(path, **how)), lambda: theirs.append(peer(path, **how))]
        order.shuffle(steps)
        for step in steps:
            step()
        print(f"{engine} {number + 1}/{rounds}", file=sys.stderr, flush=True)
    return {"engine": engine, **judge(documents, theirs)}


def judge(documents: Sequence[dict[str, Any]], theirs: Sequence[float]) -> dict[str, Any]:
    """Return the ratio ours / theirs with its interval, the noise that ours states, and whether they agree.

    Raises:
        UsageError: there are no rounds.
    """
    medians = np.array([document["runs"][0]["latency_ms"]["median"] for document in documents])
    ratios = medians / np.array(theirs)
    low, high = median_interval(ratios)
    noise = stated_noise(documents)
    ratio = float(np.median(ratios))
    return {
        "ours_ms": float(np.median(medians)),
        "theirs_ms": float(np.median(theirs)),
        "ratio": ratio,
        "ci95": (low, high),
        "noise": noise,
        "verdict": verdict_of(ratio, (low, high), noise),
    }


def stated_noise(documents: Sequence[dict[str, Any]]) -> float:
    """Return by how much two of our own results may differ without it meaning anything: the median over neighbours.

    All rounds count, as the peers' do: they have no yardsticks that would tell the calm ones.
    """
    bare = [{**document, "yardsticks": []} for document in documents]
    pairs = [compare_stored(old, new)[0] for old, new in pairwise(bare)]
    return float(np.median([math.sqrt(one.ci95[1] / one.ci95[0]) - 1 for one in pairs])) if pairs else 0.0


def verdict_of(ratio: float, interval: tuple[float, float], noise: float) -> str:
    """Return `agrees` within the noise, `differs` when the whole interval is beyond it, else `unproven`."""
    if noise > MOST_NOISE:
        return "too noisy to say"
    low, high = 1 / (1 + noise), 1 + noise
    if low <= ratio <= high:
        return "agrees"
    return "differs" if interval[0] > high or interval[1] < low else "unproven"


def to_markdown(rows: Sequence[dict[str, Any]], rounds: int, how: dict[str, Any]) -> str:
    """Return the page."""
    machine = describe_machine()
    tools = ", ".join(f"{name} {version}" for name, version in tool_versions().items())
    lines = [
        "# Our benchmark next to others",
        "",
        "Written by `python benchmarks/benchmark_peers.py --write docs/benchmark-peers.md`; nothing is typed in.",
        f"Machine: {machine['cpu']}, {machine['usable_cores']} cores, Python {machine['python']}; {tools}.",
        "",
        f"One network ({LAYERS} convolutions of {CHANNELS} channels), the same artifact for both, batch 1, threads: "
        f"{how['threads']},",
        f"{how['duration_s']:g} s per measurement, {rounds} measurements each, every one in a fresh process, in turns",
        "whose order is drawn. *noise*: by how much two of our own results may differ without it",
        "meaning anything, as `edgeai bench --compare` states it without yardsticks (the others have none).",
        "The ratio is ours by theirs, the median over the",
        "rounds with its 95 % interval; the benchmarks agree when it lies within the noise. Where that is above "
        f"{MOST_NOISE:.0%}",
        "nothing is said.",
        "",
        "| engine | next to | ours ms | theirs ms | ratio | 95 % | noise | |",
        "|---|---|---:|---:|---:|---:|---:|---|",
        *(_line(row) for row in rows),
        "",
        "`benchmark_app` and `litert-benchmark` count the call alone, with inputs and outputs left in the engine's",
        "memory; the plain loop and ours count arrays in and out, as a program uses them: some microseconds more.",
    ]
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any]) -> str:
    low, high = row["ci95"]
    cells = [row["engine"], PEERS[row["engine"]][0], f"{row['ours_ms']:.3f}", f"{row['theirs_ms']:.3f}"]
    cells += [f"{row['ratio']:.3f}", f"{low:.3f} to {high:.3f}", f"{row['noise']:.1%}", row["verdict"]]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())

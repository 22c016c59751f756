"""The page of `same_file_comparison.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeai.benchmarking.between_sessions import BETWEEN_PROCESSES
from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.bench.statistics import SAME_FILE_MARGIN

Row = Mapping[str, Any]

_FIRST = ("", "engine", "trials", "no difference", "95 %")


def to_markdown(rows: Sequence[Row], settings: Mapping[str, Any], limits: Mapping[str, Any]) -> str:
    """Return the page: one table of comparisons in turns, one of stored ones."""
    machine = describe_machine()
    tools = ", ".join(f"{name} {version}" for name, version in settings["tools"].items())
    margins = [f"margin {margin:.0%}" for margin in limits["margins"]]
    lines = [
        "# A file against itself",
        "",
        "Written by `python benchmarks/same_file_comparison.py --write docs/same-file-comparison.md`;",
        "nothing is typed in.",
        f"Machine: {machine['cpu']}, {machine['usable_cores']} cores, Python {machine['python']}; {tools}.",
        "",
        "A comparison that finds a difference where there is none is wrong. Here a network of three convolutions is",
        f"compared with itself, one thread, {settings['duration_s']:g} s of timing per file; each session is a fresh",
        "process. *load*: a process per core works and pauses by turns. Stated: `no_difference` in at least",
        f"{limits['rate']:.0%} of the trials; the program fails when a rate is surely below. Intervals of rates are",
        "exact (Clopper–Pearson, 95 %). *found*: how often the same data, one side made slower by so much, is told to",
        "be slower; a comparison that never alarms would find nothing.",
        "",
        "## In one session, in turns",
        "",
        f"`edgeai bench FILE COPY`. The margin in use is {SAME_FILE_MARGIN:.0%}: less is no difference, since the",
        "buffers of two copies lie at other addresses, which no number of rounds averages out. The columns *margin*",
        "tell the rate that others would give; *off by*, the 95th percentile of the ratio's distance from 1.",
        "",
        *_table(
            [*_FIRST, *margins, "off by", *_found(limits), "told to be noisy", "cores taken by others"],
            [_turns_cells(row) for row in rows if row["how"] == "interleaved"],
        ),
        "",
        "## In two sessions, from two files",
        "",
        "`edgeai bench --compare old.json new.json`: each two consecutive sessions, compared by the rounds that their",
        "yardsticks call calm. The interval holds the drift within each session and a deviation of",
        f"{BETWEEN_PROCESSES:.1%} between processes. *Undecided*: one of the two sessions held nothing calm, so the",
        "comparison proves nothing and no gate fails. *Off by* and *deviation* are of the ratio from 1, where it",
        "is decided; *of medians*, that of the ratio of the plain medians in all trials: what one sees who knows",
        "nothing of the machine.",
        "",
        *_table(
            [*_FIRST, *_found(limits), "undecided", "half width of the interval", "off by", "deviation", "of medians"],
            [_stored_cells(row) for row in rows if row["how"] == "stored"],
        ),
        "",
        f"As a gate, `--fail-if-slower {limits['slower']:.0%}`: how often the same file passes, and how often the",
        "same data with one side made slower fail, as they should.",
        "",
        *_table(
            ["", "engine", "trials", "passes", "95 %", *(f"+{effect:.0%} caught" for effect in limits["effects"])],
            [_gate_cells(row) for row in rows if row["how"] == "stored"],
        ),
    ]
    return "\n".join(lines) + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", "---", *["---:"] * (len(heads) - 2)]
    return [f"| {' | '.join(line)} |" for line in (heads, rule, *rows)]


def _found(limits: Mapping[str, Any]) -> list[str]:
    return [f"+{effect:.0%} found" for effect in limits["effects"]]


def _turns_cells(row: Row) -> list[str]:
    cells = [*_rate_cells(row, "rate"), *(f"{share:.1%}" for share in row["by_margin"].values()), f"{row['p95']:.1%}"]
    return [*cells, *(f"{share:.0%}" for share in row["found"].values()), f"{row['noisy']:.0%}", f"{row['load']:.1f}"]


def _stored_cells(row: Row) -> list[str]:
    cells = [*_rate_cells(row, "rate"), *(f"{share:.0%}" for share in row["found"].values()), f"{row['disturbed']:.0%}"]
    return [*cells, *(f"{row[name]:.1%}" for name in ("half", "p95", "deviation", "raw"))]


def _gate_cells(row: Row) -> list[str]:
    return [*_rate_cells(row, "passed"), *(f"{share:.0%}" for share in row["caught"].values())]


def _rate_cells(row: Row, name: str) -> list[str]:
    rate = row[name]
    low, high = rate["ci95"]
    return [row["condition"], row["engine"], str(rate["n"]), f"{rate['share']:.1%}", f"{low:.1%} to {high:.1%}"]

"""The table that `edgeai bench` prints, and the lines below it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from edgeai.cli import output as out

_BARS = "▁▂▃▄▅▆▇█"
_SPARKS = 12


def render(document: Mapping[str, Any]) -> None:
    """Print the machine, a table of runs, the comparisons, and what could not be measured."""
    from rich.markup import escape
    from rich.table import Table

    machine = document["machine"]
    typer.echo(f"{machine.get('cpu', 'this machine')} · {machine.get('isa', '')} · one call after the other")
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("artifact", no_wrap=True)
    table.add_column("ran on", no_wrap=True)
    for heading in ("median", "95 %", "p90", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("latency", no_wrap=True)
    for heading in ("load", "memory", "outputs"):
        table.add_column(heading, justify="right", no_wrap=True)
    folder = common_folder([run["artifact"] for run in document["runs"]])
    for run in document["runs"]:
        table.add_row(*(escape(cell) for cell in _cells(run, folder)))
    out.console().print(table)
    told: set[str] = set()
    for run in document["runs"]:
        for line in _more(run):
            if f"{run['artifact']} {run['delegate']} {line}" not in told:  # several scenarios share the rest
                typer.echo(f"{(run['label'] or run['artifact']).removeprefix(folder)}: {line}")
            told.add(f"{run['artifact']} {run['delegate']} {line}")
    for comparison in document["comparisons"]:
        names = {side: comparison[side].removeprefix(folder) for side in ("a", "b")}
        typer.echo(comparison_in_words({**comparison, **names}))
    for failure in document.get("skipped", ()):
        out.warn(f"not measured: {failure['artifact'].removeprefix(folder)}: {failure['reason']}")


def common_folder(artifacts: Sequence[str]) -> str:
    """Return the folder that all artifacts are in, with the separator that follows it; empty when there is none."""
    folders = [os.path.dirname(artifact.partition("#")[0]) for artifact in artifacts]
    if not all(folders) or len({os.path.isabs(folder) for folder in folders}) > 1:
        return ""
    folder = os.path.commonpath(folders)
    return folder + os.sep if folder else ""


def _cells(run: Mapping[str, Any], folder: str) -> list[str]:
    latency = run["latency_ms"]
    low, high = latency["median_ci95"]
    match = {True: "match", False: "DIFFER", None: "-"}[run["outputs_match"]]
    return [
        run["artifact"].removeprefix(folder),
        _where(run),
        out.milliseconds_in_words(latency["median"]),
        f"[{out.three_digits(low)}, {out.three_digits(high)}]",
        out.milliseconds_in_words(latency["p90"]),
        out.milliseconds_in_words(latency["p99"]),
        sparkline(((latency.get("histogram") or {}).get("counts")) or ()),
        out.milliseconds_in_words(run["load_ms"]),
        "-" if run["rss_mib"] is None else f"{run['rss_mib']:.1f} MiB",
        match,
    ]


def sparkline(counts: Sequence[int], width: int = _SPARKS) -> str:
    """Return counts as a line of at most `width` bars; neighbours are added up to fit, no count is an empty place."""
    if not counts or not sum(counts):
        return ""
    step = -(-len(counts) // width)
    sums = [sum(counts[start : start + step]) for start in range(0, len(counts), step)]
    most = max(sums)
    return "".join(_BARS[max(0, -(-value * len(_BARS) // most) - 1)] if value else " " for value in sums)


def _where(run: Mapping[str, Any]) -> str:
    shares = [f"{share:.0%} {device}" for device, share in run["placement"].items() if share]
    told = [", ".join(shares) or "unknown", f"{run['threads']} thread{'s'[: run['threads'] > 1]}"]
    told += [f"batch {run['batch']}"] if run.get("batch", 1) > 1 else []
    return f"{run['delegate']} ({', '.join(told)})"


def _more(run: Mapping[str, Any]) -> list[str]:
    """Return what was measured beside the plain calls, a line each."""
    lines = []
    outcome, accuracy, energy = run.get("outcome"), run.get("accuracy"), run.get("energy")
    phases, sustained, noise = run.get("phases"), run.get("sustained"), run.get("noise")
    if outcome:
        told = f"{outcome['metric'].replace('_', ' ')} {out.three_digits(outcome['value'])}"
        wrong = "" if outcome["valid"] else f"; not valid: {outcome['reason']}"
        lines.append(f"{outcome['scenario']} ({outcome['tier']}, {outcome['driver']}): {told}{wrong}")
    if phases:
        words = [
            f"{key[:-3].replace('_', ' ')} {out.milliseconds_in_words(phases[key])}"
            for key in phases
            if key.endswith("_ms") and phases[key] is not None
        ]
        lines.append(", ".join(words))
    if accuracy:
        lines.append(f"{accuracy['metric']} {accuracy['score']:.4f} over {accuracy['n']} samples")
    if energy and energy["joules_per_call"] is not None:
        lines.append(f"{energy['joules_per_call'] * 1e3:.3g} mJ per call ({energy['meter']})")
    if sustained:
        lines.append(f"sustained {sustained['seconds']:.0f} s: {sustained['reason']}")
    if noise and noise["noisy"]:
        lines.append(f"noisy: {noise['reason']}")
    return lines


def comparison_in_words(comparison: Mapping[str, Any]) -> str:
    """Return `A is 2.00x faster than B  (time ratio 0.500, 95 % [0.49, 0.51])`."""
    low, high = comparison["ci95"]
    a, b, ratio = comparison["a"], comparison["b"], comparison["ratio"]
    words = {
        "faster": f"{a} is {1 / ratio:.2f}x faster than {b}",
        "slower": f"{a} is {ratio:.2f}x slower than {b}",
        "no_difference": f"{a} and {b}: no difference",
    }[comparison["verdict"]]
    note = f"; {comparison['note']}" if comparison.get("note") else ""
    return f"{words}  (time ratio {ratio:.3f}, 95 % [{low:.3f}, {high:.3f}]{note})"

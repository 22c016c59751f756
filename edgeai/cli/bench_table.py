"""The table that `edgeai bench` prints, and the lines below it."""

from __future__ import annotations

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

    from edgeai.report.bench_runs import by_label, run_views, short_names, shorten

    machine = document["machine"]
    typer.echo(f"{machine.get('cpu', 'this machine')} · {machine.get('isa', '')} · one call after the other")
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("artifact", no_wrap=True)
    table.add_column("ran on", no_wrap=True)
    for heading in ("median", "95 %", "p90", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("latency", no_wrap=True)
    for heading in ("per second", "load", "memory", "outputs"):
        table.add_column(heading, justify="right", no_wrap=True)
    views = run_views(document)
    for view in views:
        table.add_row(*(escape(cell) for cell in (view.name, *_cells(view.data))))
    out.console().print(table)
    for view in views:
        for line in _more(view.data, view.outcomes):
            typer.echo(f"{view.label}: {line}")
    known = by_label(views)
    names = short_names([run["artifact"] for run in document["runs"]])
    for comparison in document["comparisons"]:
        sides = {
            side: known[label].label if (label := comparison[side]) in known else shorten(label, names) for side in "ab"
        }
        typer.echo(comparison_in_words({**comparison, **sides}))
    quiet = _quiet(document["runs"])
    if quiet:
        typer.echo(quiet)
    for failure in document.get("skipped", ()):
        out.warn(f"not measured: {shorten(failure['artifact'], names)}: {failure['reason']}")


def _cells(run: Mapping[str, Any]) -> list[str]:
    latency = run["latency_ms"]
    low, high = latency["median_ci95"]
    match = {True: "match", False: "DIFFER", None: "-"}[run["outputs_match"]]
    return [
        _where(run),
        out.milliseconds_in_words(latency["median"]),
        f"[{out.three_digits(low)}, {out.three_digits(high)}]",
        out.milliseconds_in_words(latency["p90"]),
        out.milliseconds_in_words(latency["p99"]),
        sparkline(((latency.get("histogram") or {}).get("counts")) or ()),
        out.three_digits(run["throughput_per_s"]),
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
    told = [", ".join(shares) or "unknown", *(["simulated"] if run.get("emulated") else [])]
    told += [f"{run['threads']} thread{'s'[: run['threads'] > 1]}"]
    told += [f"batch {run['batch']}"] if run.get("batch", 1) > 1 else []
    return f"{run['delegate']} ({', '.join(told)})"


def _more(run: Mapping[str, Any], outcomes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what was measured beside the plain calls, a line each."""
    lines = [_scenario(outcome) for outcome in outcomes]
    accuracy, energy = run.get("accuracy"), run.get("energy")
    phases, sustained, noise = run.get("phases"), run.get("sustained"), run.get("noise")
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


def _quiet(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return how calm the machine was in the worst of the runs, and whether any of them is noisy; nothing if untold."""
    judged = [noise for run in runs if (noise := run.get("noise"))]
    calm = [noise["calm"] for noise in judged if noise.get("calm") is not None]
    if not calm:
        return ""
    noisy = sum(noise["noisy"] for noise in judged)
    least = f"{'at least ' if len(calm) > 1 else ''}{int(min(calm) * 100 + 1e-9)} % of the rounds calm"
    return f"machine: {f'{noisy} of {len(judged)} runs noisy' if noisy else 'quiet'}, {least}"


def _scenario(outcome: Mapping[str, Any]) -> str:
    """Return `offline (quick, edgeai): 512 samples per s`, with the bound of a latency, and why it is not valid."""
    time = outcome["metric"].endswith("_ms")
    name = outcome["metric"].removesuffix("_ms").replace("_", " ")

    def words(value: float) -> str:
        return out.milliseconds_in_words(value) if time else out.three_digits(value)

    told = f"{name} {words(outcome['value'])}" if time else f"{words(outcome['value'])} {name}"
    if time and outcome["bound"] is not None:
        told += f" (at most {words(outcome['bound'])} with 99 % confidence)"
    wrong = "" if outcome["valid"] else f"; not valid: {outcome['reason']}"
    return f"{outcome['scenario']} ({outcome['tier']}, {outcome['driver']}): {told}{wrong}"


def comparison_in_words(comparison: Mapping[str, Any]) -> str:
    """Return `A is 2.00x faster than B  (time ratio 0.500, 95 % [0.49, 0.51])`; of stored results `than before`."""
    low, high = comparison["ci95"]
    a, b, ratio = comparison["a"], comparison["b"], comparison["ratio"]
    if comparison.get("how") == "stored":
        b = "before" if a == b else f"{b} before"
    words = {
        "faster": f"{a} is {1 / ratio:.2f}x faster than {b}",
        "slower": f"{a} is {ratio:.2f}x slower than {b}",
        "no_difference": f"{a}: no difference to before" if b == "before" else f"{a} and {b}: no difference",
    }[comparison["verdict"]]
    note = f"; {comparison['note']}" if comparison.get("note") else ""
    return f"{words}  (time ratio {ratio:.3f}, 95 % [{low:.3f}, {high:.3f}]{note})"

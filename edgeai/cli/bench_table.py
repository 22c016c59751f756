"""The table that `edgeai bench` prints, and the lines below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from edgeai.cli import output as out

if TYPE_CHECKING:
    from rich.table import Table

_BARS = "▁▂▃▄▅▆▇█"
_SPARKS = 12

_COLUMNS = ("artifact", "ran on", "median", "95 %", "p90", "p99", "latency", "per second", "load", "memory", "outputs")
_LEFT = ("artifact", "ran on", "latency")
_LAYOUTS: tuple[tuple[bool, frozenset[str]], ...] = (
    (False, frozenset()),
    (False, frozenset({"load", "memory"})),
    (True, frozenset({"ran on", "load", "memory"})),
    (True, frozenset({"ran on", "load", "memory", "latency"})),
    (True, frozenset({"ran on", "load", "memory", "latency", "p90"})),
    (True, frozenset({"ran on", "load", "memory", "latency", "p90", "95 %"})),
    (True, frozenset({"ran on", "load", "memory", "latency", "p90", "95 %", "per second"})),
)
"""From the widest terminal to the narrowest: whether names and places share a column, and what is left out."""

_FOLDED = 42
"""Letters of a name that a narrow terminal has room for; longer ones are folded."""

FEW = 3
"""Delegates that are not here are told one by one up to this many; `all` finds dozens of them."""


def render(document: Mapping[str, Any]) -> None:
    """Print the machine, a table of runs, the comparisons, and what could not be measured."""
    from edgeai.report.bench_findings import noise_rows
    from edgeai.report.bench_runs import by_label, run_views, short_names, shorten
    from edgeai_runtime.delegates.table import DELEGATES

    machine = document["machine"]
    typer.echo(f"{machine.get('cpu', 'this machine')} · {machine.get('isa', '')} · one call after the other")
    views = run_views(document)
    console = out.console()
    console.print(_table([{"artifact": view.name, **_cells(view.data)} for view in views], console.width))
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
    for row in noise_rows(views):
        of_all = len(row["runs"]) == len(views) > 1
        typer.echo(f"noisy: {'all runs' if of_all else ', '.join(view.label for view in row['runs'])}: {row['words']}")
    quiet = _quiet(document["runs"])
    if quiet:
        typer.echo(quiet)
    skipped = document.get("skipped", ())
    absent = [failure["artifact"] for failure in skipped if failure["artifact"] in DELEGATES]
    for failure in skipped:
        if len(absent) <= FEW or failure["artifact"] not in absent:
            out.warn(f"not measured: {shorten(failure['artifact'], names)}: {failure['reason']}")
    if len(absent) > FEW:
        out.warn(f"not usable on this machine (`edgeai devices` tells why): {', '.join(absent)}")


def _table(rows: Sequence[Mapping[str, str]], width: int) -> Table:
    """Return as much of the rows as fits: figures are left out whole, never cut; a long name is folded."""
    from rich.markup import escape
    from rich.table import Table

    for narrow, left_out in _LAYOUTS:
        kept = [name for name in _COLUMNS if name not in left_out]
        cells = [_stacked(row) if narrow else row for row in rows]
        widths = {name: max(_widest(row[name]) for row in [*cells, {name: name}]) + 2 for name in kept}
        if narrow:
            widths["artifact"] = min(widths["artifact"], _FOLDED)
        if sum(widths.values()) <= width:
            break
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in kept:
        left = name in _LEFT
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "artifact", overflow="fold")
    for row in cells:
        table.add_row(*(escape(row[name]) for name in kept))
    return table


def _stacked(row: Mapping[str, str]) -> dict[str, str]:
    """Return the row with where it ran below its name."""
    return {**row, "artifact": f"{row['artifact']}\n  {row['ran on']}"}


def _widest(cell: str) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, cell.split("\n")))


def _cells(run: Mapping[str, Any]) -> dict[str, str]:
    latency = run["latency_ms"]
    low, high = latency["median_ci95"]
    return {
        "ran on": _where(run),
        "median": out.milliseconds_in_words(latency["median"]),
        "95 %": f"[{out.three_digits(low)}, {out.three_digits(high)}]",
        "p90": out.milliseconds_in_words(latency["p90"]),
        "p99": out.milliseconds_in_words(latency["p99"]),
        "latency": sparkline(((latency.get("histogram") or {}).get("counts")) or ()),
        "per second": out.three_digits(run["throughput_per_s"]),
        "load": out.milliseconds_in_words(run["load_ms"]),
        "memory": "-" if run["rss_mib"] is None else f"{run['rss_mib']:.1f} MiB",
        "outputs": {True: "match", False: "DIFFER", None: "-"}[run["outputs_match"]],
    }


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
    phases, sustained = run.get("phases"), run.get("sustained")
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

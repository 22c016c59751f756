"""The result of `compress` for people: one row per candidate, then what was gained, what was lost and how sure we are.

Works on the JSON document alone, so that what people read and what programs read cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeai.cli.output import bytes_in_words, console, milliseconds_in_words, warn

_SHARES = {"top1", "top5", "agreement"}
"""Metrics that are a share of the samples and read best in percent."""

_ERRORS = {"mae", "rmse"}
"""Metrics that are errors: their drop is given in hundredths of the labels' standard deviation."""

_AS_FAST = "as fast"

Candidate = Mapping[str, Any]


def render(document: Mapping[str, Any], *, html: Path | None = None) -> None:
    """Print the table, the sentences and the files written."""
    from rich.markup import escape
    from rich.table import Table

    best = document["best"]
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for heading in ("", "format", "precision"):
        table.add_column(heading, no_wrap=True)
    for heading in ("size", "latency", "vs float", "score", "drop, % [95 %]"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("verdict", "status"):
        table.add_column(heading, no_wrap=heading == "verdict")
    for candidate in document["candidates"]:
        is_best = best is not None and candidate["id"] == best["id"]
        style = "bold" if is_best else "" if candidate["status"] == "accepted" else "dim"
        table.add_row(*(escape(cell) for cell in _row(candidate, is_best=is_best)), style=style)
    screen = console()
    screen.print(table)
    screen.print()
    screen.print(escape(summary(document)))
    screen.print(escape(f"bundle: {document['bundle']}"))
    if html is not None:
        screen.print(escape(f"report: {html}"))
    for note in document.get("notes", ()):
        warn(f"note: {note}")


def summary(document: Mapping[str, Any]) -> str:
    """Return what was gained, what was lost and how sure we are, in words made from the document."""
    best = document["best"]
    if best is None:
        return "No candidate could be made."
    limit = document["binding_limit"]
    if not document.get("within_budget", limit is None):
        opening = f"Nothing fits the budget: {limit} binds. Nearest is {_name(best)}"
    elif limit:
        opening = f"Nothing smaller fits the budget: {limit} binds. Best: {_name(best)}"
    else:
        opening = f"Best: {_name(best)}"
    return f"{opening}, {_gained(best, document['candidates'])}. {_lost(best)}"


def _row(candidate: Candidate, *, is_best: bool) -> tuple[str, ...]:
    latency = candidate.get("latency_ms") or {}
    speedup = candidate.get("speedup_vs_float")
    status = candidate["status"]
    reason = candidate.get("reason") or ""
    return (
        "★" if is_best else "",
        candidate["format"],
        _precision(candidate),
        bytes_in_words(candidate.get("size_bytes")),
        milliseconds_in_words(latency.get("median")),
        "-" if speedup is None else f"{speedup:.2f}x",
        _score(candidate, "score"),
        _drop(candidate),
        candidate.get("verdict") or "-",
        f"{status}: {reason}" if reason else status,
    )


def _name(candidate: Candidate) -> str:
    return f"{candidate['format']} {_precision(candidate)}"


def _precision(candidate: Candidate) -> str:
    """The precision, and which narrower network it is of."""
    network = candidate.get("network")
    return f"{candidate['precision']} of {network}" if network else str(candidate["precision"])


def _score(candidate: Candidate, key: str) -> str:
    value = candidate.get(key)
    if value is None:
        return "-"
    return f"{value * 100:.2f} %" if candidate.get("metric") in _SHARES else f"{value:.4g}"


def _drop(candidate: Candidate) -> str:
    drop, interval = candidate.get("drop"), candidate.get("drop_ci95")
    if drop is None:
        return "-"
    text = _points(drop)
    return f"{text} [{_points(interval[0])}, {_points(interval[1])}]" if interval else text


def _points(drop: float) -> str:
    """A drop in points with its sign; never a negative zero."""
    return f"{round(drop * 100, 2) + 0.0:+.2f}"


def _gained(best: Candidate, candidates: list[Candidate]) -> str:
    size = bytes_in_words(best.get("size_bytes"))
    reference = next(
        (each for each in candidates if each["format"] == best["format"] and each["precision"] == "float32"), None
    )
    parts = []
    if reference is not None and reference["id"] != best["id"] and reference.get("size_bytes") and best["size_bytes"]:
        parts.append(f"{reference['size_bytes'] / best['size_bytes']:.1f}x smaller")
    speedup = best.get("speedup_vs_float")
    if speedup is not None and reference is not None and reference["id"] != best["id"]:
        parts.append(_pace(speedup))
    latency = milliseconds_in_words((best.get("latency_ms") or {}).get("median"))
    if not parts:
        return f"{size}, {latency}"
    compared = "as" if parts[-1] == _AS_FAST else "than"
    return f"{' and '.join(parts)} {compared} float32 in the same engine ({size}, {latency})"


def _pace(speedup: float) -> str:
    if 0.95 <= speedup < 1.05:
        return _AS_FAST
    return f"{speedup:.1f}x faster" if speedup > 1 else f"{1 / speedup:.1f}x slower"


def _lost(best: Candidate) -> str:
    drop = best.get("drop")
    if drop is None:
        return "Nothing is known of its accuracy: no data was given, so nothing is certified."
    metric, n = best["metric"], best["n"]
    change = "loses" if drop > 0 else "gains" if drop < 0 else "keeps"
    unit = "% of the labels' standard deviation in" if metric in _ERRORS else "points of"
    amount = f"{abs(drop) * 100:.2f} {unit} {metric}" if drop else f"its {metric}"
    scores = f"{_score(best, 'source_score')} → {_score(best, 'score')}"
    low, high = best["drop_ci95"]
    points = "%" if metric in _ERRORS else "points"
    sure = f"with 95 % confidence the drop is between {_points(low)} and {_points(high)} {points} ({n} samples)"
    verdict = {
        "certified": "certified within the budget",
        "unproven": f"within the budget here, but {n} samples do not prove it",
        "violated": "over the budget",
    }.get(best.get("verdict") or "", "not judged")
    return f"It {change} {amount} ({scores}); {sure}: {verdict}."

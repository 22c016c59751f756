"""The HTML report of `compress`: what the template `compress.html.j2` shows of its document.

Words are made in `wording.py`, plots in `plots/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from edgeai.report import wording
from edgeai.report.page import fact_groups, fill_page
from edgeai.report.plots.candidates import drop_plot, pareto_plot


def render_compress_report(document: Mapping[str, Any]) -> str:
    """Return the report page for the JSON document of `compress`.

    Args:
        document: what `edgeai compress --json` prints. Numbers may be `None` (a candidate that failed has few);
            keys beyond the documented ones are ignored.

    Returns:
        A whole HTML page as text; every value of the document is escaped.
    """
    plots = {"pareto": pareto_plot(document), "drops": drop_plot(document)}
    return fill_page(
        "compress.html.j2",
        source=wording.source_words(document.get("source")),
        bundle=document.get("bundle"),
        headlines=wording.headlines(document),
        binding=wording.binding_words(document.get("binding_limit"), within_budget=bool(document.get("within_budget"))),
        plots={name: Markup(svg) if svg else None for name, svg in plots.items()},
        candidates=[_row(document, candidate, number) for number, candidate in _numbered(document)],
        formats=sorted({str(candidate.get("format")) for _, candidate in _numbered(document)}),
        facts=_facts(document),
    )


def _numbered(document: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    return list(enumerate(document.get("candidates") or (), start=1))


def _row(document: Mapping[str, Any], candidate: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return the words of one line of the candidates' table."""
    metric = candidate.get("metric") or document.get("metric")
    latency = candidate.get("latency_ms") or {}
    interval = latency.get("median_ci95")
    best = document.get("best") or {}
    reference, size = wording.float_size(document, candidate), candidate.get("size_bytes")
    return {
        "number": number,
        "id": candidate.get("id"),
        "format": candidate.get("format"),
        "precision": candidate.get("precision"),
        "recipe": wording.recipe_words(candidate.get("recipe")),
        "is_best": candidate.get("id") is not None and candidate.get("id") == best.get("id"),
        "on_front": candidate.get("id") in (document.get("pareto") or ()),
        "size": wording.size_words(size),
        "shrink": wording.ratio_words(reference / size) + " smaller" if reference and size and reference > size else "",
        "median": wording.time_words(latency.get("median")),
        "median_ci95": f"{wording.time_words(interval[0])} to {wording.time_words(interval[1])}" if interval else "",
        "p90": wording.time_words(latency.get("p90")),
        "speedup": wording.ratio_words(candidate.get("speedup_vs_float")),
        "speedup_ci95": wording.ratio_range_words(candidate.get("speedup_ci95")),
        "score": wording.score_words(candidate.get("score"), metric),
        "source_score": wording.score_words(candidate.get("source_score"), metric),
        "drop": wording.drop_words(candidate.get("drop"), metric),
        "drop_ci95": wording.drop_range_words(candidate.get("drop_ci95"), metric),
        "flips": wording.NOTHING if candidate.get("flip_rate") is None else f"{candidate['flip_rate'] * 100:.2f} %",
        "n": wording.NOTHING if candidate.get("n") is None else f"{candidate['n']:,}",
        "split": candidate.get("split") or "",
        "memory": _mib(candidate.get("peak_memory_mib")),
        "verdict": candidate.get("verdict"),
        "status": candidate.get("status"),
        "reason": candidate.get("reason") or "",
        "placed": candidate.get("delegate") or candidate.get("engine") or "",
        "samples_needed": candidate.get("samples_needed"),
        "notes": _notes(candidate.get("notes")),
    }


def _notes(notes: Any) -> list[str]:
    return [notes] if isinstance(notes, str) else [str(note) for note in notes or ()]


def _mib(value: float | None) -> str:
    return wording.NOTHING if value is None else f"{value:.3g} MiB"


def _facts(document: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return titled lists of what the result rests on: budget, data, conversion, machine, tools."""
    metric = document.get("metric")
    budget = dict(document.get("budget") or {})
    if budget.get("max_drop") is not None:
        budget["max_drop"] = wording.drop_words(budget["max_drop"], metric)
    if budget.get("max_size_bytes") is not None:
        budget["max_size"] = wording.size_words(budget.pop("max_size_bytes"))
    route = document.get("route") or ()
    conversion = {"route": route if isinstance(route, str) else " → ".join(map(str, route)) or None}
    conversion |= {f"parity {key}": value for key, value in (document.get("parity") or {}).items()}
    duration_s = document.get("duration_s")
    work = {
        "metric": wording.metric_words(metric),
        "duration": None if duration_s is None else wording.time_words(duration_s * 1000),
        "peak memory": None if document.get("peak_memory_mib") is None else _mib(document["peak_memory_mib"]),
    }
    groups: list[tuple[str, Mapping[str, Any]]] = [
        ("Budget", budget),
        ("Data (samples)", document.get("data") or {}),
        ("Conversion", conversion),
        ("Work", work),
        ("Machine", document.get("machine") or {}),
        ("Versions", document.get("tools") or {}),
    ]
    return fact_groups(groups)

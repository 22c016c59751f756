"""Numbers and findings of a compress document in words that a person reads: units, headlines, reasons.

In scope: formatting of one value or one sentence. Where they stand on the page is the template's business.
Conventions of the document: sizes are bytes, times milliseconds, drops fractions; any number may be `None`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
SHARE_METRICS = frozenset({"top1", "top5", "agreement", "auc"})
"""Metrics whose score is a share of 1: shown in percent, their drop in percentage points."""

ERROR_METRICS = frozenset({"mae", "rmse"})
"""Metrics that are errors: their drop is the growth of the error over the labels' standard deviation."""

Tone = Literal["good", "bad", "neutral"]

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls, line ends, marks that turn the direction of reading, and halves of characters (an undecodable name)."""

METRIC_WORDS = {
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "auc": "area under the ROC curve",
    "agreement": "agreement with the float source",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "cosine": "cosine similarity",
}


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One finding: a key figure, the words under it, and whether it is good news."""

    title: str
    figure: str
    sentence: str
    tone: Tone


def metric_words(metric: str | None) -> str:
    """Return the full name of a metric, or the name itself when it is the user's own."""
    return METRIC_WORDS.get(metric, metric) if metric else "quality"


def printable(words: str) -> str:
    """Return words of others (a file's name) as one line that moves no cursor: `\\x1b` stands for an escape."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), words)


def size_words(size_bytes: float | None) -> str:
    """Return `415 kB`, `1.25 MB` (decimal units)."""
    if size_bytes is None:
        return NOTHING
    if size_bytes < 1000:
        return f"{size_bytes:.0f} B"
    if size_bytes < 999_500:
        return f"{size_bytes / 1e3:.3g} kB"
    return f"{size_bytes / 1e6:.3g} MB" if size_bytes < 999_500_000 else f"{size_bytes / 1e9:.3g} GB"


def time_words(milliseconds: float | None) -> str:
    """Return `34.1 µs`, `3.25 ms`, `12.1 s`, `3 min 20 s`."""
    if milliseconds is None:
        return NOTHING
    if milliseconds < 1:
        return f"{milliseconds * 1000:.3g} µs"
    if milliseconds < 1000:
        return f"{milliseconds:.3g} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def ratio_words(ratio: float | None) -> str:
    """Return `2.31×`."""
    return NOTHING if ratio is None else f"{times_number(ratio)}{TIMES}"


def times_number(ratio: float) -> str:
    """Return `2.31`, `39,700`: three digits and no exponent."""
    return f"{float(f'{ratio:.3g}'):,.0f}" if ratio >= 1000 else f"{ratio:.3g}"


def ratio_range_words(interval: Sequence[float] | None) -> str:
    """Return `2.10 to 2.40×`, or nothing."""
    return "" if not interval else f"{times_number(interval[0])} to {times_number(interval[1])}{TIMES}"


def score_words(score: float | None, metric: str | None) -> str:
    """Return a score in percent for metrics that are shares, else the plain number."""
    if score is None:
        return NOTHING
    return f"{score * 100:.2f} %" if metric in SHARE_METRICS else f"{score:.4g}"


def drop_words(drop: float | None, metric: str | None) -> str:
    """Return a drop in percentage points for metrics that are shares, else in percent; `0` is never negative."""
    if drop is None:
        return NOTHING
    rounded = round(drop * 100, 2) + 0.0
    return f"{rounded:.2f} {drop_unit(metric)}".replace("-", MINUS)


def drop_unit(metric: str | None) -> str:
    """Return the unit in which a drop is told: points of a share, hundredths of the labels' spread, else percent."""
    if metric in ERROR_METRICS:
        return "% of the labels' spread"
    return "points" if metric in SHARE_METRICS else "%"


def drop_range_words(interval: Sequence[float] | None, metric: str | None) -> str:
    """Return `−0.10 to 0.45 points`, or nothing."""
    if not interval:
        return ""
    low, high = (f"{round(bound * 100, 2) + 0.0:.2f}".replace("-", MINUS) for bound in interval)
    return f"{low} to {high} {drop_unit(metric)}"


def recipe_words(recipe: Any) -> str:
    """Return a recipe as `step(parameter=value) → step`; takes a string, step objects, or names."""
    if recipe is None:
        return NOTHING
    if isinstance(recipe, str):
        return recipe
    if isinstance(recipe, Mapping):
        return str(recipe.get("name") or _step_words(recipe))
    return " → ".join(_step_words(step) for step in recipe) or NOTHING


def _step_words(step: Any) -> str:
    if not isinstance(step, Mapping):
        return str(step)
    parameters = step["params"] if "params" in step else {key: value for key, value in step.items() if key != "op"}
    inner = ", ".join(f"{key}={value}" for key, value in (parameters or {}).items())
    return f"{step.get('op', '')}({inner})" if inner else str(step.get("op", ""))


def source_words(source: Any) -> str:
    """Return the name of the source: its last path component, from a string or from an object that has a path."""
    if isinstance(source, Mapping):
        source = source.get("name") or source.get("path") or "model"
    return str(source).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or "model"


def float_size(document: Mapping[str, Any], candidate: Mapping[str, Any]) -> int | None:
    """Return the size in bytes of the float32 artifact in the candidate's format, else of the source, else `None`."""
    for other in document.get("candidates") or ():
        if other.get("precision") == "float32" and other.get("format") == candidate.get("format"):
            size: int | None = other.get("size_bytes")
            return size
    source = document.get("source")
    if isinstance(source, Mapping) and isinstance(source.get("size_bytes"), int):
        return int(source["size_bytes"])
    return None


def headlines(document: Mapping[str, Any]) -> list[Headline]:
    """Return the three findings of a compress document: what was gained, what was lost, how sure that is."""
    best = document.get("best")
    if not best:
        return [
            Headline(
                title="Result",
                figure="none",
                sentence="No candidate could be made. The reasons are in the table below.",
                tone="bad",
            )
        ]
    return [_gained(document, best), _lost(document, best), _sure(document, best)]


def _gained(document: Mapping[str, Any], best: Mapping[str, Any]) -> Headline:
    speedup, reference, size = best.get("speedup_vs_float"), float_size(document, best), best.get("size_bytes")
    shrink = reference / size if reference and size else None
    parts = []
    if size is not None:
        smaller = f", {ratio_words(shrink)} smaller than float" if shrink is not None and shrink > 1 else ""
        parts.append(f"{size_words(size)}{smaller}")
    median = (best.get("latency_ms") or {}).get("median")
    if median is not None:
        interval = ratio_range_words(best.get("speedup_ci95"))
        faster = f", {ratio_words(speedup)} the speed of float in the same engine" if speedup is not None else ""
        parts.append(f"{time_words(median)} per call{faster}" + (f" (95 % interval {interval})" if interval else ""))
    better = (speedup or 0) > 1 or (shrink or 0) > 1
    figure = f"{ratio_words(speedup)} speed" if speedup is not None else f"{ratio_words(shrink)} smaller"
    return Headline(
        title="Gained",
        figure=figure if better else "nothing",
        sentence="; ".join(parts) + "." if parts else "Size and latency were not measured.",
        tone="good" if better else "neutral",
    )


def _lost(document: Mapping[str, Any], best: Mapping[str, Any]) -> Headline:
    metric, drop = best.get("metric") or document.get("metric"), best.get("drop")
    if drop is None:
        return Headline(
            title="Lost",
            figure="not measured",
            sentence="No data was given for it, so nothing is claimed about the accuracy.",
            tone="neutral",
        )
    before, after = (score_words(best.get(key), metric) for key in ("source_score", "score"))
    change = f"stayed at {after}" if before == after else f"went from {before} to {after}"
    sentence = f"{_capital(metric_words(metric))} {change}."
    if best.get("flip_rate") is not None:
        sentence += f" {best['flip_rate'] * 100:.2f} % of the answers changed."
    budget = (document.get("budget") or {}).get("max_drop")
    return Headline(
        title="Lost",
        figure=drop_words(drop, metric),
        sentence=sentence,
        tone="bad" if budget is not None and drop > budget else "good",
    )


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _sure(document: Mapping[str, Any], best: Mapping[str, Any]) -> Headline:
    metric, verdict = best.get("metric") or document.get("metric"), best.get("verdict")
    budget = (document.get("budget") or {}).get("max_drop")
    interval = drop_range_words(best.get("drop_ci95"), metric)
    if not interval or verdict is None:
        return Headline(title="How sure", figure="no claim", sentence="Nothing was certified.", tone="neutral")
    split = best.get("split")
    of_its_own = " that nothing else was decided on" if split == "certification" else ""
    sentence = f"On {best.get('n') or 'the'} paired samples{of_its_own} the drop is {interval} (95 % interval)."
    if budget is not None:
        sentence += f" The budget is {drop_words(budget, metric)}."
    if verdict == "unproven" and best.get("samples_needed"):
        sentence += f" About {best['samples_needed']:,} samples would decide."
    tone: Tone = "good" if verdict == "certified" else "bad" if verdict == "violated" else "neutral"
    return Headline(title="How sure", figure=str(verdict), sentence=sentence, tone=tone)


def binding_words(limit: str | None, *, within_budget: bool = False) -> str | None:
    """Return the sentence for a search that found nothing smaller than float, or nothing at all, within the budget.

    `None` when a compressed candidate was accepted.
    """
    if limit is None:
        return None
    if within_budget:
        return f"No compressed candidate keeps every limit, so the float artifact is the best; {limit} kept them out."
    return f"No candidate keeps every limit. This is the nearest one; the limit that binds is {limit}."

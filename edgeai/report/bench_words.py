"""The runs of a bench document in words: labels without folders, where each ran, its figures with units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeai.report.wording import NOTHING, SHARE_METRICS, score_words, size_words, time_words

Document = Mapping[str, Any]

DEVICES = ("cpu", "gpu", "npu", "mixed")

SCENARIO_WORDS = {
    "single_stream": "SingleStream",
    "multi_stream": "MultiStream",
    "server": "Server",
    "offline": "Offline",
}

VALUE_WORDS = {
    "p90_latency_ms": "p90 latency",
    "p99_latency_ms": "p99 latency",
    "queries_per_s": "queries per second",
    "samples_per_s": "samples per second",
}


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run, as every plot and table of the page needs it.

    Attributes:
        number: its place in the document from 1, the same everywhere on the page.
        label: what tells it from the others, without the folders that all share.
        name: the artifact's share of the label.
        where: delegate, threads and batch in words.
        ran_on: `cpu`, `gpu`, `npu`, `mixed` or `unknown`.
        latency: the document's `latency_ms`, empty when there is none.
        data: the run of the document.
    """

    number: str
    label: str
    name: str
    where: str
    ran_on: str
    format: str
    latency: Document
    data: Document

    @property
    def median(self) -> float | None:
        """Milliseconds of the median call, when it was measured and is above 0."""
        return self.latency.get("median") or None


def run_views(document: Document) -> list[RunView]:
    """Return the runs of a document in its order."""
    runs = list(document.get("runs") or ())
    names = short_names([str(run.get("artifact") or "model") for run in runs])
    labels = [_label(run, names[str(run.get("artifact") or "model")]) for run in runs]
    repeated = Counter(labels)
    return [
        RunView(
            number=str(number),
            label=label if repeated[label] == 1 else f"{label} ({run.get('delegate')})",
            name=names[str(run.get("artifact") or "model")],
            where=_where(run),
            ran_on=ran_on(run),
            format=str(run.get("format") or "other"),
            latency=run.get("latency_ms") or {},
            data=run,
        )
        for number, (run, label) in enumerate(zip(runs, labels, strict=True), start=1)
    ]


def short_names(artifacts: Sequence[str]) -> dict[str, str]:
    """Return every artifact without its folders; with them where two would else have the same name."""
    distinct = list(dict.fromkeys(artifacts))
    short = {artifact: artifact.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or artifact for artifact in distinct}
    often = Counter(short.values())
    return {artifact: name if often[name] == 1 else artifact for artifact, name in short.items()}


def shorten(text: str, names: Mapping[str, str]) -> str:
    """Return a label with the folders of its artifact left out."""
    for artifact in sorted(names, key=len, reverse=True):
        if text.startswith(artifact):
            return names[artifact] + text[len(artifact) :]
    return text


def _label(run: Document, name: str) -> str:
    artifact, label = str(run.get("artifact") or "model"), str(run.get("label") or "")
    return shorten(label, {artifact: name}) if label else name


def ran_on(run: Document) -> str:
    """Return where a run's operations ran, never what was asked for; `unknown` when the document does not say."""
    stated = str(run.get("ran_on") or "unknown")
    if stated in DEVICES:
        return stated
    used = [device for device, share in (run.get("placement") or {}).items() if share]
    return used[0] if len(used) == 1 and used[0] in DEVICES else "mixed" if len(used) > 1 else "unknown"


def placement_words(run: Document) -> str:
    """Return `100 % CPU`, `60 % NPU, 40 % CPU`."""
    shares = sorted((run.get("placement") or {}).items(), key=lambda pair: -(pair[1] or 0))
    told = [
        f"{share * 100:.3g} % {device.upper() if device in DEVICES else device}" for device, share in shares if share
    ]
    return ", ".join(told) or "placement unknown"


def _on_one_device(run: Document) -> bool:
    """Tell whether the badge says all there is to say on the placement."""
    used = [share for share in (run.get("placement") or {}).values() if share]
    return ran_on(run) != "unknown" and len(used) <= 1


def _where(run: Document) -> str:
    threads, batch = run.get("threads"), run.get("batch")
    parts = [str(run.get("delegate") or run.get("engine") or "")]
    if threads:
        parts.append(f"{threads} thread{'s' if threads > 1 else ''}")
    if batch and batch > 1:
        parts.append(f"batch {batch}")
    return " · ".join(part for part in parts if part)


def rate_words(per_second: float | None) -> str:
    """Return `7,085/s`, `12.3/s`."""
    if per_second is None:
        return NOTHING
    return f"{per_second:,.0f}/s" if per_second >= 100 else f"{per_second:.3g}/s"


def mib_words(value: float | None) -> str:
    """Return `46.3 MiB`."""
    return NOTHING if value is None else f"{value:.4g} MiB" if value >= 1000 else f"{value:.3g} MiB"


def joule_words(joules: float | None) -> str:
    """Return `1.24 mJ`, `310 µJ`."""
    if joules is None:
        return NOTHING
    return (
        f"{joules:.3g} J" if joules >= 1 else f"{joules * 1e3:.3g} mJ" if joules >= 1e-3 else f"{joules * 1e6:.3g} µJ"
    )


def interval_words(interval: Sequence[float] | None) -> str:
    """Return `41.6 to 42 µs`, the unit once when both share it."""
    if not interval:
        return ""
    low, high = time_words(interval[0]), time_words(interval[1])
    number, _, unit = low.partition(" ")
    return f"{number} to {high}" if high.endswith(f" {unit}") else f"{low} to {high}"


def score_range_words(interval: Sequence[float] | None, metric: str | None) -> str:
    """Return `86.1 to 88.3 %`."""
    if not interval:
        return ""
    if metric in SHARE_METRICS:
        return f"{interval[0] * 100:.1f} to {interval[1] * 100:.1f} %"
    return f"{interval[0]:.4g} to {interval[1]:.4g}"


def summary_row(run: RunView) -> dict[str, Any]:
    """Return the words of one line of the summary table."""
    data, latency = run.data, run.latency
    accuracy, noise, energy = data.get("accuracy") or {}, data.get("noise") or {}, data.get("energy") or {}
    memory = data.get("memory") or {}
    matched = data.get("outputs_match")
    cosine = data.get("outputs_cosine")
    return {
        "run": run,
        "placement": "" if _on_one_device(data) else placement_words(data),
        "precision": data.get("precision") or "",
        "median": time_words(latency.get("median")),
        "median_ci95": interval_words(latency.get("median_ci95")),
        "p90": time_words(latency.get("p90")),
        "p99": time_words(latency.get("p99")),
        "rate": rate_words(data.get("throughput_per_s")),
        "load": time_words(data.get("load_ms")),
        "first": time_words(data.get("first_ms")),
        "memory": mib_words(memory.get("peak_mib") if memory.get("peak_mib") is not None else data.get("rss_mib")),
        "memory_kind": "peak" if memory.get("peak_mib") is not None else "growth" if data.get("rss_mib") else "",
        "size": size_words(data.get("size_bytes")),
        "outputs": "" if matched is None else "match" if matched else "differ",
        "cosine": "" if cosine is None else f"cosine {cosine:.5g}",
        "score": score_words(accuracy.get("score"), accuracy.get("metric")),
        "score_ci95": score_range_words(accuracy.get("ci95"), accuracy.get("metric")),
        "energy": joule_words(energy.get("joules_per_call")),
        "noisy": bool(noise.get("noisy")),
        "reason": noise.get("reason") or "",
    }


def scenario_rows(runs: Sequence[RunView]) -> list[dict[str, Any]]:
    """Return the words of the scenarios' table, one line per run that has an outcome."""
    rows = []
    for run in runs:
        outcome = run.data.get("outcome")
        if not outcome:
            continue
        metric = str(outcome.get("metric") or "")
        words = time_words if metric.endswith("_ms") else rate_words
        detail = outcome.get("detail") or {}
        rows.append(
            {
                "run": run,
                "scenario": SCENARIO_WORDS.get(outcome.get("scenario"), str(outcome.get("scenario"))),
                "tier": outcome.get("tier") or "",
                "metric": VALUE_WORDS.get(metric, metric.replace("_", " ")),
                "value": words(outcome.get("value")),
                "bound": words(outcome.get("bound")),
                "valid": bool(outcome.get("valid")),
                "reason": outcome.get("reason") or "",
                "queries": "" if outcome.get("queries") is None else f"{outcome['queries']:,}",
                "seconds": "" if outcome.get("seconds") is None else time_words(outcome["seconds"] * 1000),
                "driver": outcome.get("driver") or "",
                "detail": ", ".join(_detail_words(key, value) for key, value in detail.items()),
            }
        )
    return rows


def _detail_words(key: str, value: float) -> str:
    if key.endswith("_ms"):
        return f"{key.removesuffix('_ms').replace('_', ' ')} {time_words(value)}"
    return f"{key.replace('_', ' ')} {value:.4g}"

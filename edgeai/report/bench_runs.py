"""The runs of a bench document as the page shows them: numbered, labelled without folders, told by where each ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeai.report.wording import printable

Document = Mapping[str, Any]

OF_THE_SCENARIO = frozenset({"scenario", "label", "outcome", "throughput_per_s"})
"""In what runs may differ and still be one measurement; everything else is equal."""

DEVICES = ("cpu", "gpu", "npu", "mixed")

BRIEF = 44
"""Letters of a name that stand beside a drawing; of longer names the middle is left out."""


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run, as every plot and table of the page needs it.

    Attributes:
        number: its place in the document from 1, the same everywhere on the page.
        label: what tells it from the others, without the folders that all share.
        name: the artifact's share of the label.
        brief: the name, short enough to stand beside a drawing.
        where: delegate, threads and batch in words.
        ran_on: `cpu`, `gpu`, `npu`, `mixed` or `unknown`.
        latency: the document's `latency_ms`, empty when there is none.
        data: the run of the document; the first of those that differ by their scenario only.
        outcomes: what each scenario gave.
        labels: by which comparisons name it.
    """

    number: str
    label: str
    name: str
    brief: str
    where: str
    ran_on: str
    format: str
    latency: Document
    data: Document
    outcomes: tuple[Document, ...] = ()
    labels: frozenset[str] = frozenset()

    @property
    def device(self) -> str:
        """Where it ran, in words: `npu, simulated`."""
        return device_words(self.data)

    @property
    def median(self) -> float | None:
        """Milliseconds of the median call, when it was measured and is above 0."""
        return self.latency.get("median") or None


def run_views(document: Document) -> list[RunView]:
    """Return the runs of a document in its order, those that differ by their scenario only as one."""
    runs = _measured_once(document.get("runs") or ())
    names = short_names([_artifact(same[0]) for same in runs])
    labels = [_label(same[0], names[_artifact(same[0])]) for same in runs]
    briefly = brief_names(names.values())
    repeated = Counter(labels)
    return [
        RunView(
            number=str(number),
            label=label if repeated[label] == 1 else f"{label} ({same[0].get('delegate')})",
            name=names[_artifact(same[0])],
            brief=briefly[names[_artifact(same[0])]],
            where=_where(same[0]),
            ran_on=ran_on(same[0]),
            format=str(same[0].get("format") or "other"),
            latency=same[0].get("latency_ms") or {},
            data=same[0],
            outcomes=tuple(run["outcome"] for run in same if run.get("outcome")),
            labels=frozenset(
                words for run in same for words in (str(run.get("label") or _artifact(run)), without_scenario(run))
            ),
        )
        for number, (same, label) in enumerate(zip(runs, labels, strict=True), start=1)
    ]


def by_label(runs: Sequence[RunView]) -> dict[str, RunView]:
    """Return the runs by the labels that comparisons name them with."""
    return {label: run for run in reversed(runs) for label in run.labels}


def _measured_once(runs: Sequence[Document]) -> list[list[Document]]:
    """Return the runs grouped by what was measured: a scenario has a run of its own in the document, not a latency."""
    groups: dict[str, list[Document]] = {}
    for run in runs:
        same = {key: value for key, value in run.items() if key not in OF_THE_SCENARIO}
        groups.setdefault(repr([without_scenario(run), same]), []).append(run)
    return list(groups.values())


def _artifact(run: Document) -> str:
    return str(run.get("artifact") or "model")


def without_scenario(run: Document) -> str:
    """Return a run's label as it is without the scenario: what a comparison of plain calls names it by."""
    return str(run.get("label") or _artifact(run)).removesuffix(f" ({run.get('scenario')})")


def short_names(artifacts: Sequence[str]) -> dict[str, str]:
    """Return every artifact without its folders; with them where two would else have the same name."""
    distinct = list(dict.fromkeys(artifacts))
    short = {artifact: artifact.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or artifact for artifact in distinct}
    often = Counter(short.values())
    return {artifact: printable(name if often[name] == 1 else artifact) for artifact, name in short.items()}


def brief_names(names: Iterable[str]) -> dict[str, str]:
    """Return every name with its middle left out where it is long, unless two would then be the same."""
    brief = {name: _brief(name) for name in names}
    often = Counter(brief.values())
    return {name: short if often[short] == 1 else name for name, short in brief.items()}


def _brief(name: str) -> str:
    tail = BRIEF // 2 - 1
    return name if len(name) <= BRIEF else f"{name[: BRIEF - tail - 1]}\N{HORIZONTAL ELLIPSIS}{name[-tail:]}"


def shorten(text: str, names: Mapping[str, str]) -> str:
    """Return a label with the folders of its artifact left out."""
    for artifact in sorted(names, key=len, reverse=True):
        if text.startswith(artifact):
            return names[artifact] + printable(text[len(artifact) :])
    return printable(text)


def _label(run: Document, name: str) -> str:
    return shorten(without_scenario(run), {_artifact(run): name})


def ran_on(run: Document) -> str:
    """Return where a run's operations ran, never what was asked for; `unknown` when the document does not say."""
    stated = str(run.get("ran_on") or "unknown")
    if stated in DEVICES:
        return stated
    used = [device for device, share in (run.get("placement") or {}).items() if share]
    return used[0] if len(used) == 1 and used[0] in DEVICES else "mixed" if len(used) > 1 else "unknown"


def device_words(run: Document) -> str:
    """Return `npu`, `npu, simulated`."""
    return ran_on(run) + (", simulated" if run.get("emulated") else "")


def placement_words(run: Document) -> str:
    """Return `100 % CPU`, `60 % NPU, 40 % CPU`."""
    shares = sorted((run.get("placement") or {}).items(), key=lambda pair: -(pair[1] or 0))
    told = [
        f"{share * 100:.3g} % {device.upper() if device in DEVICES else device}" for device, share in shares if share
    ]
    return ", ".join(told) or "placement unknown"


def on_one_device(run: Document) -> bool:
    """Tell whether the badge says all there is to say on the placement."""
    used = [share for share in (run.get("placement") or {}).values() if share]
    return ran_on(run) != "unknown" and len(used) <= 1


def _where(run: Document) -> str:
    threads, batch = run.get("threads"), run.get("batch")
    parts = [str(run.get("delegate") or run.get("engine") or ""), "simulated" if run.get("emulated") else ""]
    if threads:
        parts.append(f"{threads} thread{'s' if threads > 1 else ''}")
    if batch and batch > 1:
        parts.append(f"batch {batch}")
    return " · ".join(part for part in parts if part)

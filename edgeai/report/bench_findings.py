"""What a bench document says first: the fastest run, how it compares, and whether it is to be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeai.report.bench_runs import Document, RunView, by_label, placement_words
from edgeai.report.bench_words import interval_words, rate_words, share_words
from edgeai.report.plots.comparisons import verdict_words
from edgeai.report.wording import Headline, time_words


def findings(document: Document, runs: Sequence[RunView]) -> list[Headline]:
    """Return up to three findings; one when nothing was measured."""
    measured = [run for run in runs if run.median]
    real = [run for run in measured if not run.data.get("emulated")] or measured
    right = [run for run in real if run.data.get("outputs_match") is not False] or real
    timed = [run for run in right if (run.data.get("batch") or 1) == 1] or right
    if not timed:
        sentence = "Nothing was measured. The reasons are below."
        return [Headline(title="Result", figure="none", sentence=sentence, tone="bad")]
    fastest = min(timed, key=lambda run: run.median or 0.0)
    return [
        _fastest(fastest, of=len(timed), wrong=len(real) - len(right)),
        _compared(document.get("comparisons") or (), runs),
        _believed(runs),
    ]


def _fastest(run: RunView, *, of: int, wrong: int) -> Headline:
    """Tell the fastest run; those with other outputs than the reference (`wrong` many) are not among them."""
    interval = interval_words(run.latency.get("median_ci95"))
    between = f" (95 % interval {interval})" if interval else ""
    rate, name = rate_words(run.data.get("throughput_per_s")), f"Run {run.number}, {run.brief}, {run.where}"
    sentence = f"{name}{between}: {placement_words(run.data)}; {rate}."
    if wrong:
        sentence += f" Left out: {wrong} whose outputs differ."
    title = "Median call" if of == 1 else f"Fastest of {of}"
    return Headline(title=title, figure=time_words(run.median), sentence=sentence, tone="good")


def _compared(comparisons: Sequence[Mapping[str, Any]], runs: Sequence[RunView]) -> Headline:
    if not comparisons:
        sentence = "There is one run, or none was measured together with another."
        return Headline(title="Compared", figure="with nothing", sentence=sentence, tone="neutral")
    names = by_label(runs)
    comparisons = [each for each in comparisons if not _is_simulated(each, names)]
    if not comparisons:
        sentence = "With a simulated device alone, whose times say nothing of the hardware."
        return Headline(title="Compared", figure="with nothing", sentence=sentence, tone="neutral")
    comparisons = [each for each in comparisons if not _is_wrong(each, names)] or comparisons
    counts = {word: sum(each.get("verdict") == word for each in comparisons) for word in ("faster", "slower")}
    same = len(comparisons) - counts["faster"] - counts["slower"]
    if len({each.get("b") for each in comparisons}) == 1 and len(comparisons) > 1:
        base = names.get(str(comparisons[0].get("b")))
        against = f"run {base.number}, {base.brief}" if base else str(comparisons[0].get("b"))
        sentence = f"{counts['faster']} faster than {against}; {counts['slower']} slower, {same} without a difference."
    else:
        sentence = f"Of {len(comparisons)}: {counts['faster']} faster, {counts['slower']} slower, {same} no difference."
    order = {"faster": 0, "no_difference": 1}
    best = min(comparisons, key=lambda each: (order.get(str(each.get("verdict")), 2), each.get("ratio") or 1.0))
    if len(comparisons) == 1:
        pair = [known.label if (known := names.get(str(best.get(key)))) else str(best.get(key)) for key in "ab"]
        sentence = f"{pair[0]} against {pair[1]}{' before' if best.get('how') == 'stored' else ''}."
    figure = verdict_words(float(best.get("ratio") or 1.0), str(best.get("verdict")))
    tones = {"faster": "good", "slower": "bad"}
    tone = tones.get(str(best.get("verdict")), "neutral")
    gained = len(comparisons) > 1 and best.get("verdict") == "faster"
    title = "Largest gain" if gained else "Compared"
    if len(comparisons) > 1 and best.get("verdict") == "slower":
        figure = "none is as fast"
    return Headline(title=title, figure=figure, sentence=sentence, tone=tone)  # type: ignore[arg-type]


def _is_simulated(comparison: Mapping[str, Any], names: Mapping[str, RunView]) -> bool:
    sides = [names.get(str(comparison.get(key))) for key in "ab"]
    return any(side is not None and side.data.get("emulated") for side in sides)


def _is_wrong(comparison: Mapping[str, Any], names: Mapping[str, RunView]) -> bool:
    """Tell whether the run that is compared gives other outputs than the reference: its speed is no gain."""
    run = names.get(str(comparison.get("a")))
    return run is not None and run.data.get("outputs_match") is False


def _believed(runs: Sequence[RunView]) -> Headline:
    judged = [run for run in runs if run.data.get("noise")]
    noisy = [run for run in judged if run.data["noise"].get("noisy")]
    differ = [run for run in runs if run.data.get("outputs_match") is False]
    checked = [run for run in runs if run.data.get("outputs_match") is not None]
    parts = []
    if differ:
        parts.append(f"The outputs of {_numbers(differ)} are not those of the reference.")
    elif checked:
        where = f"all {len(checked)} runs where there is one" if len(checked) > 1 else _numbers(checked)
        parts.append(f"Outputs agree with the reference in {where}.")
    if noisy:
        parts.append(f"The machine was not quiet in {_numbers(noisy)}.")
    elif judged:
        parts.append(f"The machine was quiet{_calm(judged)}.")
    if differ:
        return Headline(title="Trust", figure="outputs differ", sentence=" ".join(parts), tone="bad")
    if noisy:
        figure = f"{len(noisy)} of {len(judged)} noisy"
        return Headline(title="Trust", figure=figure, sentence=" ".join(parts), tone="neutral")
    if judged:
        return Headline(title="Trust", figure="quiet machine", sentence=" ".join(parts), tone="good")
    parts.append("How quiet the machine was is not in the file.")
    return Headline(title="Trust", figure="not judged", sentence=" ".join(parts), tone="neutral")


def _calm(runs: Sequence[RunView]) -> str:
    """Return `: at least 96 % of each run's rounds were calm`, where a yardstick told."""
    known = [noise["calm"] for run in runs if (noise := run.data["noise"]).get("calm") is not None]
    if not known:
        return ""
    return (
        f": at least {share_words(min(known))} of each run's rounds were calm"
        if len(known) > 1
        else (f": {share_words(known[0])} of its rounds were calm")
    )


def _numbers(runs: Sequence[RunView]) -> str:
    """Return `run 3`, `runs 1, 2 and 5`, and how many more there are after ten."""
    numbers = [run.number for run in runs[:10]]
    more = f" and {len(runs) - 10} more" if len(runs) > 10 else ""
    if len(numbers) == 1:
        return f"run {numbers[0]}"
    joined = ", ".join(numbers) if more else f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    return f"runs {joined}{more}"


def noise_rows(runs: Sequence[RunView]) -> list[dict[str, Any]]:
    """Return why runs were noisy, those with the same reason together."""
    rows: dict[str, list[RunView]] = {}
    for run in runs:
        noise = run.data.get("noise") or {}
        if not noise.get("noisy"):
            continue
        parts = [noise.get("reason") or ""]
        if noise.get("repeats"):
            parts.append(f"measured again {noise['repeats']} time{'s' if noise['repeats'] > 1 else ''}")
        if noise.get("calm") is not None:
            parts.append(f"{share_words(noise['calm'])} of the rounds were calm")
        rows.setdefault("; ".join(part for part in parts if part), []).append(run)
    return [{"runs": same, "words": words} for words, same in rows.items()]

"""What a bench document says first: the fastest run, how it compares, and whether it is to be believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edgeai.report.bench_runs import Document, RunView, by_label, placement_words
from edgeai.report.bench_words import interval_words, rate_words, share_words
from edgeai.report.plots.comparisons import verdict_words
from edgeai.report.wording import Headline, Tone, ratio_words, time_words

OTHER_INPUTS = "different inputs"
"""In the note of a comparison of two networks that do not take the same samples."""

MANY = 3
"""A reason that holds for so many noisy runs is told once for all of them."""

LONG_TAIL = 3.0
"""Times the median from which on a p99 is told as a warning."""


def findings(document: Document, runs: Sequence[RunView]) -> list[Headline]:
    """Return up to three findings; one when nothing was measured."""
    measured = [run for run in runs if run.median]
    real = [run for run in measured if not run.data.get("emulated")] or measured
    right = [run for run in real if run.data.get("outputs_match") is not False] or real
    others = _of_other_inputs(document.get("comparisons") or (), runs)
    right = [run for run in right if run.number not in others] or right
    timed = [run for run in right if (run.data.get("batch") or 1) == 1] or right
    if not timed:
        sentence = "Nothing was measured. The reasons are below."
        return [Headline(title="Result", figure="none", sentence=sentence, tone="bad")]
    fastest = min(timed, key=lambda run: run.median or 0.0)
    return [
        _fastest(fastest, of=len(timed), left_out=len(real) - len(right)),
        _compared(document.get("comparisons") or (), runs) if len(runs) > 1 else _slowest(fastest),
        _believed(runs),
    ]


def _fastest(run: RunView, *, of: int, left_out: int) -> Headline:
    """Tell the fastest run; those that gave other outputs, or take other inputs, are `left_out`."""
    interval = interval_words(run.latency.get("median_ci95"))
    between = f" (95 % interval {interval})" if interval else ""
    rate, name = rate_words(run.data.get("throughput_per_s")), f"Run {run.number}, {run.brief}, {run.where}"
    sentence = f"{name}{between}: {placement_words(run.data)}; {rate}."
    if left_out:
        sentence += f" Left out: {left_out} with other inputs or outputs."
    title = "Median call" if of == 1 else f"Fastest of {of}"
    return Headline(title=title, figure=time_words(run.median), sentence=sentence, tone="good")


def _slowest(run: RunView) -> Headline:
    """Tell how long the slow calls take, where there is nothing to compare with."""
    median, p99 = run.median, run.latency.get("p99")
    if not median or not p99:
        return _compared((), (run,))
    sentence = (
        f"One call in a hundred takes longer: {ratio_words(p99 / median)} the median. "
        f"One in ten takes longer than {time_words(run.latency.get('p90'))}."
    )
    tone: Tone = "good" if p99 <= LONG_TAIL * median else "neutral"
    return Headline(title="p99", figure=time_words(p99), sentence=sentence, tone=tone)


def _of_other_inputs(comparisons: Sequence[Mapping[str, Any]], runs: Sequence[RunView]) -> set[str]:
    """Return the numbers of the runs that take other inputs than the one they were compared with."""
    names = by_label(runs)
    labels = [str(each.get("a")) for each in comparisons if OTHER_INPUTS in str(each.get("note") or "")]
    return {names[label].number for label in labels if label in names}


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
    comparisons = [each for each in comparisons if OTHER_INPUTS not in str(each.get("note") or "")]
    if not comparisons:
        sentence = "Only with networks that take other inputs, whose times say nothing of this one."
        return Headline(title="Compared", figure="with nothing", sentence=sentence, tone="neutral")
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
    sides = [names.get(str(best.get(key))) for key in "ab"]
    if gained and sides[0] and sides[1]:
        sentence = f"Run {sides[0].number} against run {sides[1].number}. {sentence}"
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
        of_all = len(noisy) == len(judged) > 1
        where = f"any of the {len(noisy)} runs" if of_all else "this run" if len(runs) == 1 else _numbers(noisy)
        parts.append(f"The machine was not quiet in {where}{_calm(judged, noisy=True)}.")
    elif judged:
        parts.append(f"The machine was quiet{_calm(judged)}.")
    if differ:
        return Headline(title="Trust", figure="outputs differ", sentence=" ".join(parts), tone="bad")
    if noisy:
        figure = "noisy" if len(runs) == 1 else f"{len(noisy)} of {len(judged)} noisy"
        return Headline(title="Trust", figure=figure, sentence=" ".join(parts), tone="neutral")
    if judged:
        return Headline(title="Trust", figure="quiet machine", sentence=" ".join(parts), tone="good")
    parts.append("How quiet the machine was is not in the file.")
    return Headline(title="Trust", figure="not judged", sentence=" ".join(parts), tone="neutral")


def _calm(runs: Sequence[RunView], *, noisy: bool = False) -> str:
    """Return `: at least 96 % of each run's rounds were calm`, where a yardstick told."""
    known = [noise["calm"] for run in runs if (noise := run.data["noise"]).get("calm") is not None]
    if not known:
        return ""
    if min(known) == 1:
        return ", but all rounds were calm" if noisy else ": all rounds were calm"
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
    """Return why runs were noisy: first what holds for many of them, then what tells one from the others."""
    noisy = [(run, _noise_parts(noise)) for run in runs if (noise := run.data.get("noise") or {}).get("noisy")]
    often = Counter(part for _, parts in noisy for part in parts)
    many = min(len(noisy), MANY) if len(noisy) > 1 else MANY
    rows: dict[str, list[RunView]] = {part: [] for part in often if often[part] >= many}
    for run, parts in noisy:
        for part in parts:
            if often[part] >= many:
                rows[part].append(run)
        own = "; ".join(part for part in parts if often[part] < many)
        if own or not parts:
            rows.setdefault(own, []).append(run)
    return [{"runs": same, "words": words} for words, same in rows.items()]


def _noise_parts(noise: Mapping[str, Any]) -> list[str]:
    parts = str(noise.get("reason") or "").split("; ")
    if noise.get("repeats"):
        parts.append(f"measured again {noise['repeats']} time{'s' if noise['repeats'] > 1 else ''}")
    return [part for part in parts if part]

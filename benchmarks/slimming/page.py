"""The page: what was expected and what came of it, then one part per case; nothing in it is typed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slimming.rows import MAX_DROP, MAX_SECONDS, WANTED, Row, Slimmed, Taught, Variant

_WORDS = {
    "reached": "**reached**, bounds included",
    "not proven": "reached, but a 95 % bound lies beyond",
    "missed": "**missed**",
    "open": "open",
}


def to_markdown(rows: Sequence[Row], *, machine: Mapping[str, str], tools: Mapping[str, str], code: str) -> str:
    """Return the page of all cases that have a row."""
    slimmed = [row for row in rows if isinstance(row, Slimmed)]
    old = [row.case for row in rows if row.code != code]
    lines = [
        "# Pruning and distillation, on top of int8",
        "",
        "Written by `make slim` (`python benchmarks/pruning_distillation.py --write docs/slimming.md`); nothing",
        "here is typed in.",
        f"Machine: {machine['cpu']}, {machine['cores']} cores ({machine['isa']}), Python {machine['python']}; "
        + ", ".join(f"{package} {version}" for package, version in tools.items())
        + ".",
        *([f"Measured with an earlier state of the code: {', '.join(old)}."] if old else []),
        "",
        "Each float model goes through `edgeai.compress` twice: for plain int8, and with training data, pruning and a",
        f"budget of 1/{WANTED:g} of plain int8's latency or size. Expected: {WANTED:g} times faster (or smaller) than",
        f"plain int8 at no more than {100 * MAX_DROP:g} point of drop against the float model, trained on the same",
        "samples. Drops are in points on the certification split, with their 95 % paired interval; latencies are",
        "medians of one run in which the float, the plain and the pruned artifact take turns, one thread, batch 1.",
        "",
        "| case | goal | times better than plain int8 [95 %] | drop [95 %] | n | expected | minutes |",
        "|---|---|---|---|---|---|---|",
        *(_summary(row) for row in slimmed),
        *(_summary_of_students(row) for row in rows if isinstance(row, Taught)),
        "",
        "*Minutes* are those of the whole case with the training of its float model, on a machine that may have had",
        f"other work; of trainings that were interrupted only the last part counts. {_within(rows)}.",
    ]
    for row in rows:
        lines += ["", *(_slimmed(row) if isinstance(row, Slimmed) else _taught(row))]
    return "\n".join(lines) + "\n"


def _summary(row: Slimmed) -> str:
    cells = (
        row.case,
        row.goal,
        _gain(row),
        _drop(row.slim) if row.slim else "",
        row.slim.n if row.slim else "",
        _WORDS[row.verdict] + (f": {row.why_not}" if row.why_not else ""),
        _minutes(row),
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def _summary_of_students(row: Taught) -> str:
    low, high = row.gain_ci95
    gain = f"{100 * row.gain:+.2f} points by the teacher [{100 * low:+.2f}, {100 * high:+.2f}]"
    return f"| {row.case} | better with a teacher | {gain} | | {row.n} | {_WORDS[row.verdict]} | {_minutes(row)} |"


def _slimmed(row: Slimmed) -> list[str]:
    lines = [f"## {row.case}", "", f"{row.title[0].upper()}{row.title[1:]}. Trained on {row.trained_on} samples."]
    if row.published_score is not None:
        lines.append(
            f"As published it scores {row.published_score:.4f} on the {row.evaluated} evaluation samples, fine-tuned "
            f"{row.float_score:.4f}: that is the float model here."
        )
    else:
        lines.append(f"The float model scores {row.float_score:.4f} on the {row.evaluated} evaluation samples.")
    lines += [
        "",
        "| artifact | recipe | bytes | ms | score | drop [95 %] | n | certificate |",
        "|---|---|---|---|---|---|---|---|",
        f"| float | `{row.plain.format}-float32` | {row.float_size_bytes} | {row.float_ms:.4f} | | | | |",
        _variant("plain int8", row.plain),
    ]
    if row.slim is not None:
        lines.append(_variant("pruned", row.slim))
        assert row.latency_ratio is not None
        assert row.latency_ci95 is not None
        low, high = row.latency_ci95
        lines += [
            "",
            f"Pruned against plain int8: {row.latency_ratio:.3f} [{low:.3f}, {high:.3f}] of its latency, "
            f"{row.slim.size_bytes / row.plain.size_bytes:.3f} of its size.",
        ]
        if not row.slim.accepted:
            lines += ["", f"It is the nearest to the budget, not within it: {row.slim.reason}."]
    return [*lines, "", _times(row)]


def _variant(name: str, one: Variant) -> str:
    return (
        f"| {name} | `{one.id}` | {one.size_bytes} | {one.median_ms:.4f} | {one.score:.4f} | {_drop(one)} | {one.n} | "
        f"{one.verdict} |"
    )


def _taught(row: Taught) -> list[str]:
    seeds_low, seeds_high = row.gain_over_seeds
    low, high = row.gain_ci95
    return [
        f"## {row.case}",
        "",
        f"{row.title}: {row.parameters} weights, {row.parameters / row.source_parameters:.1%} of the teacher's "
        f"{row.source_parameters}. Alone it makes {row.epochs} passes over {row.trained_on} labelled samples. With its "
        f"teacher, which scores {row.teacher_score:.4f}, it makes as many steps on the teacher's answers to "
        f"{row.unlabelled} samples and sees no label. Both begin with the same weights.",
        "",
        "| seed | alone | with its teacher | gain in points [95 %, paired] |",
        "|---|---|---|---|",
        *(
            f"| {pair.seed} | {pair.alone:.4f} | {pair.taught:.4f} | {100 * pair.gain:+.2f} "
            f"[{100 * pair.gain_ci95[0]:+.2f}, {100 * pair.gain_ci95[1]:+.2f}] |"
            for pair in row.pairs
        ),
        "",
        f"On average {100 * row.gain:+.2f} points: [{100 * low:+.2f}, {100 * high:+.2f}] over the samples for these "
        f"seeds, [{100 * seeds_low:+.2f}, {100 * seeds_high:+.2f}] over seeds on these samples (95 %, Student's t).",
        "",
        _times(row),
    ]


def _gain(row: Slimmed) -> str:
    if row.gain is None or row.gain_bounds is None:
        return ""
    if row.goal == "size":
        return f"{row.gain:.2f}"
    return f"{row.gain:.2f} [{row.gain_bounds[0]:.2f}, {row.gain_bounds[1]:.2f}]"


def _drop(one: Variant) -> str:
    low, high = one.drop_ci95
    return f"{100 * one.drop:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def _minutes(row: Row) -> str:
    return f"{sum(row.seconds.values()) / 60:.1f}"


def _times(row: Row) -> str:
    steps = ", ".join(f"{name} {seconds:.0f}" for name, seconds in row.seconds.items())
    return f"Seconds: {steps}; in all {sum(row.seconds.values()):.0f}."


def _within(rows: Sequence[Row]) -> str:
    late = [row.case for row in rows if sum(row.seconds.values()) > MAX_SECONDS]
    limit = f"{MAX_SECONDS / 60:g} minutes"
    return f"Longer than {limit}: {', '.join(late)}" if late else f"None took longer than {limit}"

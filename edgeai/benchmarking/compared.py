"""Two stored results compared run by run, and the decision whether something became slower.

How sure a ratio between two sessions is, is decided in `between_sessions.py`; which runs belong to each other, and what
else changed between them, in `matched.py`. Comparing in one session is always better: there one machine, at one time,
runs both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgeai.benchmarking.between_sessions import SessionRatio, Yardsticks, session_ratio
from edgeai.benchmarking.levels import LEAST_ROUNDS, have_common_figure
from edgeai.benchmarking.matched import RunDict, machine_notes, match_runs, run_label, run_notes
from edgeai.benchmarking.result import PairComparison, Verdict
from edgeai_runtime.errors import UsageError

_YARDSTICK_KEYS = ("cpu", "architecture", "os", "python")
"""What of two machines must be the same for yardsticks to mean the same."""


def compare_stored(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[PairComparison, ...]:
    """Compare the runs that two results share (see `match_runs`).

    The medians of the rounds are compared, of the calm ones where both files tell which these are; of two runs of a
    scenario its figure, a rate turned into the time of one.

    Args:
        old, new: documents as `edgeai.benchmarking.stored.read_report` returns them.

    Returns:
        In the order of `new`; `ratio` is new time divided by old time, so `slower` means that it became slower.

    Raises:
        UsageError: they share no run.
    """
    pairs = match_runs(old["runs"], new["runs"])
    if not pairs:
        raise UsageError(
            f"The two results share no run. old: {_told(old)}; new: {_told(new)}",
            hint="Measure the same artifacts, in the same way.",
        )
    machine = machine_notes(old, new)
    return tuple(
        _compare(before, after, _common_yardsticks(old, new, before, after), machine) for before, after in pairs
    )


def unmatched(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Return one line per run that only one of two results holds: a comparison says nothing about these."""
    pairs = match_runs(old["runs"], new["runs"])
    lines = []
    for place, (word, document) in enumerate((("old", old), ("new", new))):
        seen = {id(pair[place]) for pair in pairs}
        lines += [f"only in the {word} result: {run_label(run)}" for run in document["runs"] if id(run) not in seen]
    return tuple(lines)


def slower_than(comparisons: Iterable[PairComparison], limit: float) -> tuple[str, ...]:
    """Return one line per comparison that proves `a` slower than `b` by more than `limit` (0.05: 5 %).

    Proven means that it is slower at all, that the whole interval lies beyond the limit, and that neither session was
    disturbed in a way that the interval does not hold; see `unproven_slower` for the rest.

    Raises:
        UsageError: the limit is negative or no number.
    """
    bound = 1.0 + _checked_limit(limit)
    return tuple(_line(one, limit) for one in comparisons if _is_proven(one, bound))


def unproven_slower(comparisons: Iterable[PairComparison], limit: float) -> tuple[str, ...]:
    """Return one line per comparison that decides nothing, with what to do about it: no failure, but no proof either.

    That is one whose ratio is beyond the limit while its interval is not, and every disturbed one, whatever its ratio.

    Raises:
        UsageError: the limit is negative or no number.
    """
    bound = 1.0 + _checked_limit(limit)
    return tuple(
        f"unproven: {_line(one, limit)} → {_DISTURBED_HINT if one.disturbed else _UNPROVEN_HINT}"
        for one in comparisons
        if one.disturbed or (one.ratio > bound and not _is_proven(one, bound))
    )


_UNPROVEN_HINT = "measure longer (--duration), or both files in one session"
_DISTURBED_HINT = (
    "measure again when the machine is quiet; if it stays so, the machine itself has changed: "
    "measure the old file again, too, or both in one session"
)


def _is_proven(one: PairComparison, bound: float) -> bool:
    return one.verdict == "slower" and one.ci95[0] > bound and not one.disturbed


def _checked_limit(limit: float) -> float:
    if not limit >= 0 or not math.isfinite(limit):
        raise UsageError(f"A limit is a share that is not negative, such as 0.05 for 5 %. Received: {limit}")
    return limit


def _line(one: PairComparison, limit: float) -> str:
    low, high = one.ci95
    name = one.a if one.a == one.b else f"{one.a} against {one.b}"
    note = f" ({one.note})" if one.note else ""
    return f"{name}: {one.ratio:.3f} times as long, 95 % [{low:.3f}, {high:.3f}], limit {1.0 + limit:.3f}{note}"


def _told(document: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{run_label(run)} ({run['format']}, {run['delegate']}, threads: {run['threads']})" for run in document["runs"]
    )


def _common_yardsticks(
    old: Mapping[str, Any], new: Mapping[str, Any], before: RunDict, after: RunDict
) -> Yardsticks | None:
    """Return the yardsticks' rounds beside both runs; `None` where there are none, or they do not mean the same.

    They tell of the processor alone: nothing of a GPU or an NPU.
    """
    same = all(old["machine"].get(key) == new["machine"].get(key) for key in _YARDSTICK_KEYS)
    if not same or (before["ran_on"], after["ran_on"]) != ("cpu", "cpu"):
        return None
    first, second = (
        {each["name"]: each["rounds_ms"] for each in document["yardsticks"] if each["group"] == run["group"]}
        for document, run in ((old, before), (new, after))
    )
    names = [name for name in first if name in second]
    first, second = ({name: each[name] for name in names} for each in (first, second))
    for run, sticks in ((before, first), (after, second)):
        rounds = len(run["rounds_ms"])
        if not sticks or not rounds or any(len(each) != rounds or min(each) <= 0 for each in sticks.values()):
            return None
    return first, second


def _compare(before: RunDict, after: RunDict, yardsticks: Yardsticks | None, machine: Sequence[str]) -> PairComparison:
    found = session_ratio(before, after, yardsticks)
    disturbed = _is_disturbed(before, after, found)
    proof = ["this proves nothing, since a session was disturbed"] if disturbed else []
    low, high = found.ci95
    verdict: Verdict = "no_difference"
    if not disturbed:
        verdict = "faster" if high < 1.0 else "slower" if low > 1.0 else "no_difference"
    return PairComparison(
        a=run_label(after),
        b=run_label(before),
        ratio=found.ratio,
        ci95=found.ci95,
        verdict=verdict,
        how="stored",
        note="; ".join([*proof, *_how_notes(before, after, found), *run_notes(before, after), *machine]),
        disturbed=disturbed,
    )


def _is_disturbed(before: RunDict, after: RunDict, found: SessionRatio) -> bool:
    """Say whether a session was disturbed in a way that the interval does not hold.

    Calm rounds make up for a noisy machine only where the thread that calls is all there is: yardsticks do not see what
    runs on other cores.
    """
    noisy = any(run["noise"] and run["noise"]["noisy"] for run in (before, after))
    if found.of_calm:
        return noisy and max(before["threads"], after["threads"]) > 1
    return noisy or (found.calm is not None and not have_common_figure(before, after))


def _how_notes(before: RunDict, after: RunDict, found: SessionRatio) -> list[str]:
    """Return what was compared, and what it lacks."""
    notes = []
    if have_common_figure(before, after):
        notes.append(f"by {after['outcome']['metric']}")
        if not after["outcome"]["value"]:
            notes.append("no rate holds the bound any more")
    elif before["outcome"] and after["outcome"]:
        notes.append("the scenarios were not run alike, or not to a valid end: plain calls are compared")
    if found.of_calm and found.calm is not None and min(found.calm) < 1.0:
        notes.append(f"by the calm rounds, {found.calm[0]:.0%} of the old run and {found.calm[1]:.0%} of the new")
    elif found.slowdown is not None and not found.of_calm:
        word = "slower" if found.slowdown > 1.0 else "faster"
        times = math.exp(abs(math.log(found.slowdown)))
        notes.append(f"the machine itself was {times:.2f} times {word} in the new session")
    elif found.slowdown is None and before["ran_on"] == after["ran_on"] == "cpu":
        notes.append("without yardsticks of one machine: calm rounds are not told from disturbed ones")
    for word, run in (("old", before), ("new", after)):
        if len(run["rounds_ms"]) < LEAST_ROUNDS:
            notes.append(f"the {word} run holds too few rounds to tell its drift")
    return notes

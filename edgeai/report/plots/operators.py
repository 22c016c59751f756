"""Where the time of one call goes: a bar per operation, the longest first, coloured by the device it ran on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeai.report.bench_runs import DEVICES, RunView
from edgeai.report.plots.rows import ChartRow
from edgeai.report.plots.svg import element, percent, strip
from edgeai.report.wording import time_words

HEIGHT = 16.0
LONGEST = 12
"""Operations that get a bar of their own; the rest share one."""

LONGER = 1.005
"""Times by which profiling must lengthen a call to be told; less is chance."""


@dataclass(frozen=True, kw_only=True)
class OperatorChart:
    """The operations of one run; `summary` tells what the bars add up to, `note` what a reader must know."""

    run: RunView
    rows: tuple[ChartRow, ...]
    summary: str
    note: str
    devices: tuple[str, ...]


def operator_charts(runs: Sequence[RunView]) -> list[OperatorChart]:
    """Return the charts of the runs that were profiled."""
    return [
        _chart(run, profile)
        for run in runs
        if (profile := run.data.get("operators")) and (profile.get("operators") or ())
    ]


def device_kind(device: Any) -> str:
    """Return the colour class of a device as the document names it."""
    word = str(device or "unknown").lower()
    return next((known for known in DEVICES if word.startswith(known)), "unknown")


def _chart(run: RunView, profile: Mapping[str, Any]) -> OperatorChart:
    operators = sorted(profile["operators"], key=lambda each: -(each.get("ms") or 0.0))
    shown, rest = operators[:LONGEST], operators[LONGEST:]
    if len(rest) == 1:
        shown, rest = operators, []
    total = sum(each.get("ms") or 0.0 for each in operators) or 1.0
    longest = max([each.get("ms") or 0.0 for each in shown] + [sum(each.get("ms") or 0.0 for each in rest)]) or 1.0
    rows = [_row(each, total, longest) for each in shown]
    if rest:
        ms = sum(each.get("ms") or 0.0 for each in rest)
        kinds = {device_kind(each.get("device")) for each in rest}
        kind = kinds.pop() if len(kinds) == 1 else "mixed"
        rows.append(
            ChartRow(
                label=f"the other {len(rest):,}",
                svg=_bar(ms / longest, kind, f"the other {len(rest)}: {time_words(ms)}"),
                value=time_words(ms),
                detail=_share(ms / total),
                tag=kind,
            )
        )
    return OperatorChart(
        run=run,
        rows=tuple(rows),
        summary=_summary(profile, len(operators)),
        note=str(profile.get("note") or ""),
        devices=tuple(dict.fromkeys(row.tag for row in rows)),
    )


def _row(each: Mapping[str, Any], total: float, longest: float) -> ChartRow:
    ms, kind = float(each.get("ms") or 0.0), device_kind(each.get("device"))
    name, op = str(each.get("name") or ""), str(each.get("op") or "")
    notes = [name if name != op else "", str(each.get("kernel") or "")]
    told = f"{op} {name} on {kind}: {time_words(ms)}, {_share(ms / total)}"
    return ChartRow(
        label=op or name,
        note=" · ".join(note for note in notes if note),
        svg=_bar(ms / longest, kind, told),
        value=time_words(ms),
        detail=_share(ms / total),
        tag=kind,
    )


def _share(share: float) -> str:
    """Return `27.1 %`, `< 0.1 %`."""
    return f"{share * 100:.1f} %" if share >= 0.0005 or not share else "< 0.1 %"


def _bar(share: float, kind: str, title: str) -> str:
    bar = element(
        "rect", x="0%", y=2, width=percent(max(100 * share, 0.4)), height=HEIGHT - 4, rx=2, class_=f"on {kind}"
    )
    return strip(bar, height=HEIGHT, title=title)


def _summary(profile: Mapping[str, Any], count: int) -> str:
    parts = [
        f"{count:,} operation{'s' if count != 1 else ''}",
        f"{time_words(profile.get('sum_ms'))} of a call of {time_words(profile.get('whole_ms'))}",
    ]
    how = {"engine": "told by the engine's own profiler", "alone": "each measured as an artifact of its own"}
    parts.append(how.get(str(profile.get("method")), str(profile.get("method") or "")))
    if profile.get("calls"):
        parts.append(f"mean of {profile['calls']:,} calls")
    if (profile.get("overhead") or 0.0) > LONGER:
        parts.append(f"profiling makes a call {(profile['overhead'] - 1) * 100:.3g} % longer")
    return ", ".join(parts[:2]) + "".join(f"; {part}" for part in parts[2:] if part)

"""Calling what is open in turns, and the yardsticks with it; summing the times up, and comparing all with the first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgeai.benchmarking.opened import Opened
from edgeai.benchmarking.result import EMULATED, Histogram, Latency, Noise, PairComparison, Yardstick
from edgeai.benchmarking.spec import BenchSpec
from edgeai.benchmarking.yardstick import undisturbed_ms


@dataclass(frozen=True, kw_only=True, eq=False)
class Turns:
    """What one interleaved measurement gave, by label; and each yardstick's median call in each round."""

    samples: dict[str, Any]
    latency: dict[str, Latency]
    noise: dict[str, Noise]
    yardsticks_ms: Mapping[str, tuple[float, ...]]

    def rounds_ms(self, label: str) -> tuple[float, ...]:
        """Return the median call of each round."""
        return tuple(float(value) for value in self.samples[label].round_ms)

    def yardsticks(self, *, group: int) -> list[Yardstick]:
        """Return the yardsticks as the document holds them."""
        return [Yardstick(group=group, name=name, rounds_ms=rounds) for name, rounds in self.yardsticks_ms.items()]


def measure_in_turns(
    opened: Sequence[Opened],
    spec: BenchSpec,
    *,
    on_share: Callable[[float], object],
    on_better: Callable[[Turns], object],
) -> Turns:
    """Measure what is open, interleaved; again while the machine is noisy and `spec.patience_s` allows it.

    `on_better` is called with the first measurement and with each repeat that is better: it is what there is when the
    next repeat is interrupted.

    The yardsticks' blocks (2 ms each per round) are within the duration.
    """
    from edgeai.benchmarking.noise import repeat_while_noisy

    calls = {each.target.label: each.call for each in opened}
    floors: dict[str, float] = {}
    turns, worst = repeat_while_noisy(
        lambda: _measure_once(calls, spec.duration_s * len(calls), on_share, floors),
        budget_s=spec.patience_s,
        on_better=on_better,
    )
    return replace(turns, noise={name: replace(noise, repeats=worst.repeats) for name, noise in turns.noise.items()})


def _measure_once(
    calls: Mapping[str, Callable[[], object]],
    duration_s: float,
    on_share: Callable[[float], object],
    floors: dict[str, float],
) -> tuple[Turns, Noise]:
    """Return what was measured, and the worst of its verdicts on noise.

    `floors`: what each yardstick took undisturbed, in earlier measurements too; it is brought up to date.
    """
    from edgeai.benchmarking.noise import judge_noise
    from edgeai_runtime.bench.meters import load_meter
    from edgeai_runtime.bench.yardsticks import time_with_yardsticks

    others = load_meter()
    samples, rounds = time_with_yardsticks(calls, duration_s=duration_s, on_share=on_share)
    load = others()
    floors |= {name: min(undisturbed_ms(each), floors.get(name, math.inf)) for name, each in rounds.items()}
    noise = {
        name: judge_noise(each.round_ms, load_after=load, yardsticks_ms=rounds, floors_ms=floors)
        for name, each in samples.items()
    }
    turns = Turns(
        samples=samples,
        latency={name: latency_of(each) for name, each in samples.items()},
        noise=noise,
        yardsticks_ms={name: tuple(each) for name, each in rounds.items()},
    )
    return turns, max(noise.values(), key=lambda one: (one.noisy, one.spread))


def latency_of(samples: Any) -> Latency:
    """Return the percentiles of measured calls, their bounds and their histogram."""
    from edgeai_runtime.bench.percentiles import histogram, percentile_bound
    from edgeai_runtime.bench.statistics import summarize

    summary = summarize(samples)
    times = samples.call_ms
    edges, counts = histogram(times)
    return Latency(
        median=summary.median_ms,
        p90=summary.p90_ms,
        p99=summary.p99_ms,
        median_ci95=summary.median_ci95_ms,
        p90_bound=percentile_bound(times, 0.90),
        p99_bound=percentile_bound(times, 0.99),
        mean=float(times.mean()),
        min=float(times.min()),
        max=float(times.max()),
        histogram=Histogram(
            edges_ms=tuple(float(edge) for edge in edges), counts=tuple(int(count) for count in counts)
        ),
    )


def compare_turns(opened: Sequence[Opened], turns: Turns) -> list[PairComparison]:
    """Return how each compares with the first whose calls answer as many samples."""
    from edgeai_runtime.bench.statistics import compare

    firsts: dict[int, Opened] = {}
    found = []
    for each in opened:
        label = each.target.label
        first = firsts.setdefault(each.batch, each)
        if first is not each:
            a, b = label, first.target.label
            result = compare(turns.samples[a], turns.samples[b])
            found.append(
                PairComparison(
                    a=a, b=b, ratio=result.ratio, ci95=result.ci95, verdict=result.verdict, note=_note(each, first)
                )
            )
    return found


def _note(each: Opened, first: Opened) -> str:
    """Say what a reader must know of a ratio: that times are a simulator's, or that these are two networks."""
    from edgeai.benchmarking.outputs import fit_arrays

    notes = [
        f"{one.model.placement.delegate} is simulated here: {EMULATED}" for one in (each, first) if one.is_emulated
    ]
    if fit_arrays(first.model.inputs, first.arrays, each.model.inputs) is None:
        notes.append("they take different inputs")
    return "; ".join(notes)

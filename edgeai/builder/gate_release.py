"""The gate `not_slower_than`: the new bundle and a release, called in turns in one process by `edgeai.bench`.

Format by format, each variant of the new bundle is held against the fastest one of the release; a variant whose files
are the release's own is not measured. The gate holds when a measurement shows that the new one is within the limit. One
that does not is repeated, longer, with everything opened again: buffers then lie at other addresses, and what was bad
luck with these is not taken for a slower model. Two that show it to be beyond the limit are enough; when the longest
shows neither, its middle ratio decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai.builder.gate_result import GateResult, TargetResult
from edgeai_runtime.errors import EdgeAIError

if TYPE_CHECKING:
    from edgeai.benchmarking.result import Run
    from edgeai_runtime.manifest import Format, Manifest

DURATIONS_S = (1.0, 2.0, 4.0)
"""How long each artifact is measured: at first, and again while nothing is shown."""


@dataclass(frozen=True, kw_only=True)
class Against:
    """A variant of the new bundle against the release: time divided by time, its 95 % interval, and of what."""

    variant: str
    release: str
    ratio: float
    ci95: tuple[float, float] = (1.0, 1.0)
    same: bool = False


def judge_not_slower(
    made: TargetResult, release: Path, *, limit: float, durations_s: Sequence[float] = DURATIONS_S
) -> GateResult:
    """Hold the times of the new bundle against those of a release.

    Args:
        made: what was made.
        release: a bundle.
        limit: how much slower the new one may be: 0.05 is 5 %.
        durations_s: seconds that each artifact is measured, attempt by attempt.
    """
    bound = 1.0 + limit
    try:
        found, alone = _compare(made, release, durations_s, bound)
    except EdgeAIError as error:
        return _result(made, release, None, ok=False, reason=f"not measured: {' '.join(error.message.split())}")
    if not found:
        return _result(made, release, None, ok=False, reason=f"{release.name} shares no format with the new bundle")
    worst = max(found, key=lambda one: one.ratio)
    reason = f"{worst.variant} {_words(worst, release)}, {bound:.3f} times is allowed"
    if alone:
        reason += f"; not in {release.name}: {', '.join(alone)}"
    return _result(made, release, worst.ratio, ok=worst.ratio <= bound, reason=reason)


def _compare(
    made: TargetResult, release: Path, durations_s: Sequence[float], bound: float
) -> tuple[list[Against], list[str]]:
    """Return how each variant compares, and those whose format the release does not have.

    Raises:
        EdgeAIError: a bundle cannot be opened, or something in it cannot be measured.
    """
    from edgeai_runtime.bundle import open_bundle

    new, old = open_bundle(made.bundle).manifest, open_bundle(release).manifest
    shared = {variant.format for variant in old.variants}
    alone = [variant.id for variant in new.variants if variant.format not in shared]
    found = _same_files(new, old)
    threads = max([1, *(one["threads"] or 1 for one in made.candidates)])
    for name in sorted({variant.format for variant in new.variants if variant.format in shared}):
        left = [one.id for one in new.variants if one.format == name and one.id not in found]
        if left:
            found |= {
                one.variant: one for one in _measure(made.bundle, release, name, left, threads, durations_s, bound)
            }
    return list(found.values()), alone


def _same_files(new: Manifest, old: Manifest) -> dict[str, Against]:
    """Return the variants whose files are in the release, byte for byte."""
    known = {tuple((entry.sha256, entry.size_bytes) for entry in variant.files): variant.id for variant in old.variants}
    digests = {one.id: tuple((entry.sha256, entry.size_bytes) for entry in one.files) for one in new.variants}
    return {
        name: Against(variant=name, release=known[digest], ratio=1.0, same=True)
        for name, digest in digests.items()
        if digest in known
    }


def _measure(
    bundle: Path,
    release: Path,
    format: Format,
    variants: Sequence[str],
    threads: int,
    durations_s: Sequence[float],
    bound: float,
) -> list[Against]:
    """Measure until it is shown what is within the bound and what is not, or the durations are used up."""
    from edgeai.benchmarking.measure import bench
    from edgeai_runtime.engines.table import FORMAT_ENGINES

    found: list[Against] = []
    beyond = 0
    for duration_s in durations_s:
        engine = FORMAT_ENGINES[format]
        report = bench([release, bundle], engines=[engine], threads=threads, duration_s=duration_s)
        by_name = {run.artifact: run for run in report.runs}
        olds = [run for name, run in by_name.items() if name.startswith(f"{release}#")]
        news = {name: by_name.get(f"{bundle}#{name}") for name in variants}
        if not olds or None in news.values():
            raise _not_measured(report.skipped)
        fastest = min(olds, key=lambda run: run.latency_ms.median)
        found = [_ratio(name, run, fastest) for name, run in news.items() if run is not None]
        beyond += any(one.ci95[0] > bound for one in found)
        if beyond == 2 or all(one.ci95[1] <= bound for one in found):
            break
    return found


def _ratio(variant: str, new: Run, old: Run) -> Against:
    import numpy as np

    from edgeai_runtime.bench.loop import Samples
    from edgeai_runtime.bench.statistics import compare

    rounds = [Samples(call_ms=np.empty(0), round_ms=np.asarray(run.rounds_ms)) for run in (new, old)]
    result = compare(rounds[0], rounds[1])
    return Against(variant=variant, release=old.artifact.rpartition("#")[2], ratio=result.ratio, ci95=result.ci95)


def _not_measured(skipped: Sequence[Any]) -> EdgeAIError:
    from edgeai_runtime.errors import EngineError

    return EngineError("; ".join(f"{one.artifact}: {one.reason}" for one in skipped) or "nothing was measured")


def _words(one: Against, release: Path) -> str:
    if one.same:
        return f"is {one.release} of {release.name}, byte for byte"
    low, high = one.ci95
    return f"takes {one.ratio:.3f} times as long as {one.release} of {release.name} (95 %: {low:.3f} to {high:.3f})"


def _result(made: TargetResult, release: Path, value: float | None, *, ok: bool, reason: str) -> GateResult:
    return GateResult(name="not_slower_than", ok=ok, limit=str(release), value=value, reason=reason, where=made.where)

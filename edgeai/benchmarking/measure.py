"""`edgeai.bench`: artifacts, engines, delegates, threads and batches measured side by side.

All artifacts are loaded first, then called in turns, so that what else the machine does falls on all of them alike and
ratios hold although single times do not. Latency is that of one call with one batch, by the runtime's `run_raw`: the
engine and what lies between the bundle's tensors and the artifact's, without pre- and post-processing. Of a pipeline,
the steps of its stages are in it. What takes longer and is measured one artifact at a time is in `parts.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgeai.benchmarking.opened import Opened, match_bare, open_target
from edgeai.benchmarking.parts import measure_parts
from edgeai.benchmarking.result import BenchReport, PairComparison, Run, Scenario, Skipped, Tier, Yardstick
from edgeai.benchmarking.spec import BenchSpec
from edgeai.benchmarking.targets import Target, find_targets
from edgeai.benchmarking.turns import Turns, compare_turns, measure_in_turns
from edgeai_converters.require import require
from edgeai_runtime.errors import DataError, EdgeAIError, MissingEngineError

OnStep = Callable[[int, int, str], None]

TOGETHER = 12
"""So many artifacts are held open and called in turns; of more, the first of a batch is called beside each dozen."""


def bench(
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    *,
    engines: Sequence[str] | None = None,
    delegates: Sequence[str] | str | None = None,
    threads: int | Sequence[int] = 1,
    batches: int | Sequence[int] = 1,
    duration_s: float = 2.0,
    inputs: Any = None,
    reference: Sequence[Any] | None = None,
    scenarios: Sequence[Scenario] = (),
    tier: Tier = "quick",
    latency_bound_ms: float | None = None,
    driver: str = "edgeai",
    phases: bool = False,
    memory: bool = False,
    energy: bool = False,
    operators: bool = False,
    sustained_s: float = 0.0,
    patience_s: float = 0.0,
    data: str | None = None,
    metric: str | None = None,
    preprocess: Any = None,
    on_step: OnStep | None = None,
) -> BenchReport:
    """Measure bundles (every variant) and bare artifacts against each other.

    Args:
        paths: bundles, or `.tflite`, `.onnx` and `.xml` files; one or several.
        engines: only artifacts of these engines (`litert`, `onnxruntime`, `openvino`).
        delegates: each of these delegates by itself, or `all` that are on this machine; by default the runtime chooses.
        threads: most threads of each engine; several are several runs.
        batches: samples per call; several are several runs.
        duration_s: how long each run is measured.
        inputs: one array or a dict by input name, `[n, …]`: raw samples for a bundle, what the artifact takes for a
            bare one. By default a bundle's golden inputs, else drawn values.
        reference: expected outputs of the first sample in order, to hold bare artifacts against.
        scenarios: `single_stream`, `multi_stream`, `server`, `offline`, with MLPerf's meaning, beside the plain calls.
        tier: how long a scenario lasts at least: `quick`, `normal`, `submission` (MLPerf's own figures).
        latency_bound_ms: of `server`: the percentile 99 must stay below it.
        driver: of the scenarios: `edgeai` or `loadgen`.
        phases: process start, import, load, compile, first call, each in fresh processes.
        memory: of a process that runs nothing else, and its curve.
        energy: per call, where the system has a meter.
        operators: the time of each operation.
        sustained_s: seconds of a sustained run, one artifact after the other; 0: none.
        patience_s: repeat a noisy measurement within this time.
        data: labelled samples to score each run on, as for `compress`; with `metric` and `preprocess` (bare artifacts).
        metric: see `compress`.
        preprocess: steps for bare artifacts; a bundle brings its own.
        on_step: progress, called with (done, total, label).

    Raises:
        UsageError: nothing to measure.
        EdgeAIError: a bare artifact can not be loaded, or none of the runs could be made, or none scored on the data;
            runs that can not while others can, and parts that can not be measured, are listed in `skipped`.

    Example:
        >>> edgeai.bench(["model.edge", "other.tflite"]).comparisons  # doctest: +SKIP
    """
    items = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    spec = BenchSpec(
        paths=tuple(Path(each) for each in items),
        engines=tuple(engines or ()),
        delegates=(delegates,) if isinstance(delegates, str) else tuple(delegates or ()),
        threads=(threads,) if isinstance(threads, int) else tuple(threads),
        batches=(batches,) if isinstance(batches, int) else tuple(batches),
        duration_s=duration_s,
        inputs=inputs,
        reference=reference,
        scenarios=tuple(scenarios),
        tier=tier,
        latency_bound_ms=latency_bound_ms,
        driver=driver,
        phases=phases,
        memory=memory,
        energy=energy,
        operators=operators,
        sustained_s=sustained_s,
        patience_s=patience_s,
        data=data,
        metric=metric,
        preprocess=preprocess,
    )
    return run_bench(spec, on_step=on_step)


def run_bench(spec: BenchSpec, *, on_step: OnStep | None = None) -> BenchReport:
    """Measure what `spec` asks for; see `bench`."""
    from edgeai_runtime.bench.machine import describe_machine, describe_moment

    if spec.scenarios and spec.driver == "loadgen":
        require("mlperf_loadgen", extra="loadgen")
    targets, skipped = find_targets(spec)
    progress = _Progress(on_step, total=len(targets) * (3 if spec.has_parts() else 2))
    runs: list[Run] = []
    measured: set[Target] = set()
    comparisons: list[PairComparison] = []
    yardsticks: list[Yardstick] = []
    problems: list[EdgeAIError] = []

    def skip(name: str, error: EdgeAIError) -> None:
        problems.append(error)
        skipped.append(Skipped(artifact=name, reason=error.message))

    for number, group in enumerate(_groups(targets)):
        opened: list[Opened] = []
        try:
            for target in group:
                progress.say(f"loading {target.label}")
                try:
                    opened.append(_open(target, spec, others=opened))
                except EdgeAIError as error:
                    if not _may_be_skipped(target, spec, error):
                        raise
                    skip(target.label, error)
                progress.done += 1
            if opened:
                match_bare(opened, spec.reference)
                turns = measure_in_turns(opened, spec, on_share=progress.share_of(len(opened)))
                comparisons += compare_turns(opened, turns)
                yardsticks += [
                    Yardstick(group=number, name=name, rounds_ms=ms) for name, ms in turns.yardsticks_ms.items()
                ]
                progress.done += len(opened)
                for each in [one for one in opened if one.target not in measured]:
                    measured.add(each.target)
                    run = _run(each, turns, group=number)
                    runs += measure_parts(run, each, spec, on_label=progress.say, on_skip=skip)
                    progress.done += spec.has_parts()
        finally:
            for each in opened:
                each.model.close()
    if not runs or (spec.data is not None and not any(run.accuracy for run in runs)):
        raise problems[0]
    return BenchReport(
        machine=describe_machine() | describe_moment(),
        runs=tuple(runs),
        comparisons=tuple(comparisons),
        skipped=tuple(skipped),
        tools=_tools(runs),
        settings=spec.settings(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        yardsticks=tuple(yardsticks),
    )


class _Progress:
    """What is done of `total`, told to the caller."""

    def __init__(self, on_step: OnStep | None, *, total: int) -> None:
        self.on_step, self.total, self.done = on_step, total, 0

    def say(self, label: str, more: float = 0.0) -> None:
        if self.on_step is not None:
            self.on_step(int(self.done + more), self.total, label)

    def share_of(self, count: int) -> Callable[[float], None]:
        return lambda share: self.say(f"measuring {count} in turns", share * count)


def _open(target: Target, spec: BenchSpec, *, others: Sequence[Opened]) -> Opened:
    """Open a target; of several batches, one that its file does not take is an error, not a run with another batch."""
    opened = open_target(target, inputs=spec.inputs, others=others)
    if len(spec.batches) > 1 and opened.batch != target.batch:
        opened.model.close()
        raise DataError(f"{target.artifact} takes {opened.batch} at a time. Received: a batch of {target.batch}")
    return opened


def _may_be_skipped(target: Target, spec: BenchSpec, error: EdgeAIError) -> bool:
    """Say whether the others are measured without it: not when the user named just this artifact and it is broken."""
    one_of_many = target.variant is not None or target.delegate is not None or target.batch > 1
    one_of_many = one_of_many or (len(spec.batches) > 1 and isinstance(error, DataError))
    return one_of_many or isinstance(error, MissingEngineError)


def _groups(targets: Sequence[Target]) -> list[list[Target]]:
    """Return what is measured together: every group begins with the first target of its batch, the reference."""
    if len(targets) <= TOGETHER:
        return [list(targets)]
    size, groups = TOGETHER - 1, []
    for batch in dict.fromkeys(target.batch for target in targets):
        first, *rest = [target for target in targets if target.batch == batch]
        groups += [[first, *rest[start : start + size]] for start in range(0, len(rest) or 1, size)]
    return groups


def _run(opened: Opened, turns: Turns, *, group: int) -> Run:
    from edgeai_runtime.installed import engine_version

    report, target, variant = opened.model.placement, opened.target, opened.model.variant
    placement = {str(device): share for device, share in report.shares().items()}
    size, digest = _file_facts(opened)
    latency = turns.latency[target.label]
    return Run(
        artifact=target.artifact,
        label=target.label,
        format=opened.format(),
        precision=None if variant is None else variant.precision,
        engine=report.engine,
        engine_version=engine_version(report.engine) or None,
        delegate=report.delegate,
        placement=placement,
        ran_on=where_it_ran(placement),
        threads=target.threads,
        batch=opened.batch,
        emulated=opened.is_emulated,
        scenario="single_stream",
        latency_ms=latency,
        throughput_per_s=1e3 * opened.batch / latency.median,
        load_ms=opened.load_ms,
        first_ms=opened.first_ms,
        rss_mib=opened.rss_mib,
        outputs_match=opened.match,
        outputs_cosine=opened.cosine,
        calls=len(turns.samples[target.label].call_ms),
        group=group,
        rounds_ms=turns.rounds_ms(target.label),
        noise=turns.noise[target.label],
        size_bytes=size,
        digest=digest,
    )


def where_it_ran(placement: dict[str, float]) -> str:
    """Return the device that ran every operation, `mixed` when several did, `unknown` when nobody tells."""
    used = [device for device, share in placement.items() if share > 0]
    return used[0] if len(used) == 1 else "mixed" if used else "unknown"


def _file_facts(opened: Opened) -> tuple[int | None, str | None]:
    """Return size in bytes and digest of all files of what is loaded; of a bundle's variant from its manifest."""
    import hashlib

    from edgeai_converters.sources.files import source_files

    variant, path = opened.model.variant, opened.target.path
    if variant is not None:
        facts = [(entry.size_bytes, entry.sha256) for entry in variant.files]
    elif path.is_file():
        files = (path,) if opened.is_pipeline else source_files(path)
        facts = [(file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    else:
        return None, None
    digests = [digest for _, digest in facts]
    whole = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    return sum(size for size, _ in facts), whole


def _tools(runs: Sequence[Run]) -> dict[str, str]:
    import platform

    import numpy as np

    import edgeai

    tools = {"edgeai": edgeai.__version__, "python": platform.python_version(), "numpy": np.__version__}
    return tools | {run.engine: run.engine_version for run in runs if run.engine_version}

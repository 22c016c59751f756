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
from itertools import chain
from pathlib import Path
from typing import Any

from edgeai.benchmarking.opened import Opened, match_bare, open_target
from edgeai.benchmarking.parts import measure_parts
from edgeai.benchmarking.result import BenchReport, PairComparison, Run, Scenario, Skipped, Tier, Yardstick
from edgeai.benchmarking.run_facts import make_run
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
        duration_s: seconds that each run is measured, the yardsticks beside it included.
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
        EdgeAIError: a bare artifact cannot be loaded, or none of the runs could be made, scored on the data, or be
            made to do a scenario or a sustained run; what cannot while others can is listed in `skipped`.
        BenchInterrupted: Ctrl-C; it holds what was measured until then.

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
    """Measure what `spec` asks for; see `bench`.

    Raises:
        BenchInterrupted: Ctrl-C, when something was measured already; else KeyboardInterrupt itself.
    """
    if spec.scenarios and spec.driver == "loadgen":
        require("mlperf_loadgen", extra="loadgen")
    targets, skipped = find_targets(spec)
    session = _Session(spec, skipped, _Progress(on_step, total=len(targets) * (3 if spec.has_parts() else 2)))
    try:
        for number, group in enumerate(_groups(targets)):
            session.measure(group, number)
    except KeyboardInterrupt as error:
        if not session.runs:
            raise
        raise BenchInterrupted(session.interrupted_report(targets)) from error
    report = session.report()
    asked = (
        (spec.data is not None, "accuracy"),
        (bool(spec.scenarios), "outcome"),
        (bool(spec.sustained_s), "sustained"),
    )
    if not report.runs or any(wanted and not any(getattr(run, name) for run in report.runs) for wanted, name in asked):
        raise session.problems[0]
    return report


class BenchInterrupted(KeyboardInterrupt):
    """Ctrl-C was pressed; `report` holds what was measured until then, and in `skipped` what was not."""

    def __init__(self, report: BenchReport) -> None:
        super().__init__()
        self.report = report


class _Session:
    """What is measured so far of what `spec` asks for."""

    def __init__(self, spec: BenchSpec, skipped: list[Skipped], progress: _Progress) -> None:
        self.spec, self.skipped, self.progress = spec, skipped, progress
        self.runs: dict[Target, list[Run]] = {}
        self.unfinished: set[Target] = set()
        self.failed: set[Target] = set()
        self.comparisons: dict[int, list[PairComparison]] = {}
        self.yardsticks: dict[int, list[Yardstick]] = {}
        self.problems: list[EdgeAIError] = []

    def measure(self, group: Sequence[Target], number: int) -> None:
        """Open the targets of a group, call them in turns, and measure each by itself where that is asked for."""
        opened: list[Opened] = []
        try:
            for target in group:
                self.progress.say(f"loading {target.label}")
                try:
                    opened.append(_open(target, self.spec, others=opened))
                except EdgeAIError as error:
                    if not _may_be_skipped(target, self.spec, error):
                        raise
                    self.failed.add(target)
                    self._skip(target.label, error)
                self.progress.done += 1
            if opened:
                self._measure_opened(opened, number)
        finally:
            for each in opened:
                each.model.close()

    def _measure_opened(self, opened: Sequence[Opened], number: int) -> None:
        match_bare(opened, self.spec.reference)
        new = [each for each in opened if each.target not in self.runs]

        def keep(turns: Turns) -> None:
            self.comparisons[number] = compare_turns(opened, turns)
            self.yardsticks[number] = turns.yardsticks(group=number)
            self.runs |= {each.target: [make_run(each, turns, group=number)] for each in new}
            self.unfinished = {each.target for each in new if self.spec.has_parts()}

        share = self.progress.share_of(len(opened))
        keep(measure_in_turns(opened, self.spec, on_share=share, on_better=keep))
        self.progress.done += len(opened)
        for each in new:
            (run,) = self.runs[each.target]
            for found in measure_parts(run, each, self.spec, on_label=self.progress.say, on_skip=self._skip):
                self.runs[each.target] = list(found)
            self.unfinished.discard(each.target)
            self.progress.done += self.spec.has_parts()

    def _skip(self, name: str, error: EdgeAIError) -> None:
        self.problems.append(error)
        self.skipped.append(Skipped(artifact=name, reason=error.message))

    def interrupted_report(self, targets: Sequence[Target]) -> BenchReport:
        """Return what there is, with a word on each target that is not measured, or not whole."""
        for target in targets:
            if target not in self.runs and target not in self.failed:
                self.skipped.append(Skipped(artifact=target.label, reason="interrupted before it was measured"))
            elif target in self.unfinished:
                self.skipped.append(Skipped(artifact=target.label, reason="interrupted before all of it was measured"))
        return self.report()

    def report(self) -> BenchReport:
        from edgeai_runtime.bench.machine import describe_machine, describe_moment

        runs = tuple(chain.from_iterable(self.runs.values()))
        return BenchReport(
            machine=describe_machine() | describe_moment(),
            runs=runs,
            comparisons=tuple(chain.from_iterable(self.comparisons.values())),
            skipped=tuple(self.skipped),
            tools=_tools(runs),
            settings=self.spec.settings(),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            yardsticks=tuple(chain.from_iterable(self.yardsticks.values())),
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


def _tools(runs: Sequence[Run]) -> dict[str, str]:
    import platform

    import numpy as np

    import edgeai

    tools = {"edgeai": edgeai.__version__, "python": platform.python_version(), "numpy": np.__version__}
    return tools | {run.engine: run.engine_version for run in runs if run.engine_version}

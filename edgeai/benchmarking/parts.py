"""What is measured one artifact at a time, after the interleaved calls: every part that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from edgeai.benchmarking.opened import Opened
from edgeai.benchmarking.result import Run
from edgeai.benchmarking.spec import BenchSpec
from edgeai_runtime.errors import EngineError


def measure_parts(run: Run, opened: Opened, spec: BenchSpec, *, on_label: Callable[[str], object]) -> list[Run]:
    """Return the run with the parts that `spec` asks for; one run per scenario when there are several.

    Raises:
        EdgeAIError: a part can not be measured.
    """
    target = opened.target
    where: dict[str, Any] = {"variant": target.variant, "delegate": run.delegate, "threads": target.threads}
    if spec.phases and not opened.is_pipeline:
        from edgeai.benchmarking.phases import measure_phases

        on_label(f"phases of {target.label}")
        run = replace(run, phases=measure_phases(target.path, arrays=opened.arrays, **where))
    if spec.memory and not opened.is_pipeline:
        from edgeai.benchmarking.memory import measure_memory

        on_label(f"memory of {target.label}")
        run = replace(run, memory=measure_memory(target.path, arrays=opened.arrays, **where))
    if spec.operators and not opened.is_pipeline:
        from edgeai.profiling.profile import profile_artifact

        on_label(f"operations of {target.label}")
        with suppress(EngineError):  # a delegate whose engine has no profiler: the part stays empty
            run = replace(run, operators=profile_artifact(target.path, arrays=opened.arrays, **where))
    if spec.energy:
        from edgeai.benchmarking.energy import measure_energy

        on_label(f"energy of {target.label}")
        run = replace(run, energy=measure_energy(opened.call, seconds=max(spec.duration_s, 1.0)))
    if spec.data is not None:
        from edgeai.benchmarking.accuracy import measure_accuracy

        on_label(f"accuracy of {target.label}")
        run = replace(run, accuracy=measure_accuracy(opened, spec))
    if spec.sustained_s:
        from edgeai.benchmarking.sustained import run_sustained

        on_label(f"sustained run of {target.label}")
        run = replace(run, sustained=run_sustained(opened.call, seconds=spec.sustained_s))
    return _with_scenarios(run, opened, spec, on_label)


def _with_scenarios(run: Run, opened: Opened, spec: BenchSpec, on_label: Callable[[str], object]) -> list[Run]:
    if not spec.scenarios:
        return [run]
    from edgeai.benchmarking.scenario_run import run_model_scenario

    runs = []
    for scenario in spec.scenarios:
        on_label(f"{scenario} of {opened.target.label}")
        outcome = run_model_scenario(
            opened.model,
            opened.arrays,
            scenario=scenario,
            tier=spec.tier,
            latency_bound_ms=spec.latency_bound_ms,
            driver=spec.driver,
        )
        label = run.label if len(spec.scenarios) == 1 else f"{run.label} ({scenario})"
        runs.append(replace(run, scenario=scenario, outcome=outcome, label=label))
    return runs

"""What is measured one artifact at a time, after the interleaved calls: every part that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from edgeai.benchmarking.opened import Opened
from edgeai.benchmarking.result import Run, Scenario, ScenarioOutcome
from edgeai.benchmarking.spec import BenchSpec
from edgeai_runtime.errors import EdgeAIError, ModelError, UsageError

OnStep = Callable[[int, int, str], None]


def measure_parts(
    run: Run,
    opened: Opened,
    spec: BenchSpec,
    *,
    on_label: Callable[[str], None],
    on_skip: Callable[[str, EdgeAIError], object],
) -> Iterator[list[Run]]:
    """Yield what is measured so far, after each part that `spec` asks for: the run, or a run per scenario.

    A part that cannot be measured stays empty, and `on_skip` is called with its name and the error.

    Raises:
        UsageError: what is asked for makes no sense.
    """
    target = opened.target
    where: dict[str, Any] = {"variant": target.variant, "delegate": run.delegate, "threads": target.threads}

    def part(name: str, measure: Callable[[], Any]) -> Any:
        on_label(f"{name} of {target.label}")
        try:
            return measure()
        except UsageError:
            raise
        except EdgeAIError as error:
            on_skip(f"{target.label}, {name}", error)
            return None

    def step(name: str, unit: str) -> OnStep:
        return lambda done, total, label: on_label(f"{name} of {target.label}, {done} of {total} {unit}: {label}")

    for name in ("phases", "memory", "operators"):
        if getattr(spec, name) and opened.is_pipeline:
            on_skip(f"{target.label}, {name}", ModelError("of a pipeline; its stages are measured one by one"))
    if spec.phases and not opened.is_pipeline:
        from edgeai.benchmarking.phases import measure_phases

        told = step("phases", "processes")
        phases = part("phases", lambda: measure_phases(target.path, arrays=opened.arrays, on_step=told, **where))
        run = replace(run, phases=phases)
        yield [run]
    if spec.memory and not opened.is_pipeline:
        from edgeai.benchmarking.memory import measure_memory

        run = replace(run, memory=part("memory", lambda: measure_memory(target.path, arrays=opened.arrays, **where)))
        yield [run]
    if spec.operators and not opened.is_pipeline:
        from edgeai.profiling.profile import profile_artifact

        profile = part("operations", lambda: profile_artifact(target.path, arrays=opened.arrays, **where))
        run = replace(run, operators=profile)
        yield [run]
    if spec.energy:
        from edgeai.benchmarking.energy import measure_energy

        energy = part("energy", lambda: measure_energy(opened.call, seconds=max(spec.duration_s, 1.0)))
        run = replace(run, energy=energy)
        yield [run]
    if spec.data is not None:
        from edgeai.benchmarking.accuracy import measure_accuracy

        run = replace(run, accuracy=part("accuracy", lambda: measure_accuracy(opened, spec)))
        yield [run]
    if spec.sustained_s:
        from edgeai.benchmarking.sustained import run_sustained

        told = step("sustained run", "s")
        sustained = part("sustained run", lambda: run_sustained(opened.call, seconds=spec.sustained_s, on_step=told))
        run = replace(run, sustained=sustained)
        yield [run]
    found: list[Run] = []
    for scenario in spec.scenarios:
        outcome = part(scenario, partial(_outcome, opened, spec, scenario, step(scenario, "s")))
        if outcome is not None:
            label = run.label if len(spec.scenarios) == 1 else f"{run.label} ({scenario})"
            found.append(replace(run, scenario=scenario, outcome=outcome, label=label))
            yield found


def _outcome(opened: Opened, spec: BenchSpec, scenario: Scenario, on_step: OnStep) -> ScenarioOutcome:
    from edgeai.benchmarking.scenario_run import run_model_scenario

    return run_model_scenario(
        opened.model,
        opened.arrays,
        scenario=scenario,
        tier=spec.tier,
        latency_bound_ms=spec.latency_bound_ms,
        driver=spec.driver,
        on_step=on_step,
    )

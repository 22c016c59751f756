"""A model in one of MLPerf's scenarios: the runtime's harness, or MLPerf's own load generator, around `run_raw`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edgeai.benchmarking.result import Scenario, ScenarioOutcome, Tier
from edgeai_runtime.errors import UsageError

if TYPE_CHECKING:
    from edgeai_runtime.model import Model

DRIVERS = ("edgeai", "loadgen")
"""Who issues the queries and takes the times."""


def run_model_scenario(
    model: Model,
    arrays: Sequence[Any],
    *,
    scenario: Scenario,
    tier: Tier,
    latency_bound_ms: float | None = None,
    duration_s: float | None = None,
    samples_per_query: int = 8,
    seed: int = 0,
    driver: str = "edgeai",
    on_step: Callable[[int, int, str], None] | None = None,
) -> ScenarioOutcome:
    """Run a model in one scenario.

    Every query has the same samples. `server` and `offline` keep as many workers busy as the model has threads, with
    one thread each, as `Model.submit` does. `detail` names the workers (`workers`), the samples of a call (`batch`) and
    the percentiles of latency in milliseconds; of a server also what the search for its rate tried:
    `probe_N_rate_per_s`, `probe_N_over` (queries above the bound) and `probe_N_held` (1 or 0).

    Args:
        model: from `edgeai_runtime.load`; it stays open.
        arrays: one per input, batch axis first, as `run_raw` takes them; a call answers as many samples as they have.
        scenario: `single_stream`, `multi_stream`, `server` or `offline`.
        tier: `quick`, `normal` or `submission`: least seconds and queries of a valid run.
        latency_bound_ms: of the 99th percentile in `server`; 10 ms, MLPerf's own, unless given.
        duration_s: run so long instead; shorter than the tier demands is not valid.
        samples_per_query: of `multi_stream`.
        seed: of the arrivals.
        driver: one of `DRIVERS`.
        on_step: progress, called with (done, total, label).

    Raises:
        UsageError: no such scenario, tier or driver, or a number that makes no sense.
        MissingEngineError: the load generator is not installed.
    """
    from edgeai_runtime.bench.model_calls import open_calls
    from edgeai_runtime.bench.scenarios import run_scenario

    if driver not in DRIVERS:
        raise UsageError(f"There is no driver {driver!r}.", hint=f"Drivers: {', '.join(DRIVERS)}.")
    settings: dict[str, Any] = {
        "scenario": scenario,
        "tier": tier,
        "latency_bound_ms": latency_bound_ms,
        "duration_s": duration_s,
        "samples_per_query": samples_per_query,
        "seed": seed,
        "on_step": on_step,
    }
    with open_calls(model, arrays, scenario=scenario, samples_per_query=samples_per_query) as (workers, batch):
        if driver == "loadgen":
            from edgeai.benchmarking.loadgen import run_loadgen

            outcome = run_loadgen(workers, **settings)
            (outcome.detail or {})["batch"] = float(batch)
            return outcome
        result = run_scenario(workers, **settings)
    return ScenarioOutcome(
        scenario=result.scenario,
        tier=result.tier,
        metric=result.metric,
        value=result.value,
        bound=result.bound,
        valid=result.valid,
        reason=result.reason,
        queries=result.queries,
        samples=result.samples,
        seconds=result.seconds,
        detail={**result.detail, "batch": float(batch)},
    )

"""What a benchmark is asked to measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from edgeai.benchmarking.result import Scenario, Tier
from edgeai_runtime.errors import UsageError

ENGINE_NAMES = ("litert", "onnxruntime", "openvino")
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
TIERS: tuple[Tier, ...] = get_args(Tier)
ALL = "all"
"""In place of delegates: every delegate of the artifact's engine that is on this machine."""


@dataclass(frozen=True, kw_only=True)
class BenchSpec:
    """What is measured, and how long.

    Attributes:
        paths: bundles (every variant), or `.tflite`, `.onnx` and `.xml` files.
        engines: only artifacts of these engines; empty: all.
        delegates: only these delegates, each a run of its own; `("all",)`; empty: what the runtime would choose.
        threads, batches: each combination is a run of its own.
        duration_s: seconds that each run is measured, the yardsticks beside it included.
        inputs: one array or a dict by input name, `[n, …]`: raw samples for a bundle, what it takes for a bare one.
        reference: expected outputs of the first sample in order, to hold bare artifacts against.
        scenarios: beside the interleaved calls, these scenarios with MLPerf's meaning.
        tier: how long a scenario must last at least (`submission`: MLPerf's own figures).
        latency_bound_ms: of the scenario `server`; 10 ms, MLPerf's own, unless given.
        driver: of the scenarios: `edgeai`, or `loadgen` where `mlcommons-loadgen` is installed.
        phases, memory, energy, operators: measure these too.
        sustained_s: how long the sustained run lasts; 0: none.
        patience_s: a noisy measurement is repeated within this time; 0: it is only said to be noisy.
        data, metric, preprocess: labelled data, to score every run on.
    """

    paths: tuple[Path, ...]
    engines: tuple[str, ...] = ()
    delegates: tuple[str, ...] = ()
    threads: tuple[int, ...] = (1,)
    batches: tuple[int, ...] = (1,)
    duration_s: float = 2.0
    inputs: Any = None
    reference: Sequence[Any] | None = None
    scenarios: tuple[Scenario, ...] = ()
    tier: Tier = "quick"
    latency_bound_ms: float | None = None
    driver: str = "edgeai"
    phases: bool = False
    memory: bool = False
    energy: bool = False
    operators: bool = False
    sustained_s: float = 0.0
    patience_s: float = 0.0
    data: str | None = None
    metric: str | None = None
    preprocess: Any = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: says which value, and what is allowed.
        """
        if not self.paths:
            raise UsageError("There is nothing to measure.", hint="Name a bundle or a model.")
        if self.duration_s <= 0 or not self.threads or not self.batches or min(*self.threads, *self.batches, 1) < 1:
            raise UsageError(
                "Threads, batches and the duration must be above 0. "
                f"Received: {self.threads}, {self.batches}, {self.duration_s}"
            )
        for name in self.engines:
            if name not in ENGINE_NAMES:
                raise UsageError(f"There is no engine {name!r}.", hint=f"Engines: {', '.join(ENGINE_NAMES)}.")
        for name in self.scenarios:
            if name not in SCENARIOS:
                raise UsageError(f"There is no scenario {name!r}.", hint=f"Scenarios: {', '.join(SCENARIOS)}.")
        if self.tier not in TIERS:
            raise UsageError(f"There is no tier {self.tier!r}.", hint=f"Tiers: {', '.join(TIERS)}.")
        if self.delegates and self.delegates != (ALL,):
            _check_delegates(self.delegates)

    def has_parts(self) -> bool:
        """Say whether anything is measured beside the interleaved calls."""
        asked = (self.scenarios, self.phases, self.memory, self.energy, self.operators, self.sustained_s, self.data)
        return any(asked)

    def settings(self) -> dict[str, Any]:
        """Return what was asked for as plain JSON values, without the arrays."""
        return {
            "paths": [str(path) for path in self.paths],
            "engines": list(self.engines),
            "delegates": list(self.delegates),
            "threads": list(self.threads),
            "batches": list(self.batches),
            "duration_s": self.duration_s,
            "scenarios": list(self.scenarios),
            "tier": self.tier,
            "latency_bound_ms": self.latency_bound_ms,
            "driver": self.driver,
            "parts": [name for name in ("phases", "memory", "operators", "energy") if getattr(self, name)],
            "sustained_s": self.sustained_s,
            "patience_s": self.patience_s,
            "data": self.data,
            "metric": self.metric,
            "preprocess": self.preprocess,
        }


def _check_delegates(names: Sequence[str]) -> None:
    from difflib import get_close_matches

    from edgeai_runtime.delegates.table import DELEGATES

    for name in names:
        if name not in DELEGATES:
            close = get_close_matches(name, DELEGATES, n=1)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise UsageError(f"There is no delegate {name!r}.", hint=f"{hint}`edgeai doctor` lists all.")

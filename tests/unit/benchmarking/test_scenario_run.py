"""A model in one of MLPerf's scenarios: which calls answer a query, how many workers there are, who drives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai.benchmarking.scenario_run import run_model_scenario
from edgeai_runtime import load
from edgeai_runtime.bench.model_calls import open_calls
from edgeai_runtime.errors import MissingEngineError, UsageError

MakeFake = Callable[..., Path]

SAMPLE = [np.array([[1, 2]], np.float32)]


@pytest.mark.parametrize(
    ("scenario", "metric"),
    [("single_stream", "p90_latency_ms"), ("multi_stream", "p99_latency_ms"), ("offline", "samples_per_s")],
)
def test_outcome_names_metric_tier_batch_and_driver(make_fake: MakeFake, scenario: Any, metric: str) -> None:
    with load(make_fake(), threads=1) as model:
        outcome = run_model_scenario(model, SAMPLE, scenario=scenario, tier="normal", duration_s=0.05)

    assert (outcome.metric, outcome.tier, outcome.driver) == (metric, "normal", "edgeai")
    assert outcome.value > 0
    assert "60 s are needed" in outcome.reason
    assert (outcome.detail or {})["batch"] == (8 if scenario == "multi_stream" else 1)


def test_server_gives_a_rate_and_what_the_search_tried(make_fake: MakeFake) -> None:
    with load(make_fake(slow_ms={"fake:cpu": 1}), threads=1) as model:
        outcome = run_model_scenario(
            model, SAMPLE, scenario="server", tier="quick", duration_s=0.1, latency_bound_ms=50.0
        )

    detail = outcome.detail or {}
    assert outcome.metric == "queries_per_s"
    assert outcome.value > 10
    assert detail["latency_bound_ms"] == 50.0
    assert detail["probe_1_rate_per_s"] > 0


@pytest.mark.parametrize(("scenario", "workers"), [("server", 3), ("offline", 3), ("single_stream", 1)])
def test_server_and_offline_have_a_worker_per_thread(make_fake: MakeFake, scenario: str, workers: int) -> None:
    with load(make_fake(), threads=3) as model:
        with open_calls(model, SAMPLE, scenario=scenario) as (calls, _):
            assert len(calls) == workers
            for call in calls:
                call(1)
        model.run_raw(SAMPLE)  # still open


@pytest.mark.parametrize(("given", "samples", "calls"), [(1, 5, 5), (4, 5, 2), (4, 8, 2)])
def test_call_has_the_batch_of_the_arrays_and_is_made_as_often_as_the_samples_need(
    make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch, given: int, samples: int, calls: int
) -> None:
    with load(make_fake(), threads=1) as model:
        shapes: list[tuple[int, ...]] = []
        run = model.run_raw
        monkeypatch.setattr(model, "run_raw", lambda arrays: shapes.append(arrays[0].shape) or run(arrays))
        with open_calls(model, [np.repeat(SAMPLE[0], given, axis=0)], scenario="offline") as (workers, batch):
            workers[0](samples)

    assert batch == given
    assert shapes == [(given, 2)] * calls


def test_unknown_driver_is_refused(make_fake: MakeFake) -> None:
    with load(make_fake(), threads=1) as model, pytest.raises(UsageError, match="no driver 'mlperf'"):
        run_model_scenario(model, SAMPLE, scenario="offline", tier="quick", driver="mlperf")


def test_missing_load_generator_is_an_error_that_names_the_extra(
    make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with load(make_fake(), threads=1) as model, pytest.raises(MissingEngineError) as caught:
        run_model_scenario(model, SAMPLE, scenario="offline", tier="quick", driver="loadgen")

    assert "edgeai[loadgen]" in str(caught.value.hint)


@pytest.mark.parametrize(("scenario", "batch"), [("single_stream", 1), ("server", 1), ("offline", 4)])
def test_a_query_of_one_sample_is_a_call_of_one_whatever_batch_was_given(
    make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch, scenario: str, batch: int
) -> None:
    with load(make_fake(), threads=1) as model:
        shapes: list[tuple[int, ...]] = []
        run = model.run_raw
        with open_calls(model, [np.repeat(SAMPLE[0], 4, axis=0)], scenario=scenario) as (_, told):
            assert told == batch
        monkeypatch.setattr(model, "run_raw", lambda arrays: shapes.append(arrays[0].shape) or run(arrays))
        with open_calls(model, [np.repeat(SAMPLE[0], 4, axis=0)], scenario=scenario) as (workers, _):
            workers[0](1)

    assert shapes[-1] == (batch, 2)

"""Two stored results: which runs belong to each other, how sure a ratio is, and when a limit is surely broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgeai.benchmarking.compared import compare_stored, slower_than, unmatched, unproven_slower
from edgeai.benchmarking.result import Noise, PairComparison, ScenarioOutcome
from edgeai_runtime.errors import UsageError

Make = Callable[..., Any]


def test_the_ratio_is_that_of_the_rounds_medians_new_over_old(make_run: Make, make_document: Make) -> None:
    old = make_document(make_run("a.onnx", ms=2.0, spread=0.0))
    new = make_document(make_run("a.onnx", ms=3.0, spread=0.0))
    (found,) = compare_stored(old, new)
    assert found.ratio == pytest.approx(1.5)
    assert found.ci95[0] < 1.5 < found.ci95[1]
    assert (found.a, found.b, found.how, found.verdict) == ("a.onnx", "a.onnx", "stored", "slower")
    (back,) = compare_stored(new, old)
    assert (back.ratio, back.verdict) == (pytest.approx(1 / 1.5), "faster")


def test_one_file_in_two_calm_sessions_is_no_difference_though_its_medians_are_known_better(
    make_run: Make, make_document: Make
) -> None:
    old = make_document(make_run("a.onnx", ms=1.0, seed=1, spread=0.001))
    new = make_document(make_run("a.onnx", ms=1.015, seed=2, spread=0.001))
    (found,) = compare_stored(old, new)
    assert found.verdict == "no_difference"
    assert found.ratio == pytest.approx(1.015, abs=0.001)


def _wandering(seed: int) -> dict[str, Any]:
    """Return a run whose level makes a random walk: as large a drift within a session as between two."""
    draw = np.random.default_rng(seed)
    walk = np.cumsum(draw.normal(scale=0.01, size=200))
    return {"rounds_ms": tuple(map(float, np.exp(walk - walk[0])))}


@pytest.mark.parametrize("seed", range(3))
def test_a_machine_that_wanders_widens_the_interval(make_run: Make, make_document: Make, seed: int) -> None:
    calm = [make_document(make_run("a.onnx", seed=seed + place, spread=0.01)) for place in (0, 10)]
    wild = [make_document(make_run("a.onnx", **_wandering(seed + place))) for place in (0, 10)]
    widths = []
    for pair in (calm, wild):
        (found,) = compare_stored(*pair)
        widths.append(np.log(found.ci95[1] / found.ci95[0]))
    assert widths[1] > 2 * widths[0]


def test_without_rounds_the_interval_of_the_median_is_taken_and_that_is_said(
    make_run: Make, make_document: Make
) -> None:
    old, new = (make_document(make_run("a.onnx", ms=ms, rounds_ms=())) for ms in (1.0, 2.0))
    (found,) = compare_stored(old, new)
    assert (found.ratio, found.verdict) == (pytest.approx(2.0), "slower")
    assert "the old run holds too few rounds" in found.note


WITHOUT = "without yardsticks of one machine: calm rounds are not told from disturbed ones"


def test_where_nothing_is_known_to_differ_only_the_want_of_yardsticks_is_noted(
    make_run: Make, make_document: Make
) -> None:
    (found,) = compare_stored(make_document(make_run("a.onnx")), make_document(make_run("a.onnx", seed=1)))
    assert found.note == WITHOUT
    gpu = [make_document(make_run("a.onnx", ran_on="gpu", seed=seed)) for seed in (0, 1)]
    (found,) = compare_stored(*gpu)
    assert found.note == ""


def test_runs_are_matched_by_file_name_and_settings_in_the_order_of_the_new_result(
    make_run: Make, make_document: Make
) -> None:
    old = make_document(make_run("x/a.onnx", label="x/a.onnx"), make_run("x/b.edge#int8"), make_run("x/c.onnx"))
    new = make_document(make_run("y/b.edge#int8", ms=2.0), make_run("y/a.onnx"), make_run("y/a.onnx", threads=2))
    assert [(one.a, one.b) for one in compare_stored(old, new)] == [
        ("y/b.edge#int8", "x/b.edge#int8"),
        ("y/a.onnx", "x/a.onnx"),
    ]
    assert unmatched(old, new) == ("only in the old result: x/c.onnx", "only in the new result: y/a.onnx")


def test_equal_file_names_in_one_result_are_told_apart_by_their_folders(make_run: Make, make_document: Make) -> None:
    old = make_document(make_run("x/a.onnx"), make_run("y/a.onnx", ms=4.0))
    new = make_document(make_run("y/a.onnx", ms=4.0), make_run("x/a.onnx"))
    assert [one.b for one in compare_stored(old, new)] == ["y/a.onnx", "x/a.onnx"]


def test_two_single_runs_are_compared_whatever_they_are_and_that_is_said(make_run: Make, make_document: Make) -> None:
    (found,) = compare_stored(make_document(make_run("v1.onnx")), make_document(make_run("v2.onnx", ms=2.0)))
    assert (found.a, found.b, found.verdict) == ("v2.onnx", "v1.onnx", "slower")
    assert "two different artifacts" in found.note


def test_results_without_a_run_in_common_are_refused(make_run: Make, make_document: Make) -> None:
    old = make_document(make_run("a.onnx"), make_run("b.onnx"))
    with pytest.raises(UsageError, match=r"share no run. old: a\.onnx .*; new: c\.onnx \(onnx, onnxruntime:cpu, t"):
        compare_stored(old, make_document(make_run("c.onnx")))


def test_what_else_changed_is_named(make_run: Make, make_document: Make) -> None:
    noise = Noise(noisy=True, reason="others took 1.2 cores", spread=0.1, load=1.2)
    machine = {"cpu": "a processor", "governor": "powersave", "load": "1.9"}
    tools = {"edgeai": "0.2.0", "onnxruntime": "1.31.1", "openvino": "2027.1"}
    old = make_document(make_run("a.onnx", digest="12", engine_version="1.30"))
    changed = make_run("a.onnx", digest="12", engine_version="1.31", ran_on="mixed", noise=noise)
    (found,) = compare_stored(old, make_document(changed, machine=machine, tools=tools))
    assert found.note.split("; ") == [
        "this proves nothing, since a session was disturbed",
        "ran on cpu before, on mixed now",
        "the new run was noisy: others took 1.2 cores",
        "the file is the same",
        "onnxruntime 1.30 before, 1.31 now",
        "edgeai 0.1.0 before, 0.2.0 now",
        "another governor: performance before, powersave now",
    ]


def test_two_machines_are_named_first_without_what_follows_from_that(make_run: Make, make_document: Make) -> None:
    machine = {"cpu": "another", "isa": "neon", "cores": "4", "os": "Linux 6", "governor": "performance"}
    (found,) = compare_stored(
        make_document(make_run("a.onnx")), make_document(make_run("a.onnx", seed=1), machine=machine)
    )
    assert found.note.split("; ") == [
        WITHOUT,
        "measured on two machines",
        "another cpu: a processor before, another now",
        "another os: unknown before, Linux 6 now",
    ]


def _outcome(metric: str, value: float, bound: float | None) -> ScenarioOutcome:
    facts: dict[str, Any] = {"valid": True, "reason": "", "queries": 100, "samples": 100, "seconds": 1.0}
    return ScenarioOutcome(scenario="server", tier="quick", metric=metric, value=value, bound=bound, **facts)


@pytest.mark.parametrize(
    ("metric", "old", "new", "ratio"),
    [
        ("samples_per_s", (1000.0, None), (500.0, None), 2.0),
        ("p90_latency_ms", (2.0, 2.1), (4.0, 4.2), 2.0),
        ("p99_latency_ms", (2.0, None), (4.0, None), 1.0),
    ],
    ids=["a rate", "a bounded percentile", "a percentile without bound: the rounds"],
)
def test_a_scenario_is_compared_by_its_figure(
    make_run: Make, make_document: Make, metric: str, old: Any, new: Any, ratio: float
) -> None:
    first, second = (make_document(make_run("a.onnx", outcome=_outcome(metric, *one))) for one in (old, new))
    (found,) = compare_stored(first, second)
    assert found.ratio == pytest.approx(ratio)
    assert (f"by {metric}" in found.note) is (ratio == 2.0)


def test_a_server_that_holds_no_rate_any_more_became_slower(make_run: Make, make_document: Make) -> None:
    old, new = _outcome("queries_per_s", 400.0, 400.0), _outcome("queries_per_s", 0.0, None)
    (found,) = compare_stored(
        make_document(make_run("a.onnx", outcome=old)), make_document(make_run("a.onnx", outcome=new))
    )
    assert (found.verdict, found.ratio) == ("slower", pytest.approx(400.0))
    assert "no rate holds the bound any more" in found.note
    assert len(slower_than([found], 0.05)) == 1


@pytest.mark.parametrize(
    "other", [{"tier": "normal"}, {"driver": "loadgen"}, {"detail": {"latency_bound_ms": 20.0}}, {"valid": False}]
)
def test_scenarios_that_were_not_run_alike_are_not_compared_by_their_figure(
    make_run: Make, make_document: Make, other: dict[str, Any]
) -> None:
    old = _outcome("queries_per_s", 400.0, 400.0)
    new = replace(old, value=100.0, **other)
    (found,) = compare_stored(
        make_document(make_run("a.onnx", outcome=old)), make_document(make_run("a.onnx", outcome=new))
    )
    assert found.ratio == pytest.approx(1.0)
    assert "the scenarios were not run alike" in found.note


def test_a_percentile_that_is_far_from_its_bound_is_less_sure(make_run: Make, make_document: Make) -> None:
    widths = []
    for bound in (2.02, 3.0):
        documents = [make_document(make_run("a.onnx", outcome=_outcome("p99_latency_ms", 2.0, bound)))] * 2
        (found,) = compare_stored(*documents)
        widths.append(found.ci95[1] - found.ci95[0])
    assert widths[1] > 2 * widths[0]


def _pair(ratio: float, low: float, high: float) -> PairComparison:
    verdict = "slower" if low > 1 else "no_difference"
    return PairComparison(a="a.onnx", b="a.onnx", ratio=ratio, ci95=(low, high), verdict=verdict, note="same file")


def test_only_an_interval_beyond_the_limit_is_a_failure() -> None:
    pairs = [_pair(1.2, 1.06, 1.3), _pair(1.2, 1.04, 1.3), _pair(1.04, 1.03, 1.06), _pair(0.8, 0.7, 0.9)]
    (line,) = slower_than(pairs, 0.05)
    assert line == "a.onnx: 1.200 times as long, 95 % [1.060, 1.300], limit 1.050 (same file)"
    (hint,) = unproven_slower(pairs, 0.05)
    assert hint.startswith("unproven: a.onnx: 1.200 times as long, 95 % [1.040, 1.300]")


@pytest.mark.parametrize("limit", [-0.01, float("nan"), float("inf")])
def test_a_limit_that_is_no_share_is_refused(limit: float) -> None:
    with pytest.raises(UsageError, match="share that is not negative"):
        slower_than([], limit)

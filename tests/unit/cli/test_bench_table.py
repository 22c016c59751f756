"""The table of `edgeai bench`: pictures of latencies, names without what all share, sentences."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from edgeai.benchmarking.result import BenchReport, Latency, Noise, PairComparison, Run, ScenarioOutcome, Skipped
from edgeai.cli.bench_table import _cells, _table, comparison_in_words, render, sparkline
from edgeai_runtime.delegates.table import DELEGATES


def test_a_sparkline_is_highest_where_most_calls_are_and_empty_where_none_are() -> None:
    assert sparkline([8, 0, 1, 4]) == "█ ▁▄"


def test_many_bins_are_added_up_to_fit() -> None:
    line = sparkline([1] * 12 + [0] * 12, width=6)
    assert line == "███   "


def test_nothing_measured_draws_nothing() -> None:
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == ""


@pytest.mark.parametrize(
    ("verdict", "ratio", "words"),
    [
        ("faster", 0.5, "a is 2.00x faster than b"),
        ("slower", 1.5, "a is 1.50x slower than b"),
        ("no_difference", 1.01, "a and b: no difference"),
    ],
)
def test_a_comparison_says_its_verdict_its_ratio_and_its_interval(verdict: str, ratio: float, words: str) -> None:
    comparison: dict[str, Any] = {"a": "a", "b": "b", "ratio": ratio, "ci95": [ratio - 0.1, ratio + 0.1]}
    told = comparison_in_words({**comparison, "verdict": verdict, "note": "another machine"})
    assert told.startswith(words)
    assert f"{ratio:.3f}, 95 % [{ratio - 0.1:.3f}" in told
    assert "another machine" in told


@pytest.mark.parametrize(
    ("b", "verdict", "words"),
    [
        ("a", "slower", "a is 1.50x slower than before"),
        ("a", "no_difference", "a: no difference to before"),
        ("c", "slower", "a is 1.50x slower than c before"),
    ],
)
def test_a_stored_comparison_is_one_with_what_was_before(b: str, verdict: str, words: str) -> None:
    comparison = {"a": "a", "b": b, "ratio": 1.5, "ci95": [1.4, 1.6], "verdict": verdict, "how": "stored"}
    assert comparison_in_words(comparison).startswith(f"{words}  (")


PLAIN = Run(
    artifact="m/one.onnx",
    label="m/one.onnx",
    format="onnx",
    engine="onnxruntime",
    delegate="onnxruntime:cpu",
    placement={"cpu": 1.0},
    threads=1,
    scenario="single_stream",
    latency_ms=Latency(median=1.25, p90=1.5, p99=2.0, median_ci95=(1.24, 1.26)),
    throughput_per_s=800.0,
    load_ms=10.0,
    first_ms=2.0,
    rss_mib=None,
    outputs_match=None,
    outputs_cosine=None,
    calls=1000,
)
OFFLINE = ScenarioOutcome(
    scenario="offline",
    tier="quick",
    metric="samples_per_s",
    value=512.0,
    bound=None,
    valid=True,
    reason="",
    queries=1,
    samples=1024,
    seconds=2.0,
)
_STORED = {"latency_ms": {"median": 1.25, "p90": 1.5, "p99": 2.0, "median_ci95": (1.24, 1.26)}}
STREAM = replace(OFFLINE, scenario="single_stream", metric="p90_latency_ms", value=1.5, bound=1.6)


def test_a_run_with_two_scenarios_is_one_line_of_the_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    two = replace(PLAIN, artifact="m/two.onnx", batch=8, throughput_per_s=4321.0, emulated=True)
    runs = [
        replace(two, label=f"m/two.onnx ({one.scenario})", scenario=one.scenario, outcome=one)
        for one in (OFFLINE, STREAM)
    ]
    pair = PairComparison(a="m/two.onnx", b="m/one.onnx", ratio=2.0, ci95=(1.9, 2.1), verdict="slower")
    render(BenchReport(machine={"cpu": "a processor"}, runs=(PLAIN, *runs), comparisons=(pair,)).to_json())

    lines = capsys.readouterr().out.splitlines()
    (line,) = [each for each in lines if each.startswith(" two.onnx ")]
    assert "(100% cpu, simulated, 1 thread, batch 8)" in line
    assert " 4321 " in line
    assert "two.onnx: offline (quick, edgeai): 512 samples per s" in lines
    assert (
        "two.onnx: single_stream (quick, edgeai): p90 latency 1.50 ms (at most 1.60 ms with 99 % confidence)" in lines
    )
    assert any(each.startswith("two.onnx is 2.00x slower than one.onnx") for each in lines)


def test_what_noisy_runs_share_and_the_calmest_part_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    noise = Noise(noisy=True, reason="others took 2 cores", spread=0.1, load=2.0, calm=0.419)
    runs = [replace(PLAIN, noise=noise), replace(PLAIN, artifact="m/two.onnx", label="m/two.onnx", noise=noise)]
    render(BenchReport(machine={}, runs=tuple(runs), comparisons=()).to_json())
    lines = capsys.readouterr().out.splitlines()
    assert "noisy: all runs: others took 2 cores" in lines
    assert "machine: 2 of 2 runs noisy, at least 41 % of the rounds calm" in lines
    render(BenchReport(machine={}, runs=(replace(PLAIN, noise=replace(noise, noisy=False)),), comparisons=()).to_json())
    assert "machine: quiet, 41 % of the rounds calm" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(("count", "lines"), [(3, 4), (5, 2)])
def test_many_delegates_that_are_not_here_are_one_line(
    capsys: pytest.CaptureFixture[str], count: int, lines: int
) -> None:
    absent = [Skipped(artifact=name, reason="not here") for name in list(DELEGATES)[:count]]
    skipped = (*absent, Skipped(artifact="m/bad.onnx", reason="cut short"))
    render(BenchReport(machine={}, runs=(PLAIN,), comparisons=(), skipped=skipped).to_json())
    told = capsys.readouterr().err.splitlines()
    assert len(told) == lines
    assert "not measured: m/bad.onnx: cut short" in told


def test_a_name_writes_no_escapes_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    render(
        BenchReport(machine={}, runs=(replace(PLAIN, artifact="a\x1b[2J.onnx", label=""),), comparisons=()).to_json()
    )
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("width", [50, 60, 80, 100, 132, 200])
def test_a_narrow_terminal_gets_fewer_figures_and_none_is_cut(width: int) -> None:
    names = ("a.onnx", f"{'long-' * 9}name.onnx")
    rows = [{"artifact": name, **_cells(replace(PLAIN, outputs_match=False).__dict__ | _STORED)} for name in names]
    console = Console(file=io.StringIO(), width=width)
    console.print(_table(rows, width))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert text.count("1.25 ms") == 2
    assert text.count("DIFFER") == 2
    assert ("[1.24, 1.26]" in text) == (width >= 90)
    assert max(map(len, text.splitlines())) <= width

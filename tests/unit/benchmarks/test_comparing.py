"""The programs that compare measurements: what is kept, how rates are told, when a peer agrees."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SETTINGS = {"duration_s": 1.0, "cpu": "a processor", "tools": {"numpy": "2"}}


@pytest.fixture
def same_file() -> ModuleType:
    import same_file_comparison

    return same_file_comparison


@pytest.fixture
def peers() -> ModuleType:
    import benchmark_peers

    return benchmark_peers


def _session(ratio: float, low: float, high: float, *, verdict: str = "no_difference", ms: float = 1.0) -> Any:
    run = {
        "artifact": "a.onnx",
        "format": "onnx",
        "engine": "litert",
        "delegate": "onnxruntime:cpu",
        "placement": {"cpu": 1.0},
        "threads": 1,
        "scenario": "single_stream",
        "latency_ms": {"median": ms, "p90": ms, "p99": ms, "median_ci95": [ms, ms]},
        "throughput_per_s": 1.0,
        "load_ms": 1.0,
        "first_ms": 1.0,
        "rss_mib": None,
        "outputs_match": None,
        "outputs_cosine": None,
        "calls": 16,
        "rounds_ms": [ms] * 16,
        "noise": {"noisy": False, "reason": "", "spread": 0.0, "load": 0.5},
    }
    document = {"schema": "edgeai.bench/1", "machine": {}, "runs": [run], "comparisons": []}
    pair = {"ratio": ratio, "ci95": [low, high], "verdict": verdict}
    return {"condition": "rest", "engine": "litert", "settings": SETTINGS, "pair": pair, "document": document}


def test_sessions_made_in_another_way_or_cut_short_are_not_taken(same_file: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "sessions.jsonl"
    own, other = _session(1.0, 0.9, 1.1), {**_session(1.0, 0.9, 1.1), "settings": {**SETTINGS, "cpu": "another"}}
    path.write_text(f"{json.dumps(own)}\n{json.dumps(other)}\n{json.dumps(own)[:50]}")
    assert same_file.read_state(path, SETTINGS) == [own]
    assert same_file.read_state(tmp_path / "none.jsonl", SETTINGS) == []


@pytest.mark.parametrize(
    ("hits", "low", "high"),
    [(100, 0.025 ** (1 / 100), 1.0), (0, 0.0, 1 - 0.025 ** (1 / 100)), (95, 0.88716, 0.98357)],
    ids=["all: the n-th root of 2.5 %", "none", "some, as tables have it"],
)
def test_a_rate_has_the_exact_interval_of_clopper_and_pearson(
    same_file: ModuleType, hits: int, low: float, high: float
) -> None:
    assert same_file.rate(hits, 100)["ci95"] == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


def test_a_session_counts_once_and_margins_are_told_apart(same_file: ModuleType) -> None:
    sessions = [
        _session(1.0, 0.99, 1.01),
        _session(1.015, 1.012, 1.018),
        _session(0.5, 0.4, 0.6, verdict="faster"),
        _session(1.0, 0.999, 1.001, ms=2.0),
    ]
    turns, stored = same_file.summarize_all(sessions, "rest")
    assert (turns["rate"]["hits"], turns["rate"]["n"]) == (3, 4)
    assert turns["by_margin"] == {0.0: 0.5, 0.01: 0.5, 0.02: 0.75, 0.03: 0.75}
    assert turns["found"][0.05] == 0.75
    assert (stored["rate"]["hits"], stored["rate"]["n"], stored["passed"]["hits"]) == (1, 2, 1)
    assert stored["caught"] == {0.05: 0.5, 0.1: 1.0, 0.2: 1.0}
    assert stored["raw"] == pytest.approx(math.log(2) / math.sqrt(2))
    assert same_file.summarize_all(sessions, "load") == []


def test_the_page_of_same_files_has_a_line_per_row(same_file: ModuleType) -> None:
    rows = same_file.summarize_all([_session(1.0, 0.99, 1.01)] * 4, "rest")
    limits = {"rate": 0.95, "margins": same_file.MARGINS, "effects": same_file.EFFECTS, "slower": 0.05}
    text = same_file.to_markdown(rows, SETTINGS, limits)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.count("|") for line in tables] == [16] * 3 + [14] * 3 + [9] * 3
    assert "| rest | litert | 4 | 100.0% | 39.8% to 100.0% |" in text


@pytest.mark.parametrize(
    ("ratio", "interval", "noise", "verdict"),
    [
        (1.03, (1.01, 1.05), 0.04, "agrees"),
        (0.97, (0.95, 0.99), 0.04, "agrees"),
        (1.06, (1.05, 1.07), 0.04, "differs"),
        (0.90, (0.88, 0.92), 0.04, "differs"),
        (1.06, (1.03, 1.09), 0.04, "unproven"),
        (1.03, (1.01, 1.05), 0.30, "too noisy to say"),
    ],
)
def test_benchmarks_agree_within_the_noise_that_ours_states(
    peers: ModuleType, ratio: float, interval: tuple[float, float], noise: float, verdict: str
) -> None:
    assert peers.verdict_of(ratio, interval, noise) == verdict


def test_a_peer_is_judged_by_the_ratios_of_the_rounds(peers: ModuleType, same_file: ModuleType) -> None:
    documents = [same_file.check_report(_session(1, 1, 1, ms=ms)["document"], where="x") for ms in (1.0, 1.02, 1.0)]
    row = peers.judge(documents, [2.0, 2.04, 2.0])
    assert (row["ratio"], row["verdict"]) == (pytest.approx(0.5), "differs")
    assert 0.01 < row["noise"] < 0.05
    assert "| litert | litert-benchmark | 1.000 | 2.000 | 0.500 |" in peers.to_markdown(
        [{"engine": "litert", **row}], 3, {"threads": 1, "duration_s": 1.0}
    )


@pytest.mark.parametrize(("said", "ms"), [("Median:        96.27 us", 0.09627), ("Median:  1.5 ms", 1.5)])
def test_the_median_of_benchmark_app_is_read_in_its_unit(said: str, ms: float) -> None:
    from comparing.peer_tools import told_median_ms

    assert math.isclose(told_median_ms(f"[ INFO ]    {said}\n"), ms)


def test_an_answer_without_a_median_is_an_error() -> None:
    from comparing.peer_tools import told_median_ms

    with pytest.raises(RuntimeError, match="told no median"):
        told_median_ms("[ ERROR ] no such device")

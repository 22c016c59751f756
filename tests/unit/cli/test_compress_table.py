"""What `compress` says to people, from its document."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai.cli.compress_table import render, summary


def _candidate(**changes: Any) -> dict[str, Any]:
    candidate = {
        "id": "tflite-int8",
        "format": "tflite",
        "precision": "int8",
        "recipe": [],
        "size_bytes": 100_000,
        "latency_ms": {"median": 0.25, "p90": 0.3},
        "speedup_vs_float": 2.0,
        "metric": "top1",
        "source_score": 0.98,
        "score": 0.976,
        "drop": 0.004,
        "drop_ci95": [-0.002, 0.009],
        "flip_rate": 0.01,
        "n": 600,
        "verdict": "certified",
        "status": "accepted",
        "reason": "",
    }
    return {**candidate, **changes}


FLOAT = _candidate(
    id="tflite-float32", precision="float32", size_bytes=400_000, speedup_vs_float=1.0, drop=0.0, drop_ci95=[0.0, 0.0]
)


def _document(best: dict[str, Any] | None, *, limit: str | None = None, within: bool = True) -> dict[str, Any]:
    candidates = [FLOAT] + ([best] if best is not None else [])
    return {"best": best, "candidates": candidates, "binding_limit": limit, "within_budget": within, "bundle": "d.edge"}


def test_the_summary_says_what_was_gained_lost_and_how_sure_we_are() -> None:
    assert summary(_document(_candidate())) == (
        "Best: tflite int8, 4.0x smaller and 2.0x faster than float32 in the same engine (100.0 KB, 0.250 ms). "
        "It loses 0.40 points of top1 (98.00 % → 97.60 %); with 95 % confidence the drop is between -0.20 and +0.90 "
        "points (600 samples): certified within the budget."
    )


def test_a_gain_is_called_a_gain() -> None:
    assert "It gains 0.30 points of top1" in summary(_document(_candidate(drop=-0.003, score=0.983)))


def test_no_change_is_called_so() -> None:
    assert "It keeps its top1" in summary(_document(_candidate(drop=0.0)))


def test_what_the_samples_do_not_prove_is_said() -> None:
    words = summary(_document(_candidate(verdict="unproven")))
    assert words.endswith("within the budget here, but 600 samples do not prove it.")


def test_when_nothing_fits_the_binding_limit_is_named() -> None:
    words = summary(_document(_candidate(status="rejected"), limit="max_size", within=False))
    assert words.startswith("Nothing fits the budget: max_size binds. Nearest is tflite int8")


def test_when_only_float_fits_that_is_said() -> None:
    words = summary(_document(FLOAT, limit="max_drop"))
    assert words.startswith("Nothing smaller fits the budget: max_drop binds. Best: tflite float32, 400.0 KB")


def test_without_data_nothing_is_claimed() -> None:
    words = summary(_document(_candidate(drop=None, drop_ci95=None, verdict=None, metric=None, score=None, n=None)))
    assert "nothing is certified" in words


def test_a_search_that_made_nothing_says_so() -> None:
    assert summary(_document(None)) == "No candidate could be made."


def test_a_speedup_below_one_is_called_slower() -> None:
    assert "2.0x slower" in summary(_document(_candidate(speedup_vs_float=0.5)))


def test_the_table_has_a_row_per_candidate_and_brackets_survive(capsys: pytest.CaptureFixture[str]) -> None:
    rejected = _candidate(
        id="onnx-int8",
        format="onnx",
        status="rejected",
        reason="slower than float [bold]",
        latency_ms=None,
        verdict=None,
    )
    document = _document(_candidate())
    document["candidates"].append(rejected)
    render(document)
    shown = capsys.readouterr().out
    assert "+0.40 [-0.20, +0.90]" in shown
    assert "rejected: slower than float [bold]" in shown
    assert "★  tflite" in shown
    assert "bundle: d.edge" in shown

"""What the rows of the comparison with other quantizers say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

N = 1000


def _row(folder: Path, name: str, method: str, wrong: int, place: int, **more: Any) -> dict[str, Any]:
    """Write outputs that are right except for the first `wrong` samples, and return the row."""
    scores = np.eye(10, dtype=np.float32)[(np.arange(N) + (np.arange(N) < wrong)) % 10]
    np.savez(folder / f"{name}.npz", names=np.array(["scores"]), out_0=scores)
    return {
        "name": name, "method": method, "format": "onnx", "place": place, "outputs": str(folder / f"{name}.npz"), **more
    }  # fmt: skip


def _judge(folder: Path, rows: list[dict[str, Any]], ms: list[float]) -> dict[str, Any]:
    from quantization.compared import judge
    from quantization.job import Job

    labels = np.arange(N) % 10
    np.savez(folder / "split.npz", x=np.zeros((N, 1), np.float32), y=labels)
    noise = 1 + 0.01 * np.random.default_rng(0).random((len(ms), 50))
    rounds = {f"round_ms_{place}": value * noise[place] for place, value in enumerate(ms)}
    np.savez(folder / "race.npz", median_ms=np.array(ms), **rounds)
    split = str(folder / "split.npz")
    job = Job(
        source="", onnx="", tflite="", keras="", input_name="x", calibration=split, search=split, certification=split,
        metric="top1",
    )  # fmt: skip
    found: dict[str, Any] = judge(job, rows, {"file": str(folder / "race.npz")})
    return found


@pytest.mark.parametrize(("wrong", "verdict"), [(0, "yes"), (3, "not told apart"), (60, "no")])
def test_ours_is_as_accurate_when_it_scores_no_less_than_the_best_peer(
    tmp_path: Path, wrong: int, verdict: str
) -> None:
    rows = [
        _row(tmp_path, "float-onnx", "float", 0, 0),
        _row(tmp_path, "ours-onnx", "ours", wrong, 1, best=True),
        _row(tmp_path, "ort-minmax", "ort-minmax", 200, 2),
        _row(tmp_path, "ort-entropy", "ort-entropy", 0, 3),
    ]

    found = _judge(tmp_path, rows, [4.0, 1.0, 1.0, 1.0])

    assert (found["accuracy"]["peer"], found["accuracy"]["verdict"]) == ("ort-entropy", verdict)
    assert found["naive_drop"] == pytest.approx(0.2)


@pytest.mark.parametrize(("ms", "verdict"), [(0.5, "yes, faster"), (1.0, "yes, no difference"), (1.5, "no")])
def test_speed_is_held_against_the_fastest_peer_within_the_budget(tmp_path: Path, ms: float, verdict: str) -> None:
    rows = [
        _row(tmp_path, "float-onnx", "float", 0, 0),
        _row(tmp_path, "ours-onnx", "ours", 0, 1, best=True),
        _row(tmp_path, "ort-minmax", "ort-minmax", 200, 2),  # fast, but loses 20 points
        _row(tmp_path, "ort-entropy", "ort-entropy", 5, 3),
    ]

    found = _judge(tmp_path, rows, [4.0, ms, 0.1, 1.0])

    assert (found["speed"]["peer"], found["speed"]["verdict"]) == ("ort-entropy", verdict)
    assert rows[1]["x_own"]["ratio"] == pytest.approx(ms / 4, rel=0.02)


def test_outputs_of_another_shape_are_told_in_the_row_and_do_not_stop_the_rest(tmp_path: Path) -> None:
    broken = _row(tmp_path, "ort-minmax", "ort-minmax", 0, 2)
    np.savez(tmp_path / "ort-minmax.npz", names=np.array(["scores"]), out_0=np.zeros((N, 7), np.float32))
    rows = [_row(tmp_path, "float-onnx", "float", 0, 0), _row(tmp_path, "ours-onnx", "ours", 0, 1, best=True), broken]

    found = _judge(tmp_path, rows, [4.0, 1.0, 1.0])

    assert "shape" in broken["error"]
    assert "score" not in broken
    assert found["accuracy"] is None

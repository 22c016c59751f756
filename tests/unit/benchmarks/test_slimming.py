"""What the pruning and distillation benchmark makes of samples and of measured numbers."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PLAIN: dict[str, Any] = {
    "id": "tflite-int8-mse", "format": "tflite", "precision": "int8", "size_bytes": 1000, "median_ms": 0.4,
    "score": 0.85, "drop": 0.001, "drop_ci95": (-0.004, 0.006), "n": 1750, "verdict": "certified", "accepted": True,
}  # fmt: skip
NOTHING_MADE: dict[str, Any] = {"slim": None, "latency_ratio": None, "latency_ci95": None}
SEEDS = ((0.60, 0.64), (0.61, 0.655), (0.59, 0.632))


def _slimmed(**changes: Any) -> Any:
    from slimming.rows import Slimmed, Variant

    slim = Variant(**PLAIN | {"id": "tflite-pruned", "size_bytes": 400, "median_ms": 0.18})
    row = Slimmed(
        case="resnet8", title="a network", goal="latency", trained_on=30000, published_score=0.75, float_score=0.86,
        float_size_bytes=3000, float_ms=1.0, evaluated=2500, plain=Variant(**PLAIN), slim=slim, latency_ratio=0.45,
        latency_ci95=(0.44, 0.46), seconds={"fine-tuned": 100.0, "timing": 20.0}, code="abc",
    )  # fmt: skip
    of_slim = {key: value for key, value in changes.items() if key in PLAIN}
    others = {key: value for key, value in changes.items() if key not in PLAIN}
    return replace(row, **{"slim": replace(slim, **of_slim)} | others)


def _taught(gain_ci95: tuple[float, float] = (0.02, 0.06), seeds: Any = SEEDS) -> Any:
    from slimming.rows import Pair, Taught

    pairs = [
        Pair(seed=seed, alone=alone, taught=taught, gain=taught - alone, gain_ci95=(0.01, 0.07))
        for seed, (alone, taught) in enumerate(seeds)
    ]
    return Taught(
        case="student", title="a copy", parameters=25, source_parameters=100, trained_on=1500, epochs=4,
        unlabelled=15000, teacher_score=0.87, n=2500, pairs=tuple(pairs), gain_ci95=gain_ci95,
        seconds={"alone-0": 1500.0}, code="abc",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "reached"),
        ({"latency_ratio": 0.49, "latency_ci95": (0.47, 0.51)}, "not proven"),
        ({"drop": 0.008, "drop_ci95": (0.001, 0.015)}, "not proven"),
        ({"latency_ratio": 0.51, "latency_ci95": (0.50, 0.52)}, "missed"),
        ({"drop": 0.011}, "missed"),
        ({"goal": "size"}, "reached"),
        ({"goal": "size", "size_bytes": 501}, "missed"),
        ({"goal": "size", "latency_ratio": 1.5, "latency_ci95": (1.4, 1.6)}, "reached"),
        (NOTHING_MADE, "open"),
    ],
)
def test_the_verdict_asks_for_the_gain_and_the_drop_and_tells_where_a_bound_lies_beyond(
    changes: dict[str, Any], verdict: str
) -> None:
    assert _slimmed(**changes).verdict == verdict


def test_bounds_of_a_speed_up_are_those_of_the_ratio_turned_over() -> None:
    low, high = _slimmed().gain_bounds
    assert (low, high) == (pytest.approx(1 / 0.46), pytest.approx(1 / 0.44))


@pytest.mark.parametrize(
    ("gain_ci95", "seeds", "verdict"),
    [
        ((0.02, 0.06), SEEDS, "reached"),
        ((-0.001, 0.06), SEEDS, "not proven"),
        ((0.02, 0.06), ((0.6, 0.7), (0.6, 0.601), (0.6, 0.62)), "not proven"),
        ((0.02, 0.06), SEEDS[:1], "not proven"),
        ((-0.02, 0.01), ((0.6, 0.59), (0.6, 0.6), (0.6, 0.595)), "missed"),
    ],
)
def test_a_teacher_is_of_worth_when_neither_other_samples_nor_other_seeds_could_say_otherwise(
    gain_ci95: tuple[float, float], seeds: Any, verdict: str
) -> None:
    assert _taught(gain_ci95, seeds).verdict == verdict


@pytest.mark.parametrize(
    "make", [_slimmed, _taught, lambda: _slimmed(slim=None, latency_ratio=None, latency_ci95=None)]
)
def test_a_row_is_the_same_after_its_way_through_a_file(make: Any) -> None:
    from slimming.rows import row_from_json

    row = make()
    assert row_from_json(json.loads(json.dumps(asdict(row)))) == row


def test_the_interval_over_samples_takes_the_mean_over_seeds_per_sample() -> None:
    from slimming.students import interval_over_samples

    random = np.random.default_rng(0)
    first = random.choice([-1.0, 0.0, 1.0], size=400, p=[0.1, 0.7, 0.2])
    low, high = interval_over_samples([first, first])
    assert low < first.mean() < high
    apart = interval_over_samples([first, -first])
    assert apart == pytest.approx((0.0, 0.0))


def test_what_is_trained_on_is_not_among_the_samples_that_are_judged(tmp_path: Path) -> None:
    from slimming.data import write_splits

    x = np.arange(40, dtype=np.int64).reshape(20, 2)
    labels = np.arange(20)
    splits = {
        "training": (x[:10], labels[:10]),
        "calibration": (x[8:12], labels[8:12]),
        "evaluation": (x[2:3], labels[2:3]),
    }
    write_splits(splits, tmp_path, limit=None)
    with np.load(tmp_path / "training.npz") as arrays:
        assert arrays["y"].tolist() == [0, 1, 3, 4, 5, 6, 7]
    with np.load(tmp_path / "calibration.npz") as arrays:
        assert arrays["y"].tolist() == [8, 9, 10, 11]


def test_words_are_numbered_by_how_often_they_occur_and_the_rest_is_one_word() -> None:
    from slimming.data import encode, number_words

    numbers = number_words([["b", "a", "b"], ["c", "a", "b"]], 4)
    assert numbers == {"b": 2, "a": 3}
    assert encode([["c", "b", "a"], []], numbers, 4).tolist() == [[1, 2, 3, 0], [0, 0, 0, 0]]


def test_a_step_is_done_once_and_counts_the_time_before_an_interruption(tmp_path: Path) -> None:
    from slimming.steps import Steps

    from edgeai_converters.workfolder import WorkFolder

    calls = []

    def make(folder: Path) -> dict[str, Any]:
        calls.append(folder)
        if len(calls) == 1:
            clock = next(iter(tmp_path.glob(".clock-*")), None)
            assert clock is None
            raise KeyboardInterrupt
        return {"found": 7}

    steps = Steps(work=WorkFolder(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        steps.step("thing", {"a": 1}, make)
    clock = next(tmp_path.glob(".clock-*"))
    clock.write_text("100.0")
    assert steps.step("thing", {"a": 1}, make)[1]["found"] == 7
    assert steps.step("thing", {"a": 1}, make)[1]["found"] == 7
    assert len(calls) == 2
    assert 100 <= steps.seconds["thing"] < 110
    assert not list(tmp_path.glob(".clock-*"))


def test_the_page_tells_verdicts_bounds_and_times_and_which_cases_took_too_long() -> None:
    from slimming.page import to_markdown

    machine = {"cpu": "a chip", "cores": "2", "isa": "avx2", "python": "3.11"}
    rows = [
        _slimmed(),
        _slimmed(case="mlp", slim=None, latency_ratio=None, latency_ci95=None, why_not="no time"),
        _taught(),
    ]
    page = to_markdown(rows, machine=machine, tools={"edgeai": "1"}, code="abc")
    assert re.search(
        r"\| resnet8 \| latency \| 2\.22 \[2\.17, 2\.27\] \| \+0\.10 \[-0\.40, \+0\.60\] .* \*\*reached", page
    )
    assert re.search(r"\| mlp \|.*\| open: no time \| 2\.0 \|", page)
    assert "Longer than 20 minutes: student" in page
    assert "As published it scores 0.7500" in page
    assert "25 weights, 25.0% of the teacher's 100" in page
    assert "earlier state" not in page
    assert "earlier state of the code: resnet8" in to_markdown(
        rows[:1], machine=machine, tools={"edgeai": "1"}, code="x"
    )


def test_a_quick_case_has_few_samples_and_its_own_key() -> None:
    from slimming.cases import CASES, quick

    for case in CASES.values():
        short = quick(case)
        assert case.limit is None
        assert short.limit is not None
        assert short != case

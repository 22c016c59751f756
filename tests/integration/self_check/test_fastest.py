"""Choosing by measuring: the fastest delegate and number of threads, ties for the CPU, remembered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime import autotune
from edgeai_runtime.errors import ModelError, UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.placement import Placement

MakeFake = Callable[..., Path]
X = np.array([[1, 2]], np.float32)
BOTH = ("fake:npu", "fake:cpu")


@pytest.fixture(autouse=True)
def short_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure for half a second."""
    monkeypatch.setenv("EDGEAI_AUTOTUNE_S", "0.5")


@pytest.mark.parametrize(("slow", "fast"), [("fake:npu", "fake:cpu"), ("fake:cpu", "fake:npu")])
def test_the_faster_delegate_is_used_and_the_report_has_the_times(make_fake: MakeFake, slow: str, fast: str) -> None:
    path = make_fake(delegates=BOTH, slow_ms={slow: 8, fast: 1})

    with load(path, placement="fastest", threads=1) as model:
        report = model.placement
        assert report.delegate == fast
        assert [one.delegate for one in report.measured] == [fast, slow]
        assert report.measured[0].median_ms == pytest.approx(1, rel=0.5)
        assert model(X).tolist() == [[2, 4]]


def test_a_tie_is_decided_for_the_cpu(make_fake: MakeFake) -> None:
    path = make_fake(delegates=BOTH, slow_ms={"fake:npu": 3, "fake:cpu": 3})

    with load(path, placement="fastest", threads=1) as model:
        assert model.placement.delegate == "fake:cpu"


def test_a_delegate_that_is_fast_and_wrong_is_not_in_the_race(make_fake: MakeFake) -> None:
    path = make_fake(delegates=("fake:cpu", "fake:gpu"), faults={"fake:gpu": {"factor": 3}}, slow_ms={"fake:cpu": 2})

    with load(path, placement="fastest", threads=2) as model:
        assert model.placement.delegate == "fake:cpu"
        (refused,) = [one for one in model.placement.measured if one.delegate == "fake:gpu"]
        assert refused.median_ms is None
        assert "self-check" in refused.how


def test_what_was_measured_is_remembered(make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_fake(delegates=BOTH, slow_ms={"fake:cpu": 5})
    with load(path, placement="fastest", threads=1) as model:
        first = model.placement.measured
    monkeypatch.setattr("edgeai_runtime.isolation.call_in_child", None)

    with load(path, placement="fastest", threads=1) as model:
        assert model.placement.measured == first
        assert model.placement.delegate == "fake:npu"


def test_another_limit_of_threads_is_measured_for_itself(make_fake: MakeFake, cache: Path) -> None:
    path = make_fake(delegates=BOTH)
    for threads in (1, 2):
        load(path, placement="fastest", threads=threads).close()

    assert len(list((cache / "fastest").rglob("*.json"))) == 2


def test_threads_are_chosen_by_measuring_and_never_more_than_there_are(
    make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeai_runtime.cores.usable_cores", lambda: 4)
    path = make_fake(delegates=("fake:cpu",), slow_ms={"fake:cpu": 20}, threads_help=True)

    with load(path, threads="auto") as model:
        assert model.threads == 4
        assert sorted(one.threads for one in model.placement.measured) == [1, 2, 4]


def test_threads_that_do_not_help_are_not_used(make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeai_runtime.cores.usable_cores", lambda: 4)

    with load(make_fake(delegates=("fake:cpu",), slow_ms={"fake:cpu": 3}), threads="auto") as model:
        assert model.threads == 1


def test_threads_alone_do_not_change_the_delegate(make_fake: MakeFake) -> None:
    path = make_fake(delegates=("fake:cpu", "fake:npu"), slow_ms={"fake:npu": 5})

    with load(path, threads="auto") as model:
        assert model.placement.delegate == "fake:npu"


def test_the_limit_of_threads_is_kept(make_fake: MakeFake) -> None:
    path = make_fake(delegates=("fake:cpu",), slow_ms={"fake:cpu": 20}, threads_help=True)

    with load(path, placement="fastest", threads=2) as model:
        assert model.threads == 2
        assert {one.threads for one in model.placement.measured} == {1, 2}


def test_require_leaves_only_its_devices_in_the_race(make_fake: MakeFake) -> None:
    path = make_fake(delegates=BOTH, slow_ms={"fake:npu": 5})

    with load(path, placement=Placement(require="npu", prefer=("fastest",)), threads=2) as model:
        assert model.placement.delegate == "fake:npu"


def test_a_crash_while_measuring_leaves_the_first_choice(make_fake: MakeFake, caplog: pytest.LogCaptureFixture) -> None:
    path = make_fake(delegates=("fake:cpu",), on_run="segfault")

    with caplog.at_level(logging.WARNING), load(path, placement="fastest", threads=2) as model:
        assert model.placement.delegate == "fake:cpu"
        assert model.placement.measured == ()
    assert "SIGSEGV" in caplog.text


@pytest.mark.parametrize("fault", ["segfault", "exit"])
def test_a_delegate_that_crashes_while_measuring_costs_the_others_nothing(
    make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    path = make_fake(
        delegates=("fake:cpu", "fake:npu", "fake:gpu"),
        faults={"fake:cpu": {"on_run": fault}},  # recorded on it, so it is not checked before
    )
    children: list[list[str]] = []
    measure = autotune._measure_in_child

    def count(request: dict[str, Any]) -> list[dict[str, Any]]:
        children.append([entry["delegate"].removeprefix("fake:") for entry in request["entries"]])
        return measure(request)

    monkeypatch.setattr(autotune, "_measure_in_child", count)
    with load(path, placement="fastest", threads=1) as model:
        measured = model.placement.measured
        assert model.placement.delegate in ("fake:npu", "fake:gpu")
    assert children == [["cpu", "npu", "gpu"], ["cpu"], ["npu"], ["gpu"], ["npu", "gpu"]]
    assert {one.delegate for one in measured if one.median_ms is not None} == {"fake:npu", "fake:gpu"}
    assert (measured[2].delegate, measured[2].median_ms) == ("fake:cpu", None)
    assert "measuring" in measured[2].how


def test_two_delegates_that_do_not_survive_each_other_are_compared_from_afar(
    make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_fake(delegates=BOTH, slow_ms={"fake:npu": 8, "fake:cpu": 1})
    alone = autotune._measure_in_child

    def measure(request: dict[str, Any]) -> list[dict[str, Any]]:
        if len(request["entries"]) > 1:
            raise ModelError("measuring crashed")
        return alone(request)

    monkeypatch.setattr(autotune, "_measure_in_child", measure)
    with load(path, placement="fastest", threads=1) as model:
        assert [one.delegate for one in model.placement.measured] == ["fake:cpu", "fake:npu"]


def test_a_damaged_memory_is_measured_again(make_fake: MakeFake, cache: Path) -> None:
    path = make_fake(delegates=BOTH, slow_ms={"fake:cpu": 5})
    load(path, placement="fastest", threads=1).close()
    (file,) = (cache / "fastest").rglob("*.json")
    file.write_text("{")

    with load(path, placement="fastest", threads=1) as model:
        assert len(model.placement.measured) == 2


def test_a_budget_that_makes_no_sense_is_wrong_usage(make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_AUTOTUNE_S", "much")

    with pytest.raises(UsageError, match="EDGEAI_AUTOTUNE_S"):
        load(make_fake(delegates=BOTH), placement="fastest")


@pytest.mark.parametrize("threads", [0, -1, "all", 1.5])
def test_threads_that_make_no_sense_are_wrong_usage(make_fake: MakeFake, threads: object) -> None:
    with pytest.raises(UsageError, match="at least 1, or 'auto'"):
        load(make_fake(), threads=threads)  # type: ignore[arg-type]

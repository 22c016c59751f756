"""The rules of placement, tried on the fake engine's CPU, GPU and NPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeai_runtime.delegates.choose import check_placement, order_delegates, placement_error
from edgeai_runtime.delegates.probe import Probe
from edgeai_runtime.errors import PlacementError, UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.placement import Attempt, Placement

MakeBundle = Callable[..., Path]
CANDIDATES = [("first", "fake:cpu"), ("second", "fake:gpu"), ("third", "fake:npu"), ("fourth", "fake:cpu")]


@pytest.mark.parametrize(
    ("placement", "order"),
    [
        (Placement(), ["third", "second", "first", "fourth"]),
        (Placement(prefer=()), ["first", "second", "third", "fourth"]),
        (Placement(prefer=("cpu",)), ["first", "fourth", "second", "third"]),
        (Placement(prefer=("fake:gpu", "cpu")), ["second", "first", "fourth", "third"]),
        (Placement(require="cpu"), ["first", "fourth"]),
        (Placement(require="fake:npu"), ["third"]),
        (Placement(allow=("cpu", "fake:gpu")), ["second", "first", "fourth"]),
        (Placement(allow=()), []),
    ],
)
def test_delegates_are_tried_in_order_of_preference_then_of_the_manifest(
    placement: Placement, order: list[str]
) -> None:
    kept, _ = order_delegates(CANDIDATES, placement)

    assert [owner for owner, _ in kept] == order


def test_a_delegate_that_this_runtime_does_not_have_is_skipped_with_the_reason() -> None:
    kept, skipped = order_delegates([("a", "onnxruntime:abacus"), ("b", "fake:cpu")], Placement())

    assert [owner for owner, _ in kept] == ["b"]
    assert [(one.delegate, one.outcome) for one in skipped] == [("onnxruntime:abacus", "skipped")]
    assert "no such delegate" in skipped[0].reason


@pytest.mark.parametrize(
    ("placement", "words"),
    [
        (Placement(require="npuu"), "did you mean 'npu'"),
        (Placement(prefer=("gpu", "tpu")), "'tpu' is neither"),
        (Placement(allow=("CPU",)), "'CPU' is neither"),
        (Placement(min_coverage=95), "0 to 1"),
    ],
)
def test_a_placement_that_makes_no_sense_is_wrong_usage(placement: Placement, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_placement(placement)


def test_the_best_preferred_device_that_loads_is_used_and_the_failed_one_is_reported(make_bundle: MakeBundle) -> None:
    path = make_bundle({"net": {"no_driver": ["fake:npu"]}}, delegates={"net": ("fake:cpu", "fake:npu", "fake:gpu")})

    with load(path) as model:
        attempts = [(one.delegate, one.outcome) for one in model.placement.attempts]

    assert attempts == [("fake:npu", "failed"), ("fake:gpu", "used")]


def test_require_names_every_delegate_and_why_it_does_not_serve(make_bundle: MakeBundle) -> None:
    path = make_bundle({"net": {}})

    with pytest.raises(PlacementError) as caught:
        load(path, placement=Placement(require="npu"))

    assert "npu is required" in caught.value.message
    (line,) = [line for line in caught.value.message.splitlines() if line.endswith(": runs on cpu, not on npu")]
    assert {"fake:cpu", "litert:xnnpack"} <= {word.strip(" ,:") for word in line.split()}


@pytest.mark.parametrize(
    ("engine", "present", "line"),
    [
        ("litert", False, "it is not plugged in"),
        ("onnxruntime", False, "the model has no variant for it; it is not plugged in"),
        ("onnxruntime", True, "the model has no variant for it"),
        ("litert", True, "here, but used only when it is asked for by name"),
    ],
)
def test_a_delegate_that_was_no_candidate_is_absent_or_without_a_variant_or_both(
    monkeypatch: pytest.MonkeyPatch, engine: str, present: bool, line: str
) -> None:
    asked: list[str] = []

    def probe(name: str) -> Probe:
        asked.append(name)
        return Probe(present=present, reason="" if present else "it is not plugged in")

    monkeypatch.setattr("edgeai_runtime.delegates.probe.probe", probe)
    attempts = [Attempt(delegate=f"{engine}:cpu", outcome="skipped", reason="runs on cpu, not on litert:edgetpu")]
    message = placement_error(Placement(require="litert:edgetpu"), attempts).message

    assert f"\n  litert:edgetpu: {line}\n" in f"{message}\n"
    assert asked == ["litert:edgetpu"]  # nothing that would not do anyway


def test_where_nothing_special_is_asked_only_what_was_tried_is_listed() -> None:
    attempts = [Attempt(delegate="onnxruntime:cpu", outcome="failed", reason="it is broken")]
    message = placement_error(Placement(), attempts).message

    assert message == "no delegate here can run this model as asked:\n  onnxruntime:cpu: it is broken"


def test_require_reports_a_missing_driver(make_bundle: MakeBundle) -> None:
    path = make_bundle({"net": {"no_driver": ["fake:npu"]}}, delegates={"net": ("fake:npu", "fake:cpu")})

    with pytest.raises(PlacementError, match="no driver for fake:npu"):
        load(path, placement=Placement(require="npu"))


def test_an_accelerator_that_takes_too_few_operations_is_refused_when_required(make_bundle: MakeBundle) -> None:
    path = make_bundle({"net": {"operations": 10, "left_behind": 4}}, delegates={"net": ("fake:npu",)})

    with pytest.raises(PlacementError, match=r"6 of 10 operations on npu \(60%\).*at least 90%"):
        load(path, placement=Placement(require="npu", min_coverage=0.9))


def test_an_accelerator_that_takes_enough_operations_is_used(make_bundle: MakeBundle) -> None:
    path = make_bundle({"net": {"operations": 10, "left_behind": 4}}, delegates={"net": ("fake:npu",)})

    with load(path, placement=Placement(require="npu", min_coverage=0.6)) as model:
        assert model.placement.shares() == {"cpu": 0.4, "gpu": 0.0, "npu": 0.6, "unknown": 0.0}


def test_an_accelerator_that_runs_nothing_does_not_satisfy_require(make_bundle: MakeBundle) -> None:
    path = make_bundle({"net": {"operations": 3, "left_behind": 3}}, delegates={"net": ("fake:npu",)})

    with pytest.raises(PlacementError, match="0 of 3 operations on npu"):
        load(path, placement=Placement(require="npu"))


def test_a_preferred_device_with_too_little_coverage_gives_way_to_the_next(make_bundle: MakeBundle) -> None:
    path = make_bundle({"net": {"operations": 10, "left_behind": 9}}, delegates={"net": ("fake:npu", "fake:cpu")})

    with load(path, placement=Placement(min_coverage=0.5)) as model:
        assert model.placement.delegate == "fake:cpu"
        assert "1 of 10 operations on npu" in model.placement.attempts[0].reason


def test_allow_refuses_a_model_with_operations_elsewhere_and_names_them(make_bundle: MakeBundle) -> None:
    path = make_bundle({"net": {"left_behind": 1}}, delegates={"net": ("fake:npu",)})

    with pytest.raises(PlacementError, match="1 of 10 operations run outside npu: Mul on fake:cpu"):
        load(path, placement=Placement(allow=("npu",)))

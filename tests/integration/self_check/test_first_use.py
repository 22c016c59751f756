"""The self-check before a delegate is used: real crashes, hangs and wrong numbers; the app goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime import isolation
from edgeai_runtime.bundle import open_bundle
from edgeai_runtime.delegates.probe import Probe
from edgeai_runtime.errors import PlacementError, UsageError
from edgeai_runtime.first_use import driver_of
from edgeai_runtime.loading import load
from edgeai_runtime.model import Model
from edgeai_runtime.placement import Attempt, Placement
from edgeai_runtime.verdicts import forget_verdicts, quarantined

MakeFake = Callable[..., Path]
X = np.array([[1, 2]], np.float32)


def _npu(**fault: Any) -> dict[str, Any]:
    return {"faults": {"fake:npu": fault}}


def _wrong_gpu(**fault: Any) -> dict[str, Any]:
    """A fault of a delegate that has no remedies: one child, and the next delegate."""
    return {"delegates": ("fake:cpu", "fake:gpu"), "faults": {"fake:gpu": fault}}


def _attempts(model: Model) -> list[tuple[str, str, str]]:
    return [(one.delegate, one.outcome, one.remedy) for one in model.placement.attempts]


def _failed(model: Model) -> list[Attempt]:
    return [one for one in model.placement.attempts if one.outcome == "failed"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"on_open": "segfault"}, r"crashed (signal SIGSEGV)"),
        ({"on_run": "segfault"}, r"crashed (signal SIGSEGV)"),
        ({"on_run": "abort"}, r"crashed (signal SIGABRT)"),
        ({"on_run": "exit"}, "exit code 3"),
        ({"on_run": "raise"}, "as it was told to"),
        ({"factor": 2.01}, "y differs by at most 0.06"),
        ({"factor": float("nan")}, "y differs by at most nan"),
    ],
)
def test_a_faulty_delegate_is_survived_and_the_next_one_gives_the_right_numbers(
    make_fake: MakeFake, fault: dict[str, Any], words: str
) -> None:
    with load(make_fake(**_wrong_gpu(**fault))) as model:
        assert model(X).tolist() == [[2, 4]]
        assert _attempts(model)[0] == ("fake:gpu", "failed", "")
        assert _attempts(model)[-1] == ("fake:cpu", "used", "")
        assert words in model.placement.attempts[0].reason


def test_a_delegate_that_hangs_is_given_up_when_the_time_is_over(
    make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEAI_SELFCHECK_S", "1")
    with load(make_fake(**_wrong_gpu(on_run="hang"))) as model:
        assert model(X).tolist() == [[2, 4]]
        assert "hangs: loading and running it did not end within 1 s" in model.placement.attempts[0].reason


def test_a_delegate_that_hangs_leaves_time_for_the_remedy_that_cures_it(
    make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []
    real = isolation.call_in_child

    def call(function: str, request: dict[str, Any], *, timeout_s: float, what: str) -> dict[str, Any]:
        shares.append(timeout_s)
        return real(function, request, timeout_s=timeout_s if len(shares) > 1 else 1, what=what)

    monkeypatch.setenv("EDGEAI_SELFCHECK_S", "100")
    monkeypatch.setattr(isolation, "call_in_child", call)
    with load(make_fake(**_npu(on_run="hang", cured_by={"precision": "f32"}))) as model:
        assert _attempts(model) == [("fake:npu", "failed", ""), ("fake:npu", "used", "pin f32")]
        assert model(X).tolist() == [[2, 4]]
    assert shares == [pytest.approx(50, abs=1), pytest.approx(49.5, abs=1)]


def test_every_remedy_is_tried_in_order_before_a_delegate_is_given_up(make_fake: MakeFake) -> None:
    with load(make_fake(**_npu(factor=3))) as model:
        assert _attempts(model) == [
            ("fake:npu", "failed", ""),
            ("fake:npu", "failed", "pin f32"),
            ("fake:npu", "failed", "no fp16"),
            ("fake:npu", "failed", "fewer operations"),
            ("fake:cpu", "used", ""),
        ]


@pytest.mark.parametrize("fault", [{"factor": 3}, {"on_run": "segfault"}])
def test_the_remedy_that_helps_is_used_and_named(make_fake: MakeFake, fault: dict[str, Any]) -> None:
    with load(make_fake(**_npu(**fault, cured_by={"fp16": "0"}))) as model:
        assert model.placement.delegate == "fake:npu"
        assert _attempts(model)[-1] == ("fake:npu", "used", "no fp16")
        assert model(X).tolist() == [[2, 4]]


def test_a_good_verdict_is_kept_with_its_remedy_and_nothing_runs_again(
    make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_fake(**_npu(factor=3, cured_by={"precision": "f32"}))
    load(path).close()
    monkeypatch.setattr("edgeai_runtime.isolation.call_in_child", None)

    with load(path) as model:
        assert _attempts(model)[-1] == ("fake:npu", "used", "pin f32")
        assert model(X).tolist() == [[2, 4]]


def test_a_failed_delegate_is_in_quarantine_and_says_how_to_get_out(
    make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_fake(**_wrong_gpu(factor=3))
    load(path).close()
    monkeypatch.setattr("edgeai_runtime.isolation.call_in_child", None)

    with load(path) as model:
        (first, _) = model.placement.attempts
        assert (first.delegate, first.outcome) == ("fake:gpu", "skipped")
        assert "in quarantine since" in first.reason
        assert "verify BUNDLE --retry" in first.reason


def test_a_quarantine_that_is_forgotten_lets_the_delegate_be_tried_again(make_fake: MakeFake) -> None:
    path = make_fake(**_wrong_gpu(factor=3))
    load(path).close()
    digest = open_bundle(path).digest

    assert [verdict.delegate for verdict in quarantined(digest)] == ["fake:gpu"]
    assert forget_verdicts(digest) == 1
    with load(path) as model:
        assert _failed(model)


def test_other_options_are_checked_for_themselves(make_fake: MakeFake) -> None:
    path = make_fake(**_npu(factor=3, cured_by={"fp16": "0", "precision": "f32"}))
    load(path).close()

    with load(path, placement=Placement(options={"fake:npu": {"precision": "f32"}})) as model:
        assert _attempts(model)[-1] == ("fake:npu", "used", "no fp16")


def test_require_names_the_failed_self_check(make_fake: MakeFake) -> None:
    path = make_fake(**_wrong_gpu(factor=3))

    with pytest.raises(PlacementError, match="fake:gpu: self-check failed: y differs"):
        load(path, placement=Placement(require="gpu"))
    with pytest.raises(PlacementError, match="fake:gpu: in quarantine"):
        load(path, placement=Placement(require="gpu"))


def test_never_trusts_every_delegate(make_fake: MakeFake) -> None:
    path = make_fake(**_wrong_gpu(factor=3))
    load(path).close()

    with load(path, selfcheck="never") as model:
        assert model(X).tolist() == [[3, 6]]


def test_the_recording_cpu_delegate_is_not_checked_unless_asked(
    make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_fake(delegates=("fake:cpu",), factor=3)
    with monkeypatch.context() as patch:
        patch.setattr("edgeai_runtime.isolation.call_in_child", None)
        load(path).close()
    with pytest.raises(PlacementError, match="no delegate here can run this model"):
        load(path, selfcheck="always")


def test_what_always_found_counts_for_auto(make_fake: MakeFake) -> None:
    path = make_fake(delegates=("fake:cpu",), factor=3)
    with pytest.raises(PlacementError):
        load(path, selfcheck="always")

    with pytest.raises(PlacementError, match="in quarantine"):
        load(path)


def test_options_of_a_cpu_delegate_are_checked(make_fake: MakeFake) -> None:
    path = make_fake(delegates=("fake:cpu",), factor=3)

    with pytest.raises(PlacementError, match="self-check"):
        load(path, placement=Placement(options={"fake:cpu": {"speed": "reckless"}}))


def test_without_golden_samples_a_crash_is_still_found(make_fake: MakeFake) -> None:
    path = make_fake(golden=False, **_wrong_gpu(on_run="segfault"))

    with load(path) as model:
        assert model.placement.delegate == "fake:cpu"


def test_without_golden_samples_the_report_says_that_numbers_were_not_checked(make_fake: MakeFake) -> None:
    with load(make_fake(golden=False)) as model:
        assert model.placement.delegate == "fake:npu"
        assert "numbers were not checked" in model.placement.attempts[-1].reason


def test_a_missing_driver_is_no_quarantine(make_fake: MakeFake) -> None:
    path = make_fake(no_driver=["fake:npu"])
    with load(path) as model:
        assert "no driver for fake:npu" in model.placement.attempts[0].reason

    assert quarantined(open_bundle(path).digest) == []


@pytest.mark.parametrize("what", ["installed.engine_version", "first_use.driver_of"])
def test_another_engine_or_driver_is_checked_again(
    make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path = make_fake(**_wrong_gpu(factor=3))
    load(path).close()
    monkeypatch.setattr(f"edgeai_runtime.{what}", lambda name: "2.0")

    with load(path) as model:
        assert len(_failed(model)) == 1


@pytest.mark.skipif(not Path("/proc/sys/kernel/random/boot_id").exists(), reason="the system has no name for a boot")
@pytest.mark.parametrize(("present", "asked"), [(True, 1), (False, 2)])
def test_a_driver_that_is_here_is_asked_once_per_boot(
    monkeypatch: pytest.MonkeyPatch, present: bool, asked: int
) -> None:
    calls: list[str] = []

    def probe(name: str) -> Probe:
        calls.append(name)
        return Probe(present=present, driver="7")

    monkeypatch.setattr("edgeai_runtime.delegates.probe.probe", probe)

    assert [driver_of("openvino:npu"), driver_of("openvino:npu")] == ["7", "7"]
    assert len(calls) == asked


def test_several_processes_at_once_come_to_one_verdict(make_fake: MakeFake, cache: Path) -> None:
    path = make_fake(**_npu(factor=3, cured_by={"precision": "f32"}))
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(load, [path] * 4))

    assert {_attempts(model)[-1] for model in models} == {("fake:npu", "used", "pin f32")}
    assert len(list((cache / "verdicts").rglob("*.json"))) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"trials": []}', b"\xff"])
def test_a_damaged_verdict_counts_as_none(make_fake: MakeFake, cache: Path, content: bytes) -> None:
    path = make_fake()
    load(path).close()
    (file,) = (cache / "verdicts").rglob("*.json")
    file.write_bytes(content)
    load(path).close()

    assert json.loads(file.read_bytes())["ok"] is True


def test_a_cache_that_can_not_be_written_is_no_error(make_fake: MakeFake, cache: Path) -> None:
    path = make_fake()
    open_bundle(path)
    (cache / "verdicts").write_text("a file where the folder should be")

    with load(path) as model:
        assert model.placement.delegate == "fake:npu"


def test_a_program_without_a_python_of_its_own_does_not_use_what_it_can_not_check(
    make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_fake()
    monkeypatch.setattr("sys.executable", "")

    with load(path) as model:
        assert model.placement.delegate == "fake:cpu"
        assert "cannot be checked" in model.placement.attempts[0].reason


@pytest.mark.parametrize("text", ["soon", "0", "-1"])
def test_a_time_limit_that_makes_no_sense_is_wrong_usage(
    make_fake: MakeFake, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("EDGEAI_SELFCHECK_S", text)

    with pytest.raises(UsageError, match="EDGEAI_SELFCHECK_S"):
        load(make_fake())


def test_a_word_that_is_no_policy_is_wrong_usage(make_fake: MakeFake) -> None:
    with pytest.raises(UsageError, match="'auto', 'always' or 'never'"):
        load(make_fake(), selfcheck="sometimes")  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{}, {"fp16": "yes"}])
def test_options_that_the_engine_refuses_are_no_quarantine(make_fake: MakeFake, options: dict[str, str]) -> None:
    path = make_fake(**_npu(on_open="refuse"))
    placement = Placement(options={"fake:npu": options})
    if options:
        with pytest.raises(UsageError, match="takes no such option"):
            load(path, placement=placement)
    else:
        with load(path, placement=placement) as model:
            assert model.placement.delegate == "fake:cpu"

    assert quarantined(open_bundle(path).digest) == []

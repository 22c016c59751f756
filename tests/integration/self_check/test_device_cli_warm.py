"""`verify`, `warm` and `run` on a device: attempts, remedies, quarantine and measured times are said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.__main__ import main
from edgeai_runtime.loading import load

MakeFake = Callable[..., Path]
CURED = {"faults": {"fake:npu": {"factor": 3, "cured_by": {"precision": "f32"}}}}
#: A delegate that has no remedies, so that one child is enough.
WRONG: dict[str, Any] = {"delegates": ("fake:cpu", "fake:gpu"), "faults": {"fake:gpu": {"factor": 3}}}


def _json(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    assert main([*words, "--json"]) == code
    return dict(json.loads(capsys.readouterr().out))


def test_verify_checks_every_delegate_and_lists_the_quarantine(
    make_fake: MakeFake, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(make_fake(**WRONG))
    document = _json(capsys, "verify", path)

    golden = {one["name"]: one["ok"] for one in document["checks"] if one["name"].startswith("golden ")}
    assert golden == {"golden net on fake:gpu": False, "golden net on fake:cpu": True}
    assert document["ok"] is True  # one delegate with the right numbers is enough
    (bad,) = document["quarantine"]
    assert (bad["variant"], bad["delegate"]) == ("net", "fake:gpu")
    assert "y differs by at most" in bad["reason"]


def test_verify_fails_when_no_delegate_gives_the_right_numbers(
    make_fake: MakeFake, capsys: pytest.CaptureFixture[str]
) -> None:
    document = _json(capsys, "verify", str(make_fake(delegates=WRONG["delegates"], factor=3)), code=1)

    assert document["ok"] is False
    assert len(document["quarantine"]) == 2


def test_verify_skips_what_is_in_quarantine_until_retry(
    make_fake: MakeFake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(make_fake(**WRONG))
    main(["verify", path])
    with monkeypatch.context() as patch:
        patch.setattr("edgeai_runtime.isolation.call_in_child", None)
        assert main(["verify", path]) == 0
    assert "in quarantine since" in capsys.readouterr().out
    monkeypatch.setattr("edgeai_runtime.agreement.compare_output", None)  # of no effect: it runs in a child

    assert main(["verify", path, "--retry"]) == 0
    out = capsys.readouterr().out
    assert "FAIL golden net on fake:gpu: fake:gpu failed its self-check: y differs" in out


def test_verify_names_the_remedy(make_fake: MakeFake, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(make_fake(**CURED))]) == 0

    assert "ok   golden net on fake:npu: with the remedy 'pin f32': y differs by at most 0" in capsys.readouterr().out


def test_run_says_what_was_tried_before(
    make_fake: MakeFake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", np.ones((1, 2), np.float32))
    words = ("run", str(make_fake(**CURED)), "--input", str(tmp_path / "x.npy"))
    document = _json(capsys, *words)

    tried = [(one["delegate"], one["outcome"], one["remedy"]) for one in document["attempts"]]
    assert tried == [("fake:npu", "failed", None), ("fake:npu", "used", "pin f32")]
    assert document["outputs"] == {"y": [[2.0, 2.0]]}
    assert main([*words, "--selfcheck", "never"]) == 0
    assert "[[3.0, 3.0]]" in capsys.readouterr().out


def test_warm_checks_and_measures_so_that_loading_does_not(
    make_fake: MakeFake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_fake(**CURED, slow_ms={"fake:cpu": 5})
    words = ("warm", str(path), "--prefer", "fastest", "--threads", "1", "--budget", "0.5")
    monkeypatch.setenv("EDGEAI_AUTOTUNE_S", "")
    document = _json(capsys, *words)
    monkeypatch.setattr("edgeai_runtime.isolation.call_in_child", None)

    assert document["placement"]["delegate"] == "fake:npu"
    assert [one["delegate"] for one in document["placement"]["measured"]] == ["fake:npu", "fake:cpu"]
    with load(path, placement="fastest", threads=1) as model:
        assert model.placement.delegate == "fake:npu"
    assert main(list(words)) == 0
    out = capsys.readouterr().out
    assert "will run on fake:npu with 1 threads" in out
    assert "median ms" in out


def test_warm_measures_again_when_told_to(make_fake: MakeFake, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_AUTOTUNE_S", "0.3")
    words = ["warm", str(make_fake(delegates=("fake:cpu",))), "--prefer", "fastest", "--threads", "2"]
    main(words)
    (file,) = (cache / "fastest").rglob("*.json")
    before = file.stat().st_mtime_ns

    assert main(words) == 0
    assert file.stat().st_mtime_ns == before
    assert main([*words, "--retry"]) == 0
    assert file.stat().st_mtime_ns != before


def test_warm_fails_where_the_numbers_are_wrong_and_says_so(
    make_fake: MakeFake, capsys: pytest.CaptureFixture[str]
) -> None:
    document = _json(capsys, "warm", str(make_fake(delegates=("fake:cpu",), factor=3)), code=1)

    assert [one["name"] for one in document["checks"] if not one["ok"]] == ["golden net on fake:cpu", "load"]
    assert document["placement"] is None


@pytest.mark.parametrize("option", ["fake:cpu", "fake:cpu.a", "a=b", "cpu.a=b"])
def test_an_option_that_is_not_understood_is_wrong_usage(make_fake: MakeFake, option: str) -> None:
    assert main(["warm", str(make_fake()), "--option", option]) == 2


def test_threads_that_are_not_understood_are_wrong_usage(make_fake: MakeFake) -> None:
    assert main(["warm", str(make_fake()), "--threads", "many"]) == 2

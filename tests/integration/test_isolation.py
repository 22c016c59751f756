"""Opening a file in a child process: crashes, hangs and refusals are told apart, and the parent lives on."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edgeai_runtime.engines.fake import write_fake_model
from edgeai_runtime.errors import EngineError, MissingEngineError, ModelError, PlacementError
from edgeai_runtime.isolation import call_in_child, check_in_child
from edgeai_runtime.loading import load


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for every test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDGEAI_CACHE", str(folder))
    return folder


def _check(path: Path, *, timeout_s: float = 60) -> None:
    check_in_child(path, engine="fake", delegate="fake:cpu", threads=1, timeout_s=timeout_s)


@pytest.mark.parametrize("moment", ["on_open", "on_run"])
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("segfault", r"crashed \(signal SIGSEGV\)"),
        ("abort", r"crashed \(signal SIGABRT\)"),
        ("exit", "ended its process with exit code 3"),
        ("raise", "as it was told to"),
    ],
)
def test_each_way_to_fail_is_named(tmp_path: Path, moment: str, how: str, words: str) -> None:
    path = write_fake_model(tmp_path / "bad.fake", inputs=[{"name": "x", "shape": [1, 2]}], **{moment: how})

    with pytest.raises((ModelError, EngineError), match=words) as caught:
        _check(path)

    assert "bad.fake" in caught.value.message


def test_a_crash_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        _check(write_fake_model(tmp_path / "bad.fake", on_open="segfault"))

    assert "engine fake" in caught.value.message
    assert "Convert it again" in caught.value.hint


def test_a_hang_ends_when_the_time_is_up(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"hangs.*within 2 s"):
        _check(write_fake_model(tmp_path / "slow.fake", on_open="hang"), timeout_s=2)


def test_a_crash_leaves_no_core_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError):
        _check(write_fake_model(tmp_path / "bad.fake", on_open="abort"))

    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bad.fake", "cache"]


def test_a_good_verdict_is_kept_for_the_same_content(tmp_path: Path, cache: Path) -> None:
    path = write_fake_model(tmp_path / "good.fake")
    _check(path)
    (verdict,) = (cache / "opened").iterdir()
    written = verdict.stat().st_mtime_ns
    _check(path.rename(tmp_path / "moved.fake"))

    assert [file.stat().st_mtime_ns for file in (cache / "opened").iterdir()] == [written]


def test_a_changed_file_is_tried_again(tmp_path: Path) -> None:
    path = write_fake_model(tmp_path / "good.fake")
    _check(path)
    write_fake_model(path, on_run="abort")

    with pytest.raises(ModelError, match="SIGABRT"):
        _check(path)


def test_a_bad_verdict_is_not_kept(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ModelError):
        _check(write_fake_model(tmp_path / "bad.fake", on_open="abort"))

    assert not (cache / "opened").exists()


def test_a_cache_that_can_not_be_written_is_no_error(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")

    _check(write_fake_model(tmp_path / "good.fake"))


def test_errors_of_ours_keep_their_kind(tmp_path: Path) -> None:
    path = write_fake_model(tmp_path / "good.fake", no_driver=["fake:cpu"])

    with pytest.raises(PlacementError, match="no driver for fake:cpu"):
        _check(path)


def test_a_missing_engine_is_told_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('not here')")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "net.onnx"
    path.write_bytes(b"\x08\x09")

    with pytest.raises(MissingEngineError, match="not here") as caught:
        load(path)

    assert caught.value.hint == 'pip install "edgeai-runtime[onnx]"'


def test_a_model_with_free_dimensions_may_refuse_the_trial_politely(tmp_path: Path) -> None:
    _check(write_fake_model(tmp_path / "picky.fake", on_run="raise"))


def test_the_result_of_any_function_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work.py").write_text(
        "def double(request):\n    print('noise')\n    return {'value': 2 * request['x']}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    assert call_in_child("work:double", {"x": 21}, timeout_s=60, what="double") == {"value": 42}


def test_a_function_that_fails_is_an_engine_error_with_its_reason() -> None:
    with pytest.raises(EngineError, match="AttributeError"):
        call_in_child("edgeai_runtime.errors:nothing", {}, timeout_s=60, what="nothing")


@pytest.mark.litert
@pytest.mark.assets
def test_a_file_that_litert_refuses_is_a_model_error_with_its_reason(assets: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(ModelError, match=r"person_detect.tflite.*quantized_dimension must be in range"):
        load(assets / "tflite_micro" / "person_detect.tflite")


def test_nothing_is_logged_above_debug(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        _check(write_fake_model(tmp_path / "good.fake"))

    assert not caplog.records

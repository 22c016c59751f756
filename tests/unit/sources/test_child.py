"""A task in a child process: its answer, its errors, its crash and its hanging."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_converters.sources.child import run_in_child
from edgeai_runtime.errors import DataError, ModelError

_TASKS = """
import os, time
from edgeai_runtime.errors import DataError
def double(request): return {"value": request["value"] * 2}
def refuse(request): raise DataError("no such sample", hint="give another")
def fail(request): raise KeyError("lost")
def crash(request): print("last words", flush=True); os.abort()
def hang(request): time.sleep(60)
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "child_tasks.py").write_text(_TASKS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_the_answer_comes_back(tasks: Path) -> None:
    assert run_in_child("child_tasks:double", {"value": 21}, workdir=tasks, what="doubling") == {"value": 42}


def test_our_errors_come_back_as_they_were(tasks: Path) -> None:
    with pytest.raises(DataError, match="no such sample") as caught:
        run_in_child("child_tasks:refuse", {}, workdir=tasks, what="refusing")
    assert caught.value.hint == "give another"


def test_other_errors_are_model_errors_that_name_the_work(tasks: Path) -> None:
    with pytest.raises(ModelError, match="failing failed: KeyError: 'lost'"):
        run_in_child("child_tasks:fail", {}, workdir=tasks, what="failing")


def test_a_crash_is_told_with_its_signal_and_log(tasks: Path) -> None:
    with pytest.raises(ModelError, match=r"(?s)crashing crashed \(SIGABRT\).*last words"):
        run_in_child("child_tasks:crash", {}, workdir=tasks, what="crashing")


def test_a_child_that_hangs_is_ended(tasks: Path) -> None:
    with pytest.raises(ModelError, match="did not end within 1 seconds"):
        run_in_child("child_tasks:hang", {}, workdir=tasks, what="hanging", timeout_s=1)

"""From an exception to words and an exit code."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from edgeai.cli.failures import run_guarded
from edgeai_runtime.errors import BudgetError, EdgeAIError, OutputError, UsageError


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("wrong"), 2),
        (BudgetError("too slow"), 1),
        (typer.BadParameter("odd"), 2),
        (KeyboardInterrupt(), 130),
        (typer.Abort(), 130),
        (MemoryError(), 1),
        (OSError(errno.ENOSPC, "no space", "file.bin"), 1),
        (ZeroDivisionError("bug"), 1),
        (BrokenPipeError(), 141),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(error: BaseException, code: int) -> None:
    assert run_guarded(lambda: _raise(error), as_json=False, debug=False) == code


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (1, 1), ("text", 0), (True, 0)])
def test_work_that_ends_well_may_return_an_exit_code(result: object, code: int) -> None:
    assert run_guarded(lambda: result, as_json=False, debug=False) == code


def test_an_error_is_told_on_stderr_with_its_hint(capsys: pytest.CaptureFixture[str]) -> None:
    run_guarded(lambda: _raise(OutputError("It exists.", hint="use --force")), as_json=False, debug=False)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: It exists.\n  → use --force\n"


def test_an_error_is_one_json_document_on_stdout_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    run_guarded(lambda: _raise(OutputError("It exists.", hint="use --force")), as_json=True, debug=False)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "error": {"type": "OutputError", "message": "It exists.", "hint": "use --force"}
    }
    assert captured.err == ""


def test_an_interruption_says_how_to_resume(capsys: pytest.CaptureFixture[str]) -> None:
    run_guarded(lambda: _raise(KeyboardInterrupt()), as_json=False, debug=False)
    assert "resumes when it is run again" in capsys.readouterr().err


def test_a_full_disk_names_the_file_and_a_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    run_guarded(lambda: _raise(OSError(errno.ENOSPC, "no space", "big.bin")), as_json=True, debug=False)
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "OutputError"
    assert "big.bin" in error["message"]
    assert "--work" in error["hint"]


def test_an_unexpected_error_is_one_line_and_its_trace_is_in_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run_guarded(lambda: _raise(ZeroDivisionError("in a\nfar corner")), as_json=False, debug=False)
    told = capsys.readouterr().err
    assert "ZeroDivisionError: in a far corner" in told
    assert "Traceback" not in told
    (trace,) = tmp_path.iterdir()
    assert str(trace) in told
    assert "Traceback" in trace.read_text()


def test_debug_prints_the_trace(capsys: pytest.CaptureFixture[str]) -> None:
    run_guarded(lambda: _raise(ZeroDivisionError("bug")), as_json=False, debug=True)
    assert "Traceback" in capsys.readouterr().err


def test_every_error_of_the_tree_has_a_json_form() -> None:
    assert EdgeAIError("what", hint="how").to_json() == {"type": "EdgeAIError", "message": "what", "hint": "how"}


def test_a_reader_that_leaves_early_is_no_trouble() -> None:
    script = (
        "import sys; from edgeai.cli.failures import run_guarded\n"
        "def work():\n"
        "    for _ in range(100000): print('x' * 100)\n"
        "sys.exit(run_guarded(work, as_json=False, debug=False))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode == 141
    assert told == ""

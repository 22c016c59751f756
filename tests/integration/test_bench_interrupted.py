"""What was measured when Ctrl-C came is kept: of minutes of measuring nothing is thrown away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto, helper, save_model

import edgeai
from edgeai.benchmarking.measure import BenchInterrupted
from edgeai.cli.app import run
from edgeai_runtime.errors import EngineError

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.onnxruntime

SECONDS = 0.03


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Return two files that hold a network of one operation."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    made = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for path in made:
        save_model(model, path)
    return made


def interrupt_at(word: str) -> Callable[[int, int, str], None]:
    """Return a progress callback that presses Ctrl-C when a label begins with `word`."""

    def on_step(done: int, total: int, label: str) -> None:
        if label.startswith(word):
            raise KeyboardInterrupt

    return on_step


def test_what_was_measured_is_kept_with_a_word_on_what_was_not(paths: list[Path]) -> None:
    with pytest.raises(BenchInterrupted) as caught:
        edgeai.bench(paths, duration_s=SECONDS, energy=True, sustained_s=0.1, on_step=interrupt_at("sustained"))
    report = caught.value.report
    assert [Path(run.artifact).name for run in report.runs] == ["a.onnx", "b.onnx"]
    assert report.runs[0].energy is not None
    assert report.runs[1].energy is None
    assert len(report.comparisons) == 1
    assert [one.reason for one in report.skipped] == ["interrupted before all of it was measured"] * 2


def test_before_anything_is_measured_an_interruption_is_nothing_else(paths: list[Path]) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        edgeai.bench(paths, duration_s=SECONDS, on_step=interrupt_at("measuring"))
    assert not isinstance(caught.value, BenchInterrupted)


def test_an_interrupted_repeat_of_a_noisy_measurement_leaves_the_first(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeai.benchmarking import noise

    monkeypatch.setattr(noise, "MOST_SPREAD", -1.0)  # nothing is quiet
    last = [0]

    def press_in_the_second(done: int, total: int, label: str) -> None:
        if label.startswith("measuring"):
            if done < last[0]:
                raise KeyboardInterrupt
            last[0] = done

    with pytest.raises(BenchInterrupted) as caught:
        edgeai.bench(paths, duration_s=SECONDS, patience_s=30.0, on_step=press_in_the_second)
    assert len(caught.value.report.runs) == 2
    assert len(caught.value.report.comparisons) == 1


def test_an_artifact_that_fails_a_scenario_does_not_take_the_others_with_it(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeai.benchmarking import scenario_run

    real, calls = scenario_run.run_model_scenario, []

    def fail_once(*arguments: object, **more: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise EngineError("the engine gave up")
        return real(*arguments, duration_s=0.05, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(scenario_run, "run_model_scenario", fail_once)
    report = edgeai.bench(paths, duration_s=SECONDS, scenarios=["offline"])
    assert [run.outcome is None for run in report.runs] == [True, False]
    assert [(Path(one.artifact.split(",")[0]).name, one.reason) for one in report.skipped] == [
        ("a.onnx", "the engine gave up")
    ]


def test_the_command_line_writes_what_there_is_and_ends_with_130(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgeai.benchmarking import sustained

    def press(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sustained, "run_sustained", press)
    out = tmp_path / "result.json"
    command = ["bench", *map(str, paths), "--duration", "30ms", "--sustained", "1s", "-o", str(out)]
    assert run(command) == 130
    assert len(json.loads(out.read_text())["runs"]) == 2
    assert "interrupted: this is what was measured until then" in capsys.readouterr().err

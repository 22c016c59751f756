"""Figures of `edgeai.bench` that follow from how many samples a call answers, held against files of known shapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgeai
from edgeai_runtime.__main__ import main
from edgeai_runtime.errors import DataError, EngineError

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.onnxruntime

MakeNet = Callable[..., Path]
SECONDS = 0.03


@pytest.fixture
def make_net(tmp_path: Path) -> MakeNet:
    """Return a maker of a product with a matrix 64 by 64, whose input has the shape given."""

    def make(name: str, shape: list[int | str], *, width: int = 64, beside: bool = False) -> Path:
        weights = numpy_helper.from_array(np.full((width, width), 0.01, np.float32), "w")
        x, y = (helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each in "xy")
        graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "net", [x], [y], [weights])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        path = tmp_path / name
        onnx.save_model(model, path, save_as_external_data=beside, location=f"{name}.data", size_threshold=0)
        return path

    return make


@pytest.mark.parametrize(("shape", "batch"), [([4, 64], 4), ([64], 1), (["n", 64], 1)])
def test_throughput_counts_the_samples_that_a_call_answers(
    make_net: MakeNet, shape: list[int | str], batch: int
) -> None:
    (run,) = edgeai.bench(make_net("net.onnx", shape), duration_s=SECONDS).runs
    assert run.batch == batch
    assert run.throughput_per_s == pytest.approx(1e3 * batch / run.latency_ms.median)


def test_calls_of_different_batches_are_not_compared(make_net: MakeNet) -> None:
    report = edgeai.bench([make_net("free.onnx", ["n", 64]), make_net("four.onnx", [4, 64])], duration_s=SECONDS)
    assert [run.batch for run in report.runs] == [1, 4]
    assert not report.comparisons
    assert report.runs[1].outputs_match is None


def test_of_several_batches_one_that_a_file_does_not_take_is_left_out(make_net: MakeNet) -> None:
    report = edgeai.bench(make_net("four.onnx", [4, 64]), batches=(1, 4), duration_s=SECONDS)
    assert [run.batch for run in report.runs] == [4]
    assert "takes 4 at a time" in report.skipped[0].reason


def test_a_comparison_of_two_networks_says_that_they_are_two(make_net: MakeNet) -> None:
    report = edgeai.bench(
        [make_net("one.onnx", ["n", 64]), make_net("two.onnx", ["n", 8], width=8), make_net("same.onnx", ["n", 64])],
        duration_s=SECONDS,
    )
    assert [one.note for one in report.comparisons] == ["they take different inputs", ""]


def test_weights_in_a_file_beside_count_as_size_and_as_what_a_file_is_known_by(make_net: MakeNet) -> None:
    path = make_net("net.onnx", ["n", 64], beside=True)
    weights = path.with_name("net.onnx.data")
    (before,) = edgeai.bench(path, duration_s=SECONDS).runs
    content = bytearray(weights.read_bytes())
    content[0] ^= 1
    weights.write_bytes(content)
    (after,) = edgeai.bench(path, duration_s=SECONDS).runs

    assert before.size_bytes == path.stat().st_size + len(content)
    assert before.digest != after.digest


def test_a_part_that_can_not_be_measured_is_said_and_the_rest_is_there(
    make_net: MakeNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, **_: Any) -> None:
        raise EngineError(f"{path.name} has no profiler")

    monkeypatch.setattr("edgeai.profiling.profile.profile_artifact", fail)
    fits, other = make_net("fits.onnx", ["n", 64]), make_net("other.onnx", ["n", 8], width=8)
    np.savez(tmp_path / "data.npz", x=np.ones((12, 64), np.float32), y=np.zeros(12, np.int64))
    report = edgeai.bench([fits, other], duration_s=SECONDS, operators=True, data=str(tmp_path / "data.npz"))

    assert [run.accuracy is not None for run in report.runs] == [True, False]
    assert [one.artifact for one in report.skipped] == [
        f"{fits}, operations",
        f"{other}, operations",
        f"{other}, accuracy",
    ]
    with pytest.raises(DataError, match="shape"):
        edgeai.bench(other, duration_s=SECONDS, data=str(tmp_path / "data.npz"))


def test_a_device_compares_calls_of_one_batch_only(make_net: MakeNet, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [make_net("free.onnx", ["n", 64]), make_net("four.onnx", [4, 64]), make_net("line.onnx", [64])]
    assert main(["bench", *map(str, paths), "--duration", "0.02", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [run["batch"] for run in document["runs"]] == [1, 4, 1]
    assert [(one["a"], one["b"]) for one in document["comparisons"]] == [(str(paths[2]), str(paths[0]))]


def test_more_runs_than_are_held_open_are_each_measured_once(
    make_net: MakeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeai.benchmarking.measure.TOGETHER", 2)
    paths = [make_net(f"{name}.onnx", ["n", 64]) for name in "abc"]
    report = edgeai.bench(paths, batches=(1, 8), duration_s=SECONDS)
    assert [(Path(run.artifact).stem, run.batch) for run in report.runs] == [(a, b) for b in (1, 8) for a in "abc"]
    assert [one.b for one in report.comparisons] == [f"{paths[0]}, batch {batch}" for batch in (1, 1, 8, 8)]

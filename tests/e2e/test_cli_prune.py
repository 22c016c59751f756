"""`edgeai prune`: channels go, the rest makes up for it, what was lost is certified, and a broken limit is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeai.cli import main
from edgeai.pruning import prune
from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.float_graph import make_float_graph
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.prune.channel_ranking import rank_channels
from edgeai_converters.prune.groups import find_groups
from edgeai_converters.prune.pruning_spec import PruneSpec
from edgeai_converters.prune.way import PruneJob
from edgeai_converters.spec import CompressSpec, DataSpec
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.errors import ModelError

pytestmark = pytest.mark.onnxruntime

WIDTH, HEAVY, TWINS = 16, 3, (2, 5)
"""Channels of the first layer: one that never speaks though its weights are the largest; two that say the same."""


A = ("--share", "25%", "--multiple-of", "4", "--metric", "cosine")
"""One cut for many tests: they share a work folder, so that it is measured once."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make `net.onnx` over 8 × 8 maps, `dense.onnx` of a single layer, and samples `x.npz`."""
    folder = tmp_path_factory.mktemp("prune")
    random = np.random.default_rng(0)
    arrays = {
        "w1": random.normal(size=(WIDTH, 3, 3, 3)) / 5,
        "b1": random.normal(size=WIDTH) * 0.1,
        "w2": random.normal(size=(WIDTH, WIDTH, 3, 3)) / 12,
        "b2": random.normal(size=WIDTH) * 0.1,
        "w3": random.normal(size=(4, WIDTH)),
        "b3": random.normal(size=4) * 0.1,
    }
    arrays["w1"][TWINS[1]], arrays["b1"][TWINS[1]] = 2 * arrays["w1"][TWINS[0]], 2 * arrays["b1"][TWINS[0]]
    arrays["w1"][HEAVY], arrays["b1"][HEAVY] = 3 * arrays["w1"][HEAVY], -100
    _save(
        folder / "net.onnx",
        """g (float[N,3,8,8] x) => (float[N,4] y) {
        a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) ar = Relu(a)
        c = Conv <pads = [1, 1, 1, 1]> (ar, w2, b2) cr = Relu(c)
        m = GlobalAveragePool(cr) f = Flatten(m) y = Gemm <transB = 1> (f, w3, b3) }""",
        arrays,
    )
    _save(folder / "dense.onnx", "g (float[N,8] x) => (float[N,4] y) { y = MatMul(x, w) }", {"w": np.eye(8)[:, :4]})
    means = random.normal(size=(320, 3, 1, 1))
    np.savez(folder / "x.npz", x=(random.normal(size=(320, 3, 8, 8)) + means).astype(np.float32))
    return folder


@pytest.fixture
def folder(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the files, as the current one, without what was written before."""
    monkeypatch.chdir(files)
    (files / "small.onnx").unlink(missing_ok=True)
    return files


def _save(path: Path, graph: str, arrays: dict[str, Any]) -> None:
    proto = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> {graph}')
    for name, array in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    onnx.save(proto, path)


def _document(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    given = ["prune", "net.onnx", "--data", "x.npz", "--work", "work", "--json", "--force", "-o", "small.onnx"]
    assert main([*given, *arguments]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_written_file_is_smaller_and_what_was_certified(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _document(capsys, *A)
    assert found["share"] == pytest.approx(0.25)
    assert {width["after"] % 4 for width in found["widths"].values()} == {0}
    proto = onnx.load(folder / "small.onnx")
    shapes = {one.name: list(one.dims) for one in proto.graph.initializer}
    assert shapes["w1"][0] == shapes["w2"][1] == found["widths"]["w1"]["after"]
    trained = [shape for name, shape in shapes.items() if name[0] in "wb"]
    assert found["after"]["parameters"] == sum(int(np.prod(shape)) for shape in trained)
    assert found["after"]["parameters"] < found["before"]["parameters"]
    assert found["after"]["macs"] < 0.8 * found["before"]["macs"]
    assert found["after"]["size_bytes"] == (folder / "small.onnx").stat().st_size
    assert found["claim"]["n"] == found["data"]["certification"]
    low, high = found["latency"]["ratio_ci95"]
    assert 0 < low <= found["latency"]["ratio"] <= high
    x = {"x": np.load(folder / "x.npz")["x"]}
    whole, small = (GraphRunner(folder / name).run(x)["y"] for name in ("net.onnx", "small.onnx"))
    assert whole.shape == small.shape
    assert not np.allclose(whole, small)


@pytest.mark.usefixtures("folder")
def test_fitting_readers_anew_loses_less_than_cutting_alone(capsys: pytest.CaptureFixture[str]) -> None:
    fitted = _document(capsys, *A)
    plain = _document(capsys, *A, "--no-reconstruct")
    assert fitted["reconstructed"]
    assert not plain["reconstructed"]
    assert fitted["widths"] == plain["widths"]
    assert fitted["claim"]["drop"] < 0.5 * plain["claim"]["drop"]


def _least(folder: Path, importance: Any) -> int:
    """Return the channel of the first layer that is worth least."""
    work = WorkFolder(folder / "work")
    spec = PruneSpec(source=folder / "net.onnx", data=DataSpec(data="x.npz"), importance=importance, metric="cosine")
    graph = make_float_graph(spec.source, work, input_shapes={})
    evidence = Evidence(CompressSpec(source=spec.source, data=spec.data, metric=spec.metric), graph, work)
    batches = tuple(evidence.calibration_batches(64))
    job = PruneJob(graph=graph, evidence=evidence, spec=spec, work=work, batches=batches)
    return int(np.argmin(rank_channels(job, find_groups(graph.model)).worth["w1"]))


@pytest.mark.parametrize("importance", ["activation", "reconstruction"])
def test_importance_on_samples_finds_the_silent_channel(folder: Path, importance: Any) -> None:
    assert _least(folder, importance) == HEAVY


@pytest.mark.parametrize("importance", ["l2", "l1"])
def test_importance_by_size_does_not(folder: Path, importance: Any) -> None:
    assert _least(folder, importance) != HEAVY


@pytest.mark.torch
def test_importance_by_gradients_finds_the_silent_channel(folder: Path) -> None:
    pytest.importorskip("torch")
    assert _least(folder, "taylor") == HEAVY


@pytest.mark.usefixtures("folder")
def test_a_second_call_goes_on_from_finished_steps(capsys: pytest.CaptureFixture[str]) -> None:
    first = _document(capsys, *A)
    second = _document(capsys, *A)
    assert second["resumed_steps"] >= 5
    assert {**second, "duration_s": 0, "resumed_steps": 0} == {**first, "duration_s": 0, "resumed_steps": 0}


def test_a_broken_limit_is_told_and_the_file_is_written_all_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _document(capsys, "--share", "80%", "--no-reconstruct", "--metric", "cosine", "--max-drop", "0.1%", code=1)
    assert found["claim"]["verdict"] == "violated"
    assert (folder / "small.onnx").is_file()


@pytest.mark.usefixtures("folder")
def test_words_tell_what_was_cut_lost_and_won(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "net.onnx", "--data", "x.npz", "--work", "work", "-o", "small.onnx", *A]) == 0
    said = capsys.readouterr().out
    assert all(words in said for words in ("25.0% of the channels cut", "multiply-accumulates", "lost", "latency"))


def test_a_model_without_channels_to_cut_is_refused(folder: Path) -> None:
    np.savez(folder / "rows.npz", x=np.random.default_rng(1).normal(size=(64, 8)).astype(np.float32))
    with pytest.raises(ModelError, match="No channel of this model can be cut"):
        prune("dense.onnx", "rows.npz", work="work", out="small.onnx")
    assert not (folder / "small.onnx").exists()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--share", "0%"],
        ["--share", "100%"],
        ["--importance", "luck"],
        ["--floor", "100%"],
        ["-o", "small.tflite"],
        ["--method", "magic"],
        ["--method", "sparse", "--pattern", "2-4"],
        ["--method", "depth", "--blocks", "99"],
        ["--target-latency", "50%", "--share", "30%"],
    ],
)
def test_wrong_usage_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "net.onnx", "--data", "x.npz", "--work", "work", *arguments]) == 2
    assert capsys.readouterr().err

"""`edgeai prune` by other ways than a share of channels: measured targets, depth, low rank, zeros, clusters; labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeai.cli import main
from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.float_graph import make_float_graph
from edgeai_converters.prune import engine_cost
from edgeai_converters.prune.channel_ranking import class_labels
from edgeai_converters.prune.pruning_spec import PruneSpec
from edgeai_converters.prune.way import PruneJob
from edgeai_converters.spec import CompressSpec, DataSpec
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.errors import ModelError

pytestmark = pytest.mark.onnxruntime

GRAPH = """g (float[N,3,8,8] x) => (float[N,4] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) ar = Relu(a)
    c = Conv <pads = [1, 1, 1, 1]> (ar, w2, b2) cr = Relu(c)
    d = Conv <pads = [1, 1, 1, 1]> (cr, w3, b3) s = Add(ar, d) sr = Relu(s)
    m = GlobalAveragePool(sr) f = Flatten(m) y = Gemm <transB = 1> (f, w4, b4) }"""
SHAPES = {
    "w1": (32, 3, 3, 3), "b1": (32,), "w2": (32, 32, 3, 3), "b2": (32,), "w3": (32, 32, 3, 3), "b3": (32,),
    "w4": (4, 32), "b4": (4,),
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make `net.onnx`, a residual network, and samples: plain, with classes, with targets of a regression."""
    folder = tmp_path_factory.mktemp("methods")
    random = np.random.default_rng(0)
    proto = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> {GRAPH}')
    for name, shape in SHAPES.items():
        array = random.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1) * (1 if len(shape) > 1 else 0.1)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    onnx.save(proto, folder / "net.onnx")
    x = (random.normal(size=(160, 3, 8, 8)) + random.normal(size=(160, 3, 1, 1))).astype(np.float32)
    np.savez(folder / "plain.npz", x=x)
    np.savez(folder / "classes.npz", x=x, y=_class_of(x))
    np.savez(folder / "targets.npz", x=x, y=x.mean(axis=(2, 3)).repeat(2, 1)[:, :4])
    return folder


def _class_of(x: Any) -> Any:
    return x.mean(axis=(2, 3)).argmax(axis=1).astype(np.int64)


@pytest.fixture
def folder(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the files, as the current one; with little time for measurements."""
    monkeypatch.chdir(files)
    monkeypatch.setattr(engine_cost, "TABLE_S", 0.5)
    monkeypatch.setattr(engine_cost, "NETWORKS_S", 0.5)
    return files


def _prune(capsys: pytest.CaptureFixture[str], *arguments: str, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
    given = ["prune", "net.onnx", "--data", "plain.npz", "--work", "work", "--json", "--force", "-o", "small.onnx"]
    assert main([*given, "--metric", "cosine", *arguments]) in codes
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["after"]["size_bytes"] == Path("small.onnx").stat().st_size
    return found


def _weights(path: Path) -> dict[str, Any]:
    return {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}


def test_zeros_make_the_packed_file_smaller_and_nothing_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _prune(capsys, "--method", "sparse", "--pattern", "2:4")
    assert found["asked"] == {"pattern": [2, 4]}
    rows = _weights(folder / "small.onnx")["w2"].reshape(32, -1)
    assert (rows == 0).mean() == pytest.approx(0.5)
    told = next(one for one in found["weights"] if one["weight"] == "w2")
    assert told["zeros"] == {"before": 0, "after": int((rows == 0).sum())}
    before, after = found["before"], found["after"]
    assert after["packed_bytes"] < 0.75 * before["packed_bytes"]
    assert after["size_bytes"] == pytest.approx(before["size_bytes"], rel=0.02)
    assert after["macs"] == before["macs"]
    assert any("Latency on a CPU does not change" in note for note in found["notes"])
    assert found["latency"]["ratio"] > 0


def test_clusters_leave_few_values(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _prune(capsys, "--method", "clusters", "--clusters", "8")
    assert len(np.unique(_weights(folder / "small.onnx")["w2"])) == 8
    assert found["after"]["packed_bytes"] < 0.5 * found["before"]["packed_bytes"]
    assert any("lost when the model is quantized later" in note for note in found["notes"])


def test_low_rank_takes_the_share_of_weights(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _prune(capsys, "--method", "low-rank", "--share", "40%")
    parameters = found["products"]["parameters"]
    assert parameters["after"] <= 0.6 * parameters["before"]
    ranks = {layer["weight"]: layer["rank"] for layer in found["products"]["layers"]}
    assert ranks
    assert all(f"{name}_in" in _weights(folder / "small.onnx") for name in ranks)


def test_depth_takes_the_block_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _prune(capsys, "--method", "depth", "--blocks", "1")
    assert len(found["blocks"]["removed"]) == 1
    nodes = [node.op_type for node in onnx.load(folder / "small.onnx").graph.node]
    assert "Add" not in nodes
    assert found["after"]["macs"] < 0.2 * found["before"]["macs"]
    assert found["latency"]["verdict"] == "faster"


def test_a_target_of_size_is_met_by_the_file_of_the_target_engine(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _prune(capsys, "--target-size", "40%")
    target = found["target"]
    assert target["verdict"] == "met"
    assert found["size"]["ratio"] <= 0.4
    assert found["size"]["ratio"] == pytest.approx(target["measured"], abs=0.02)
    shapes = {name: array.shape for name, array in _weights(folder / "small.onnx").items()}
    assert {name: shapes[name][0] for name in found["widths"]} == {
        name: width["after"] for name, width in found["widths"].items()
    }


@pytest.mark.usefixtures("folder")
def test_a_target_of_latency_is_measured_and_the_layers_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    # A busy machine may miss the target by a little: what is told has to agree with itself all the same.
    found = _prune(capsys, "--target-latency", "60%", "--multiple-of", "4", codes=(0, 1))
    target, latency = found["target"], found["latency"]
    assert {width["after"] % 4 for width in found["widths"].values()} == {0}
    assert target["measured"] < 0.9
    assert target["measured"] in [trial["measured"] for trial in target["trials"]] or target["taken_back"]
    assert len(found["layers"]) == 4
    narrower = found["layers"][1]
    assert narrower["outputs"]["after"] == found["widths"]["w2"]["after"]
    assert (target["verdict"] == "met") == (latency["ratio"] <= 0.6)
    assert latency["ratio"] < 1


@pytest.mark.litert
@pytest.mark.usefixtures("folder")
def test_latency_and_size_are_those_of_the_target_engine(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ai_edge_litert")
    found = _prune(capsys, "--share", "50%", "--engine-format", "tflite", "--precision", "int8")
    assert found["measurement"]["engine"] == "litert"
    assert (found["latency"]["format"], found["latency"]["precision"]) == ("tflite", "int8")
    assert found["size"]["before"] < 0.5 * found["before"]["size_bytes"]
    assert found["size"]["after"] < found["size"]["before"]


@pytest.mark.parametrize(
    ("data", "metric", "labelled"),
    [
        ("classes.npz", None, True),
        ("classes.npz", "agreement", True),
        ("plain.npz", None, False),
        ("targets.npz", None, False),
    ],
)
def test_gradients_use_the_classes_of_the_calibration_samples_where_there_are_some(
    folder: Path, data: str, metric: str | None, labelled: bool
) -> None:
    work = WorkFolder(folder / "work")
    spec = PruneSpec(source=folder / "net.onnx", data=DataSpec(data=data), metric=metric, importance="taylor")
    graph = make_float_graph(spec.source, work, input_shapes={})
    evidence = Evidence(CompressSpec(source=spec.source, data=spec.data, metric=metric), graph, work)
    batches = tuple(evidence.calibration_batches(spec.samples))
    job = PruneJob(graph=graph, evidence=evidence, spec=spec, work=work, batches=batches)
    labels = class_labels(job)
    assert (labels is not None) == labelled
    if labels is not None:
        assert labels.tolist() == np.concatenate([_class_of(batch["x"]) for batch in batches]).tolist()


@pytest.mark.torch
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("data", "loss"), [("classes.npz", "labels"), ("plain.npz", "own")])
def test_the_document_says_what_gradients_were_taken_of(
    data: str, loss: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    found = _prune(capsys, "--importance", "taylor", "--share", "20%", "--data", data)
    assert found["importance_loss"] == loss


@pytest.mark.parametrize(("method", "message"), [("depth", "no block"), ("low-rank", "product"), ("sparse", "values")])
def test_a_model_that_has_nothing_of_the_kind_is_told(folder: Path, method: Any, message: str) -> None:
    from edgeai.pruning import prune

    proto = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 20]> g (float[N,8] x) => (float[N,4] y) { y = MatMul(x, w) }'
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(8, 4, dtype=np.float32), "w"))
    onnx.save(proto, folder / "dense.onnx")
    np.savez(folder / "rows.npz", x=np.random.default_rng(1).normal(size=(64, 8)).astype(np.float32))
    with pytest.raises(ModelError, match=message):
        prune("dense.onnx", "rows.npz", method=method, work="work", out="none.onnx")
    assert not (folder / "none.onnx").exists()

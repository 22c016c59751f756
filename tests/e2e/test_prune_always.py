"""`edgeai compress --prune always` on a network that scikit-learn's digits taught: typed, packed, run and counted."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import edgeai_runtime
from edgeai.cli import main
from edgeai_converters.search import narrowing
from edgeai_runtime.bundle import open_bundle

pytestmark = [pytest.mark.torch, pytest.mark.litert, pytest.mark.onnxruntime]

SEEN = 800
MAX_DROP = 0.05
WIDTHS = {"w1": 32, "w2": 64}
GRAPH = """<ir_version: 9, opset_import: ["" : 20]> digits (float[N,1,8,8] x) => (float[N,10] scores) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) ar = Relu(a)
    c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (ar, w2, b2) cr = Relu(c)
    f = Flatten(cr) scores = Gemm <transB = 1> (f, w3, b3) }"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`digits.onnx`, trained on the images of `train.npz`, and those of `eval.npz` that it has not seen."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("ai_edge_litert")
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    made = tmp_path_factory.mktemp("digits")
    x, y = (digits.images / 16).astype(np.float32)[:, None], digits.target.astype(np.int64)
    np.savez(made / "train.npz", x=x[:SEEN], y=y[:SEEN])
    np.savez(made / "eval.npz", x=x[SEEN:], y=y[SEEN:])
    torch.manual_seed(0)
    layers = [
        torch.nn.Conv2d(1, WIDTHS["w1"], 3, padding=1),
        torch.nn.Conv2d(WIDTHS["w1"], WIDTHS["w2"], 3, stride=2, padding=1),
        torch.nn.Linear(16 * WIDTHS["w2"], 10),
    ]
    relu, flatten = torch.nn.ReLU(), torch.nn.Flatten()
    net = torch.nn.Sequential(layers[0], relu, layers[1], relu, flatten, layers[2])
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(8):
        for part in torch.randperm(SEEN).split(50):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(torch.from_numpy(x)[part]), torch.from_numpy(y)[part]).backward()
            optimizer.step()
    proto = onnx.parser.parse_model(GRAPH)
    for number, layer in enumerate(layers, start=1):
        for name, value in ((f"w{number}", layer.weight), (f"b{number}", layer.bias)):
            proto.graph.initializer.append(onnx.numpy_helper.from_array(value.detach().numpy(), name))
    onnx.save(proto, made / "digits.onnx")
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    """What the command printed; with little time for measurements, and one network that is trained."""
    typed = (
        f"compress {folder}/digits.onnx --data {folder}/eval.npz --train-data {folder}/train.npz --format tflite "
        f"--precision int8 --repair none --max-drop {MAX_DROP} --prune always --epochs 3 --learning-rate 0.02 "
        f"--augment none --models {folder}/models --work {folder}/work -o {folder}/digits.edge --json"
    )
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.setattr(narrowing, "TABLE_S", 1.0)
        patch.setattr(narrowing, "MOST_TRIES", 1)
        patch.setattr(narrowing, "MOST_CORRECTIONS", 1)
        assert main(typed.split()) == 0
    document: dict[str, Any] = json.loads(printed.getvalue())
    return document


def _int8(found: dict[str, Any], *, narrower: bool) -> list[dict[str, Any]]:
    """Return the int8 candidates that were certified, of the whole network or of narrower ones."""
    int8 = [one for one in found["candidates"] if one["precision"] == "int8" and one["status"] == "accepted"]
    return [one for one in int8 if bool(one["network"]) == narrower]


def test_narrower_networks_are_tried_though_no_limit_asks_for_them(found: dict[str, Any]) -> None:
    assert _int8(found, narrower=False)
    names = {one["network"] for one in found["candidates"] if one["network"]}
    assert names
    assert all(name.startswith("latency") and name.endswith("-distilled") for name in names)


def test_the_narrower_network_is_smaller_and_within_the_budget(found: dict[str, Any]) -> None:
    plain, narrower = _int8(found, narrower=False)[0], _int8(found, narrower=True)
    assert narrower
    assert all(one["size_bytes"] < 0.8 * plain["size_bytes"] for one in narrower)
    assert all(one["drop"] <= MAX_DROP and one["split"] == "certification" for one in narrower)
    assert all(one["source_score"] == plain["source_score"] > 0.9 for one in narrower)
    assert found["best"]["network"] is not None
    assert found["within_budget"]


def test_the_bundle_runs_and_is_as_good_as_it_says(found: dict[str, Any], folder: Path) -> None:
    best, seen = found["best"], np.load(folder / "eval.npz")
    assert open_bundle(folder / "digits.edge").manifest.variants[0].id == best["id"]
    with edgeai_runtime.load(folder / "digits.edge") as model:
        answers = np.concatenate([np.asarray(model(image[None])) for image in seen["x"]])
    right = float((answers.argmax(axis=1) == seen["y"]).mean())
    # The claim is of the certification split; with the rest of the images it may be off by their chance.
    assert right == pytest.approx(best["score"], abs=0.03)


def test_the_networks_that_were_trained_are_written_without_what_was_cut(found: dict[str, Any], folder: Path) -> None:
    names = {one["network"] for one in found["candidates"] if one["network"]}
    written = [onnx.load(path) for path in (folder / "models").glob("*.onnx")]
    assert len(written) == len(names)
    for proto in written:
        shapes = [list(one.dims) for one in proto.graph.initializer]
        assert all(WIDTHS["w2"] not in shape for shape in shapes if len(shape) == 4)
    assert len(list((folder / "models").glob("*.pt2"))) == len(names)

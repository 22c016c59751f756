"""A search for a device that gains by packed weights tries them, and takes them only when its compiler says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edgeai_converters.pipeline import Compression, compress
from edgeai_converters.prune.ethos_flash import has_vela
from edgeai_converters.recipe import Recipe
from edgeai_converters.search.candidate import Candidate
from edgeai_converters.spec import Budget, CompressSpec, DataSpec
from edgeai_converters.workfolder import WorkFolder
from edgeai_devices.catalog import find_profile
from edgeai_devices.compilers import vela

pytestmark = [pytest.mark.litert, pytest.mark.onnxruntime]

TEXT = """<ir_version: 9, opset_import: ["" : 20]> g (float[N,1,8,8] x) => (float[N,10] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w1) ar = Relu(a)
    c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (ar, w2) cr = Relu(c)
    f = Flatten(cr) y = Gemm <transB = 1> (f, w3, b3) }"""
SIZES = {"w1": (16, 1, 3, 3), "w2": (32, 16, 3, 3)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for scikit-learn's digits, its last layer fitted by least squares; images it has not seen."""
    pytest.importorskip("ai_edge_litert")
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    folder = tmp_path_factory.mktemp("digits")
    x = (digits.images / 16).astype(np.float32)[:, None]
    random = np.random.default_rng(0)
    weights = {name: random.normal(size=size) / np.sqrt(np.prod(size[1:])) for name, size in SIZES.items()}
    features = _features(weights, x[:900])
    wanted = np.eye(10)[digits.target[:900]] - 0.1
    products = features.T @ features + 1e-2 * len(features) * np.eye(features.shape[1])
    weights["w3"] = np.linalg.solve(products, features.T @ wanted).T
    weights["b3"] = np.full(10, 0.1)
    proto = onnx.parser.parse_model(TEXT)
    for name, array in weights.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    onnx.save(proto, folder / "net.onnx")
    np.savez(folder / "images.npz", x=x[900:], y=digits.target[900:].astype(np.int64))
    return folder


def _features(weights: dict[str, NDArray[Any]], x: NDArray[Any]) -> NDArray[np.float64]:
    import onnxruntime

    proto = onnx.parser.parse_model(TEXT)
    del proto.graph.node[-1]
    proto.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("f", onnx.TensorProto.FLOAT, ["N", 512]))
    for name in SIZES:
        proto.graph.initializer.append(onnx.numpy_helper.from_array(weights[name].astype(np.float32), name))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0], np.float64)


def _compress(files: Path, work: Path, device: str, *recipes: Recipe, **options: Any) -> Compression:
    spec = CompressSpec(
        source=files / "net.onnx",
        data=DataSpec(data=str(files / "images.npz")),
        precisions=("float32", "int8"),
        range_methods=("minmax",),
        repairs=(),
        budget=Budget(max_drop=0.03, judge_times=False),
        device=find_profile(device),
        recipes=recipes,
        **options,
    )
    return compress(spec, WorkFolder(work))


def _with(found: Compression, word: str) -> list[Candidate]:
    return [one for one in found.candidates if word in one.id]


@pytest.mark.skipif(not has_vela(), reason="Vela is not installed: pip install ethos-u-vela")
def test_clusters_that_need_less_flash_are_chosen(files: Path, tmp_path: Path) -> None:
    found = _compress(files, tmp_path, "ethos-u55-128", formats=("tflite",))
    plain = next(one for one in found.candidates if one.id == "tflite-int8-minmax")
    packed = [one for one in found.candidates if one.status == "accepted" and one.flash_bytes and one is not plain]
    assert packed
    assert plain.flash_bytes is not None
    assert all(one.flash_bytes is not None and one.flash_bytes < 0.9 * plain.flash_bytes for one in packed)
    assert found.best in packed
    assert found.best.certificate is not None
    assert (found.best.certificate.split, found.best.certificate.verdict != "violated") == ("certification", True)


def test_without_the_compiler_they_are_told_and_not_taken(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vela.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = _compress(files, tmp_path, "ethos-u55-128", formats=("tflite",))
    judged = [one for one in _with(found, "clusters") if one.limit == "no_gain"]
    assert len(judged) == 1
    assert "Vela" in judged[0].reason
    assert judged[0].certificate is not None
    assert judged[0].certificate.split == "search"
    assert found.best is not None
    assert found.best.id == "tflite-int8-minmax"
    replayed = _compress(files, tmp_path, "ethos-u55-128", judged[0].recipe, formats=("tflite",))
    assert replayed.best is not None
    assert replayed.best.id == judged[0].id


def test_zeros_for_tensor_cores_are_in_the_file_and_their_gain_is_not_claimed(files: Path, tmp_path: Path) -> None:
    found = _compress(files, tmp_path, "jetson-orin-nano", formats=("onnx",))
    (sparse,) = _with(found, "zeros2of4")
    assert sparse.limit in ("no_gain", "lost_more")
    assert sparse.artifact is not None
    stored = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(sparse.artifact.path).graph.initializer}
    weight = next(array for array in stored.values() if array.shape == SIZES["w2"] and array.dtype == np.int8)
    assert ((weight.reshape(32, -1, 4) == 0).sum(axis=2) >= 2).all()

"""Compiled artifacts of real engines: `warm` keeps them, later loads take them, and the numbers stay the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.__main__ import main
from edgeai_runtime.bundle import file_entry, open_bundle, write_bundle
from edgeai_runtime.cache import compiled_folder
from edgeai_runtime.engines.openvino import OpenVINOEngine
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Manifest, Variant

onnx = pytest.importorskip("onnx")
ENGINES = [
    pytest.param("onnxruntime", marks=pytest.mark.onnxruntime),
    pytest.param("openvino", marks=pytest.mark.openvino),
]


def write_onnx(path: Path, *, width: int, batch: int | str) -> Path:
    """Write `y = relu(norm(x · W))`, so that there is something to optimize."""
    draw = np.random.default_rng(0)
    vectors = {name: np.full(width, value, np.float32) for name, value in (("s", 2), ("b", 1), ("m", 0.5), ("v", 1))}
    constants = {"w": draw.normal(size=(width, width)).astype(np.float32), **vectors}
    x = onnx.helper.make_tensor_value_info("x", 1, [batch, width])
    y = onnx.helper.make_tensor_value_info("y", 1, [batch, width])
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w"], ["p"], "product"),
        onnx.helper.make_node("BatchNormalization", ["p", "s", "b", "m", "v"], ["n"], "norm"),
        onnx.helper.make_node("Relu", ["n"], ["y"], "relu"),
    ]
    initializers = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = onnx.helper.make_graph(nodes, "net", [x], [y], initializers)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def make_bundle(engine: str, folder: Path, *, width: int = 600, batch: int | str = 1) -> Path:
    """Write a bundle with one variant."""
    artifact = write_onnx(folder / "net.onnx", width=width, batch=batch)
    files = [artifact]
    if engine == "openvino":
        openvino = pytest.importorskip("openvino")
        openvino.save_model(openvino.convert_model(str(artifact)), folder / "net.xml", compress_to_fp16=False)
        files = [folder / "net.xml", folder / "net.bin"]
    members: dict[str, Path | bytes] = {f"variants/net/{path.name}": path for path in files}
    with load(files[0], threads=1, isolate=False) as model:
        inputs, outputs = model.inputs, model.outputs
    variant = Variant(
        id="net",
        format=get_engine(engine).format,
        precision="float32",
        delegates=(f"{engine}:cpu",),
        files=tuple(file_entry(name, path) for name, path in members.items()),
        inputs=inputs,
        outputs=outputs,
    )
    path = folder / "net.edge"
    write_bundle(path, Manifest(name="n", version="1", inputs=inputs, outputs=outputs, variants=(variant,)), members)
    return path


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The name of an installed engine that compiles."""
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))
    info = get_engine(request.param).info()
    if not info.present:
        pytest.skip(info.reason)
    return str(request.param)


def entries(bundle: Path) -> list[Path]:
    """Return the files kept for a bundle."""
    return sorted(compiled_folder(open_bundle(bundle).digest).glob("*.bin"))


def drawn(batch: int, width: int = 600) -> Any:
    """Return drawn samples."""
    return np.random.default_rng(batch).normal(size=(batch, width)).astype(np.float32)


@pytest.mark.parametrize("batch", [1, "n"])
def test_a_warmed_bundle_gives_the_same_numbers_and_placement(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], batch: int | str
) -> None:
    bundle = make_bundle(engine, tmp_path, batch=batch)
    with load(bundle, threads=1) as model:
        assert not entries(bundle), "nobody asked for it"
        wanted = [model(drawn(size)) for size in (1, 3)]
        placement, boundary = model.placement, (model.inputs, model.outputs)

    assert main(["warm", str(bundle), "--threads", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]
    (entry,) = entries(bundle)
    made = entry.stat().st_ino

    with load(bundle, threads=1) as model:
        session: Any = model._session
        assert session._compiled is not None if engine == "onnxruntime" else "source" not in vars(session._models)
        for result, size in zip(wanted, (1, 3), strict=True):
            np.testing.assert_allclose(model(drawn(size)), result, rtol=1e-5, atol=1e-5)
        assert (model.inputs, model.outputs) == boundary
        assert [(o.name, o.op_type, o.device) for o in model.placement.operations] == [
            (o.name, o.op_type, o.device) for o in placement.operations
        ]
        model.open_queue(workers=2)
        np.testing.assert_allclose(model.submit(drawn(1)).result(30), wanted[0], rtol=1e-5, atol=1e-5)
    assert entry.stat().st_ino == made, "it was not written again"


def test_other_threads_make_another_entry(engine: str, tmp_path: Path) -> None:
    bundle = make_bundle(engine, tmp_path)
    assert main(["warm", str(bundle), "--threads", "1"]) == 0
    load(bundle, threads=2).close()
    assert len(entries(bundle)) == 2


@pytest.mark.onnxruntime
def test_a_tiny_graph_is_not_kept_for_onnx_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))
    pytest.importorskip("onnxruntime")
    bundle = make_bundle("onnxruntime", tmp_path, width=4)
    assert main(["warm", str(bundle), "--threads", "1"]) == 0
    assert not entries(bundle)


@pytest.mark.openvino
def test_openvino_does_not_read_the_artifact_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))
    pytest.importorskip("openvino")
    bundle = make_bundle("openvino", tmp_path)
    assert main(["warm", str(bundle), "--threads", "1"]) == 0
    monkeypatch.setattr(OpenVINOEngine, "open", None)
    with load(bundle, threads=1) as model:
        assert model(drawn(1)).shape == (1, 600)

"""Each engine runs an encrypted variant from memory and gives what it gives for the plain file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgeai.encrypting import encrypt_bundle
from edgeai_converters.emit.table import emit
from edgeai_runtime.bundle import file_entry, write_bundle
from edgeai_runtime.cache import compiled_folder
from edgeai_runtime.compiled_cache import enable
from edgeai_runtime.engines.table import engine_for
from edgeai_runtime.errors import UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Format, Manifest, Variant
from edgeai_runtime.placement import Placement

onnx = pytest.importorskip("onnx")
pytest.importorskip("cryptography")

KEY = bytes(range(32))
WIDTH = 600
"""So that the weights are more than one chunk of a megabyte, and the compiled cache would take the model."""

FORMATS = [
    pytest.param("tflite", "litert:xnnpack", marks=pytest.mark.litert),
    pytest.param("onnx", "onnxruntime:cpu", marks=pytest.mark.onnxruntime),
    pytest.param("openvino", "openvino:cpu", marks=pytest.mark.openvino),
]


@pytest.fixture(autouse=True)
def _own_places(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("temporary")))


def make_bundle(format: Format, delegate: str, folder: Path) -> tuple[Path, bytes]:
    """Write a bundle of `y = relu(x · W)`; return its path and bytes that stand in its weights."""
    import onnx_ir

    weights = np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype(np.float32)
    x, y = (onnx.helper.make_tensor_value_info(name, 1, [1, WIDTH]) for name in "xy")
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["p"], "m"), onnx.helper.make_node("Relu", ["p"], ["y"], "r")]
    graph = onnx.helper.make_graph(nodes, "net", [x], [y], [onnx.numpy_helper.from_array(weights, "w")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    artifact = emit(onnx_ir.serde.deserialize_model(model), format, folder)
    with load(artifact.files[0], threads=1, isolate=False) as plain:
        inputs, outputs = plain.inputs, plain.outputs
    members: dict[str, Path | bytes] = {f"variants/net/{file.name}": file for file in artifact.files}
    variant = Variant(
        id="net",
        format=format,
        precision="float32",
        delegates=(delegate,),
        files=tuple(file_entry(name, content) for name, content in members.items()),
        inputs=inputs,
        outputs=outputs,
    )
    manifest = Manifest(name="net", version="1", inputs=inputs, outputs=outputs, variants=(variant,))
    write_bundle(folder / "net.edge", manifest, members)
    content = max((file.read_bytes() for file in artifact.files), key=len)
    return folder / "net.edge", content[len(content) // 2 :][:64]


@pytest.mark.parametrize(("format", "delegate"), FORMATS)
def test_an_encrypted_variant_runs_from_memory(
    format: Format, delegate: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if not engine_for(format).info().present:
        pytest.skip(f"no engine for {format}")
    plain, mark = make_bundle(format, delegate, tmp_path)
    folder = tmp_path_factory.mktemp("device")
    sealed = encrypt_bundle(plain, key=KEY, output=folder / "net.edge").bundle
    x = np.random.default_rng(1).normal(size=(1, WIDTH)).astype(np.float32)
    places = [folder, Path(os.environ["TMPDIR"]), Path(os.environ["EDGEAI_CACHE"])]

    with load(sealed, key=KEY, threads=1) as model:
        enable(model._loaded[1])
    with load(sealed, key=KEY, threads=1, selfcheck="always") as model, load(plain, threads=1) as other:
        result = model(x)
        np.testing.assert_array_equal(result, other(x))
        assert other._loaded[0] is not None
        plain_root = other._loaded[0].parent.parent.parent
        files = [file for place in places for file in place.rglob("*") if file.is_file()]
        inside = [file for file in files if plain_root not in file.parents and mark in file.read_bytes()]
        assert inside == []
        assert mark in b"".join(file.read_bytes() for file in plain_root.rglob("*") if file.is_file())
        assert not any(compiled_folder(model._loaded[1]).iterdir()), "nothing compiled is kept of it"


@pytest.mark.parametrize(
    ("format", "delegate", "option"),
    [
        pytest.param("onnx", "onnxruntime:cpu", "session.optimized_model_filepath", marks=pytest.mark.onnxruntime),
        pytest.param("openvino", "openvino:cpu", "CACHE_DIR", marks=pytest.mark.openvino),
    ],
)
def test_no_engine_is_asked_to_write_what_it_makes_of_it(
    format: Format, delegate: str, option: str, tmp_path: Path
) -> None:
    if not engine_for(format).info().present:
        pytest.skip(f"no engine for {format}")
    plain, _ = make_bundle(format, delegate, tmp_path)
    sealed = encrypt_bundle(plain, key=KEY, output=tmp_path / "sealed.edge").bundle
    placement = Placement(options={delegate: {option: str(tmp_path / "written")}})
    load(plain, placement=placement).close()
    assert (tmp_path / "written").exists(), "what the option does to a plain one"
    (tmp_path / "written").rename(tmp_path / "of the plain one")
    with pytest.raises(UsageError, match=option):
        load(sealed, key=KEY, placement=placement)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(("format", "delegate"), FORMATS)
def test_several_threads_run_it_too(format: Format, delegate: str, tmp_path: Path) -> None:
    if not engine_for(format).info().present:
        pytest.skip(f"no engine for {format}")
    plain, _ = make_bundle(format, delegate, tmp_path)
    sealed = encrypt_bundle(plain, key=KEY, output=tmp_path / "sealed.edge").bundle
    plain.unlink()
    x = np.ones((1, WIDTH), np.float32)
    with load(sealed, key=KEY, threads=2) as model:
        expected = model(x)
        model.open_queue(workers=2)
        results = [future.result() for future in [model.submit(x) for _ in range(4)]]
    for result in results:
        np.testing.assert_allclose(result, expected, rtol=1e-5)

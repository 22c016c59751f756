"""ONNX files as sources: ONNX Runtime answers in a child process, bad files are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.external_data_helper
import pytest

from edgeai_converters.graph.boundary import input_specs
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.sources.table import import_source
from edgeai_runtime.errors import DataError, ModelError, ParityError

pytestmark = pytest.mark.onnxruntime


def _model(opset: int = 18, body: str = "y = Conv<kernel_shape = [3, 3]>(x, w) z = Relu(y)") -> onnx.ModelProto:
    text = f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[N,2,H,6] x) => (float[N,4,P,Q] z) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    weights = np.random.default_rng(0).normal(size=(4, 2, 3, 3)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    return proto


def _write(path: Path, proto: onnx.ModelProto) -> Path:
    path.write_bytes(proto.SerializeToString())
    return path


def test_a_file_comes_to_the_graph_with_the_engines_own_answers(tmp_path: Path) -> None:
    imported = import_source(_write(tmp_path / "m.onnx", _model()), input_shapes={"x": (-1, 2, 5, 6)})
    assert (imported.kind, imported.route) == ("onnx", ("onnx",))
    assert input_specs(imported.model)[0].shape == (None, 2, 5, 6)
    assert input_specs(imported.model)[0].layout == "NCHW"
    assert imported.probe_outputs["z"].shape == (8, 4, 3, 4)
    assert np.array_equal(GraphRunner(imported.model).run(imported.probe_inputs)["z"], imported.probe_outputs["z"])


def test_samples_are_the_first_probe_inputs(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).normal(size=(3, 2, 7, 6)).astype(np.float32)
    imported = import_source(_write(tmp_path / "m.onnx", _model()), samples={"x": samples})
    assert np.array_equal(imported.probe_inputs["x"][:3], samples)


def test_an_old_opset_is_raised(tmp_path: Path) -> None:
    imported = import_source(_write(tmp_path / "m.onnx", _model(opset=9)))
    assert imported.model.graph.opset_imports[""] >= 18


def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(_model(), path, save_as_external_data=True, location="m.data", size_threshold=0)
    assert import_source(path).probe_outputs["z"].shape[1] == 4


def test_missing_weights_beside_the_file_are_told(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(_model(), path, save_as_external_data=True, location="m.data", size_threshold=0)
    (tmp_path / "m.data").unlink()
    with pytest.raises(ModelError, match="keeps weights in another file"):
        import_source(path)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("z = Konv(x, w)", "no valid ONNX model.*Konv"),
        ("z = my.domain.Conv(x, w)", "domain 'my.domain'"),
        ("y = Conv<kernel_shape = [3, 3]>(x, w) z = MatMul(y, w)", "does not run in ONNX Runtime|no valid ONNX"),
    ],
)
def test_a_model_that_does_not_run_says_why(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        import_source(_write(tmp_path / "m.onnx", _model(body=body)), input_shapes={"x": (1, 2, 5, 6)})


def test_samples_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'x' takes float32"):
        import_source(_write(tmp_path / "m.onnx", _model()), samples={"x": np.zeros((2, 3, 5, 6), np.float32)})


def test_a_graph_that_answers_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import edgeai_converters.sources.onnx as adapter

    def falsify(proto: onnx.ModelProto, *, what: str):  # type: ignore[no-untyped-def]
        array = onnx.numpy_helper.to_array(proto.graph.initializer[0]) * np.float32(1.01)
        proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(array, "w"))
        return prepare(proto, what=what)

    prepare = adapter.prepare_graph
    monkeypatch.setattr(adapter, "prepare_graph", falsify)
    with pytest.raises(ParityError, match="onnx source → graph"):
        import_source(_write(tmp_path / "m.onnx", _model()))

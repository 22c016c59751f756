"""Keras files and live models as sources: the graph answers as Keras does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_converters.graph.boundary import input_specs, output_specs
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.sources.table import import_source
from edgeai_runtime.errors import ModelError

pytestmark = [pytest.mark.keras, pytest.mark.slow]


@pytest.fixture(scope="module")
def model() -> Any:
    pytest.importorskip("tf2onnx")
    keras = pytest.importorskip("keras")
    x = keras.Input((8, 8, 3), name="image")
    y = keras.layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3])(x)  # holds tensors, not variables
    y = keras.layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(y)
    y = keras.layers.BatchNormalization()(y)
    y = keras.layers.Activation("gelu")(y)
    y = keras.layers.GlobalAveragePooling2D()(y)
    a = keras.layers.Dense(5, activation="softmax", name="classes")(y)
    b = keras.layers.Dense(1, name="score")(y)
    model = keras.Model(x, [a, b])
    random = np.random.default_rng(0)
    model.set_weights([np.abs(random.normal(size=w.shape)) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore")
def test_a_file_comes_to_the_graph(tmp_path: Path, model: Any, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    model.save(path)
    imported = import_source(path)
    assert imported.kind == "keras"
    assert [(spec.name, spec.shape, spec.layout) for spec in input_specs(imported.model)] == [
        ("image", (None, 8, 8, 3), "NHWC")
    ]
    assert [(spec.name, spec.shape) for spec in output_specs(imported.model)] == [
        ("classes", (None, 5)),
        ("score", (None, 1)),
    ]
    kinds = [node.op_type for node in simplify(imported.model)[0].graph]
    assert "BatchNormalization" not in kinds
    assert kinds.count("Transpose") == 1


@pytest.mark.filterwarnings("ignore")
def test_a_live_model_answers_for_itself(model: Any) -> None:
    samples = np.random.default_rng(1).random((3, 8, 8, 3)).astype(np.float32)
    imported = import_source(model, samples={"image": samples})
    expected = model(samples, training=False)
    np.testing.assert_allclose(imported.probe_outputs["score"][:3], np.asarray(expected[1]), rtol=1e-5)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx")
    path = tmp_path / "m.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(2000))
    with pytest.raises(ModelError, match=r"can not read .*m\.h5"):
        import_source(path)


@pytest.mark.filterwarnings("ignore")
def test_two_inputs_and_two_outputs_keep_their_names_and_order() -> None:
    pytest.importorskip("tf2onnx")
    keras = pytest.importorskip("keras")
    z, a = keras.Input((3,), name="zebra"), keras.Input((3,), name="ant")
    first = keras.layers.Subtract(name="minus")([z, a])
    second = keras.layers.Multiply(name="times")([z, a])
    imported = import_source(keras.Model([z, a], {"q": second, "p": first}))
    x = imported.probe_inputs
    by_value = imported.probe_outputs
    np.testing.assert_allclose(by_value["minus"], x["zebra"] - x["ant"], rtol=1e-5)
    np.testing.assert_allclose(by_value["times"], x["zebra"] * x["ant"], rtol=1e-5)

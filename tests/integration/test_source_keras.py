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
    with pytest.raises(ModelError, match=r"cannot read .*m\.h5"):
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


@pytest.mark.parametrize("way", ["tf2onnx", "tflite"])
@pytest.mark.filterwarnings("ignore")
def test_attention_over_a_past_answers_by_both_ways(way: str) -> None:
    pytest.importorskip("tf2onnx")
    keras = pytest.importorskip("keras")
    layers = keras.layers
    x, past = keras.Input((1, 8), name="token"), keras.Input((5, 8), name="past")
    grown = layers.Concatenate(axis=1, name="grown")([past, x])
    y = layers.MultiHeadAttention(2, 4, name="attention")(x, grown)
    y = layers.Dense(8, activation="gelu", name="answer")(layers.LayerNormalization()(x + y))
    model = keras.Model([x, past], [y, grown])
    imported = import_source(model, way=way)
    assert [spec.name for spec in input_specs(imported.model)] == ["token", "past"]
    assert [(spec.name, spec.shape) for spec in output_specs(imported.model)] == [
        ("answer", (None, 1, 8)),
        ("grown", (None, 6, 8)),
    ]


@pytest.mark.filterwarnings("ignore")
def test_settings_of_keras_2_that_change_nothing_are_left_out(tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx")
    keras = pytest.importorskip("keras")
    h5py = pytest.importorskip("h5py")
    x = keras.Input((5, 3), name="x")
    state = keras.layers.Bidirectional(keras.layers.LSTM(4))(x)
    keras.Model(x, keras.layers.Dense(2, name="y")(state)).save(tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        text = file.attrs["model_config"]
        assert text.count('"return_sequences": false') >= 1
        file.attrs["model_config"] = text.replace('"return_sequences"', '"time_major": false, "return_sequences"')
    before = (tmp_path / "old.h5").read_bytes()
    imported = import_source(tmp_path / "old.h5")
    assert any("time_major" in note for note in imported.notes)
    assert (tmp_path / "old.h5").read_bytes() == before


@pytest.mark.filterwarnings("ignore")
def test_attention_in_a_file_of_keras_2_answers_as_there(tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx")
    old = pytest.importorskip("tf_keras")
    x, past = old.Input((3, 8), name="x"), old.Input((5, 8), name="past")
    y = old.layers.MultiHeadAttention(2, 4)(old.layers.LayerNormalization()(x), value=past)
    model = old.Model([x, past], old.layers.Dense(4, activation="gelu", name="y")(old.layers.Add()([x, y])))
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
    model.save(tmp_path / "old.h5", save_format="h5")
    samples = {name: random.normal(size=(4, n, 8)).astype(np.float32) for name, n in (("x", 3), ("past", 5))}
    imported = import_source(tmp_path / "old.h5", samples=samples)
    answers = np.asarray(model([samples["x"], samples["past"]]))
    assert np.abs(answers - imported.probe_outputs["y"][:4]).max() < 1e-5 * np.abs(answers).max()
    assert any("query_shape" in note for note in imported.notes)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layer", ["LSTM", "GRU", "Bidirectional"])
def test_states_given_to_a_recurrent_layer_of_keras_2_answer_as_there(layer: str, tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx")
    old = pytest.importorskip("tf_keras")
    x = old.Input((3, 5), name="x")
    states = [old.Input((4,), name=f"state{n}") for n in range({"LSTM": 2, "GRU": 1, "Bidirectional": 4}[layer])]
    made = old.layers.Bidirectional(old.layers.LSTM(4)) if layer == "Bidirectional" else getattr(old.layers, layer)(4)
    model = old.Model([x, *states], old.layers.Dense(2, name="y")(made(x, initial_state=states)))
    model.save(tmp_path / "old.h5", save_format="h5")
    random = np.random.default_rng(0)
    samples = {one.name: random.normal(size=(4, *one.shape[1:])).astype(np.float32) for one in model.inputs}
    imported = import_source(tmp_path / "old.h5", samples=samples)
    answers = np.asarray(model(list(samples.values())))
    assert np.abs(answers - imported.probe_outputs["y"][:4]).max() < 1e-5 * np.abs(answers).max()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("padding", "sizes"), [("same", (None,)), ("causal", (None,)), ("valid", (None, 9))])
def test_dilated_convolutions_of_free_length_stay_such(padding: str, sizes: tuple[int | None, ...]) -> None:
    pytest.importorskip("tf2onnx")
    layers = pytest.importorskip("keras").layers
    convolution = layers.Conv1D if len(sizes) == 1 else layers.Conv2D
    x = layers.Input((*sizes, 3), name="x")
    y = convolution(4, 3, dilation_rate=2, padding=padding, activation="relu", name="y")(x)
    imported = import_source(pytest.importorskip("keras").Model(x, y), way="tf2onnx", input_shapes={})
    (found,) = (node for node in imported.model.graph if node.op_type == "Conv")
    assert tuple(found.attributes["dilations"].as_ints())[-1] == 2
    assert {node.domain for node in imported.model.graph} == {""}
    assert not any(node.op_type in ("SpaceToDepth", "DepthToSpace") for node in imported.model.graph)


@pytest.mark.filterwarnings("ignore")
def test_a_custom_layer_is_named(tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx")
    keras = pytest.importorskip("keras")

    class Doubler(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return x * 2

    x = keras.Input((3,), name="x")
    keras.Model(x, Doubler()(x)).save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match="custom layer or function 'Doubler'") as caught:
        import_source(tmp_path / "m.keras")
    assert "live object" in caught.value.hint

"""The LSTM kernel of LiteRT: written for long layers, and read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx.helper as oh
import onnx_ir as ir
import pytest
from onnx import TensorProto, numpy_helper

from edgeai_converters.emit.tflite import lowering
from edgeai_converters.emit.tflite.flatbuffer import read_model
from edgeai_converters.emit.tflite.reader import read_graph
from edgeai_converters.emit.tflite.writer import emit_tflite
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.quantize.store_float16 import store_float16
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_converters.sources.table import import_source
from edgeai_runtime.loading import load

pytest.importorskip("ai_edge_litert")
pytestmark = [pytest.mark.litert, pytest.mark.onnxruntime]

TOLERANCE = 5e-6  # of numbers below 1
STEPS, FEATURES, HIDDEN, BATCH = 9, 5, 6, 2
SHAPES: dict[str, list[int]] = {"Y": [STEPS, 0, BATCH, HIDDEN], "Y_h": [0, BATCH, HIDDEN]}

Array = np.ndarray[Any, Any]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be unrolled that the kernel can do."""
    monkeypatch.setattr(lowering, "MOST_COPIED", 0)


def lstm(
    outputs: Sequence[str] = ("Y", "Y_h"),
    *,
    batch: int | str = BATCH,
    batch_first: bool = False,
    hidden: int = HIDDEN,
    **attributes: Any,
) -> ir.Model:
    rng = np.random.default_rng(5)
    count = 2 if attributes.get("direction") == "bidirectional" else 1
    constants: dict[str, Array] = {
        "W": rng.normal(0, 0.5, (count, 4 * hidden, FEATURES)).astype(np.float32),
        "R": rng.normal(0, 0.5, (count, 4 * hidden, hidden)).astype(np.float32),
        "B": rng.normal(0, 0.5, (count, 8 * hidden)).astype(np.float32),
    }
    results = [name if name in outputs else "" for name in ("Y", "Y_h")]
    nodes = [oh.make_node("LSTM", ["time", "W", "R", "B"], results, name="layer", hidden_size=hidden, **attributes)]
    shape: list[int | str] = [STEPS, batch, FEATURES]
    if batch_first:
        nodes.insert(0, oh.make_node("Transpose", ["x"], ["time"], perm=[1, 0, 2]))
        shape = [batch, STEPS, FEATURES]
    else:
        nodes.insert(0, oh.make_node("Identity", ["x"], ["time"]))
    ends = []
    for name in outputs:
        form = [batch if size == BATCH else hidden if size == HIDDEN else size or count for size in SHAPES[name]]
        ends.append(oh.make_tensor_value_info(name, TensorProto.FLOAT, form))
    graph = oh.make_graph(
        nodes,
        "lstm",
        [oh.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        ends,
        initializer=[numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return prepare_graph(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=10))


def held(model: ir.Model, folder: Path, *, batch: int = BATCH, tolerance: float = TOLERANCE) -> dict[str, int]:
    """Write a model, hold three calls of it in our runtime against ONNX Runtime, and return its operators."""
    artifact = emit_tflite(model, folder)
    names = [str(value.name) for value in model.graph.outputs]
    shape = [size if isinstance(size, int) else batch for size in model.graph.inputs[0].shape or ()]
    with load(artifact.path, threads=1) as loaded:
        for seed in range(3):  # a state that stays would show in the second call
            array = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
            wanted = GraphRunner(model).run({"x": array})
            found = loaded.run_raw([array])
            for name, one in zip(names, found, strict=True):
                np.testing.assert_allclose(one, wanted[name], atol=tolerance)
    return artifact.operators


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("outputs", [("Y", "Y_h"), ("Y",), ("Y_h",)])
def test_kernel_answers_as_onnx_runtime_at_every_call(
    outputs: tuple[str, ...], direction: str, batch_first: bool, tmp_path: Path
) -> None:
    operators = held(lstm(outputs, direction=direction, batch_first=batch_first), tmp_path)
    assert operators["UNIDIRECTIONAL_SEQUENCE_LSTM"] == (2 if direction == "bidirectional" else 1)


@pytest.mark.usefixtures("kernel")
def test_free_batch_is_run_sample_by_sample(tmp_path: Path) -> None:
    held(lstm(("Y_h",), batch="batch", batch_first=True, activations=["Sigmoid", "Tanh", "Tanh"]), tmp_path, batch=1)


@pytest.mark.usefixtures("kernel")
def test_note_says_that_the_state_stays(tmp_path: Path) -> None:
    assert any("reset the variables" in note for note in emit_tflite(lstm(), tmp_path).notes)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize(
    "attributes", [{"clip": 0.5}, {"input_forget": 1}, {"activations": ["Sigmoid", "Tanh", "Relu"]}]
)
def test_what_the_kernel_can_not_do_is_unrolled(attributes: dict[str, Any], tmp_path: Path) -> None:
    operators = held(lstm(**attributes), tmp_path, tolerance=1e-4)
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" not in operators


@pytest.mark.usefixtures("kernel")
def test_float16_weights_stay_float16_in_the_kernel(tmp_path: Path) -> None:
    model, _ = store_float16(lstm(hidden=32))
    assert held(model, tmp_path, tolerance=2e-5)["DEQUANTIZE"] == 8


@pytest.mark.usefixtures("kernel")
def test_int8_weights_stay_int8_in_the_kernel(tmp_path: Path) -> None:
    model = lstm(hidden=32)
    stored, _ = store_int8_weights(model, format="tflite")
    artifact = emit_tflite(stored, tmp_path)
    assert "DEQUANTIZE" not in artifact.operators
    array = np.random.default_rng(0).normal(size=(STEPS, BATCH, FEATURES)).astype(np.float32)
    wanted = GraphRunner(model).run({"x": array})
    with load(artifact.path, threads=1) as loaded:
        found = loaded.run_raw([array])
    for one, name in zip(found, ("Y", "Y_h"), strict=True):
        np.testing.assert_allclose(one, wanted[name], atol=0.05)


def test_short_layer_is_unrolled_and_long_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = 4 * STEPS * 4 * HIDDEN * HIDDEN
    monkeypatch.setattr(lowering, "MOST_COPIED", copied)
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" not in emit_tflite(lstm(), tmp_path).operators
    monkeypatch.setattr(lowering, "MOST_COPIED", copied - 1)
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in emit_tflite(lstm(), tmp_path).operators


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("activation", ["Tanh", "Relu"])
def test_kernel_is_read_back_as_the_layer(activation: str, batch_first: bool, tmp_path: Path) -> None:
    model = lstm(("Y",), batch_first=batch_first, activations=["Sigmoid", activation, activation])
    content = emit_tflite(model, tmp_path).path.read_bytes()
    back = simplify(prepare_graph(read_graph(read_model(content), where="file").proto))[0]
    assert [node.op_type for node in back.graph].count("LSTM") == 1
    shape = [int(size) for size in model.graph.inputs[0].shape or ()]
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    (wanted,), (found,) = (GraphRunner(one).run({"x": array}).values() for one in (model, back))
    np.testing.assert_allclose(found, wanted, atol=1e-4 if activation == "Relu" else TOLERANCE)


@pytest.mark.assets
@pytest.mark.parametrize("name", ["mnist_lstm_float", "mnist_lstm_int8"])
def test_real_file_is_read_and_keeps_its_accuracy(name: str, assets: Path, tmp_path: Path) -> None:
    imported = import_source(assets / "mnist" / f"{name}.tflite", workdir=tmp_path)
    data = np.load(assets / "mnist" / "mnist_test.npz")
    images = (data["x_eval"][:1000] / 255).astype(np.float32).reshape(-1, 28, 28)
    (name_in,) = [str(value.name) for value in imported.model.graph.inputs]
    (answers,) = GraphRunner(imported.model).run({name_in: images}).values()
    assert float((answers.argmax(1) == data["y_eval"][:1000]).mean()) > 0.97

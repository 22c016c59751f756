"""Loops and branches in files: TFLite's WHILE and IF, OpenVINO's Loop, TensorIterator and If."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_converters.emit.table import emit
from edgeai_converters.emit.tflite.flatbuffer import read_model
from edgeai_converters.emit.tflite.reader import read_graph as read_tflite
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import measure_parity
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.sources.openvino_ir.graph import read_graph as read_openvino
from edgeai_converters.sources.table import import_source
from edgeai_runtime.errors import UnsupportedOperationError
from edgeai_runtime.loading import load

pytestmark = [pytest.mark.onnxruntime]

ROUNDING = 5e-6
"""Two engines in float32 on a layer of a few steps."""
STEPS, FEATURES, UNITS = 4, 3, 5

Array = np.ndarray[Any, Any]


def keras_layers(layers: Any) -> dict[str, Any]:
    """Return layers whose biases and gates all matter."""
    wide = {"bias_initializer": "glorot_uniform", "return_sequences": True}
    return {
        "lstm": layers.LSTM(UNITS, **wide),
        "gru": layers.GRU(UNITS, **wide),
        "gru, early reset": layers.GRU(UNITS, reset_after=False, **wide),
        "simple rnn": layers.SimpleRNN(UNITS, **wide),
        "last step": layers.GRU(UNITS, bias_initializer="glorot_uniform"),
        "backwards": layers.LSTM(UNITS, go_backwards=True, **wide),
        "bidirectional": layers.Bidirectional(layers.LSTM(UNITS, **wide)),
        "other gates": layers.LSTM(UNITS, recurrent_activation="hard_sigmoid", **wide),
    }


OPERATORS = {
    "lstm": {"LSTM": 1},
    "gru": {"GRU": 1},
    "gru, early reset": {"GRU": 1},
    "simple rnn": {"RNN": 1},
    "last step": {"GRU": 1},
    "backwards": {"LSTM": 1},
    "bidirectional": {"LSTM": 2},
    "other gates": {},  # no such function is looked for: written out
}


@pytest.fixture(scope="module")
def tensorflow() -> Any:
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def written_by_tensorflow(tensorflow: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that writes one of the layers with TensorFlow's converter, batch 1."""
    folder = tmp_path_factory.mktemp("tflite")

    def write(name: str) -> Path:
        path = folder / f"{name}.tflite"
        if not path.exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                keras = tensorflow.keras
                keras.utils.set_random_seed(3)
                steps = keras.Input((STEPS, FEATURES), batch_size=1, name="steps")
                model = keras.Model(steps, keras_layers(keras.layers)[name](steps))
                path.write_bytes(tensorflow.lite.TFLiteConverter.from_keras_model(model).convert())
        return path

    return write


@pytest.mark.keras
@pytest.mark.litert
@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
def test_recurrent_layer_of_tensorflows_converter_becomes_an_operator(
    name: str, written_by_tensorflow: Callable[[str], Path], tmp_path: Path
) -> None:
    pytest.importorskip("ai_edge_litert")
    imported = import_source(written_by_tensorflow(name), workdir=tmp_path)
    graph, _ = simplify(imported.model)
    counts = Counter(node.op_type for node in graph.graph)
    assert "Loop" not in counts
    assert {kind: counts[kind] for kind in ("LSTM", "GRU", "RNN") if counts[kind]} == OPERATORS[name]
    parity = measure_parity(imported.probe_outputs, GraphRunner(graph).run(imported.probe_inputs))
    assert parity.max_rel < ROUNDING


@pytest.mark.keras
@pytest.mark.litert
@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "other gates"])
def test_recurrent_layer_of_tensorflows_converter_comes_back_as_tflite(
    name: str, written_by_tensorflow: Callable[[str], Path], tmp_path: Path
) -> None:
    pytest.importorskip("ai_edge_litert")
    imported = import_source(written_by_tensorflow(name), workdir=tmp_path)
    artifact = emit(simplify(imported.model)[0], "tflite", tmp_path)
    (given,) = imported.probe_inputs.values()
    (wanted,) = imported.probe_outputs.values()
    with load(artifact.path) as model:
        for sample, expected in zip(given, wanted, strict=True):
            (found,) = model.run_raw([sample[None]])
            np.testing.assert_allclose(found[0], expected, atol=ROUNDING)


@pytest.mark.keras
@pytest.mark.litert
@pytest.mark.slow
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_branch_of_a_tflite_file_answers_as_litert_does(sign: float, tensorflow: Any, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")

    def choose(x: Any) -> Any:
        return tensorflow.cond(
            tensorflow.reduce_sum(x) > 0, lambda: tensorflow.tanh(x) + 2.0, lambda: tensorflow.nn.relu(-x) * 3.0
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        function = tensorflow.function(choose).get_concrete_function(tensorflow.TensorSpec((1, 4), tensorflow.float32))
        content = tensorflow.lite.TFLiteConverter.from_concrete_functions([function]).convert()
    path = tmp_path / "branch.tflite"
    path.write_bytes(content)
    assert any(len(graph.operators or []) for graph in read_model(content).subgraphs[1:])
    x = sign * np.arange(1, 5, dtype=np.float32)[None]
    with load(path) as model:
        (wanted,) = model.run_raw([x])
    graph = prepare_graph(read_tflite(read_model(content), where="branch").proto)
    (found,) = GraphRunner(graph).run({str(graph.graph.inputs[0].name): x}).values()
    np.testing.assert_allclose(found, wanted, atol=ROUNDING)
    with pytest.raises(UnsupportedOperationError, match=r"If .* only known when the model runs"):
        emit(graph, "tflite", tmp_path)


def openvino_loop(trips: int, *, iterator: bool = False, backward: bool = False) -> Any:
    """Return `h = tanh(x[t] + h)` over time, with the last state and all states, as Loop or TensorIterator."""
    op = pytest.importorskip("openvino.opset13")
    openvino = pytest.importorskip("openvino")
    rows, first = op.parameter([-1, trips, 3], np.float32, "x"), op.parameter([-1, 3], np.float32, "first")
    row, state = op.parameter([-1, 1, 3], np.float32, "row"), op.parameter([-1, 3], np.float32, "state")
    flat = op.squeeze(row, op.constant(np.array([1])))
    new = op.tanh(op.add(flat, state))
    seen = op.unsqueeze(new, op.constant(np.array([1])))
    results = [op.result(new), op.result(seen)]
    start, end, stride = (-1, 0, -1) if backward else (0, -1, 1)
    if iterator:
        loop = op.tensor_iterator()
        loop.set_function(openvino.Model(results, [row, state], "body"))
    else:
        always = op.result(op.constant(np.array(True)))
        loop = op.loop(op.constant(np.array(trips, np.int32)), op.constant(np.array(True)))
        loop.set_function(openvino.Model([*results, always], [row, state], "body"))
        loop.set_special_body_ports([-1, 2])
    loop.set_sliced_input(row, rows.output(0), start, stride, 1, end, 1)
    loop.set_merged_input(state, first.output(0), results[0].output(0))
    last = loop.get_iter_value(results[0].output(0), -1)
    joined = loop.get_concatenated_slices(results[1].output(0), start, stride, 1, end, 1)
    return openvino.Model([op.result(last), op.result(joined)], [rows, first], "loop")


@pytest.mark.openvino
@pytest.mark.parametrize(
    ("iterator", "backward"),
    [(False, False), (True, False), (True, True)],
    ids=["Loop", "TensorIterator", "TensorIterator backward"],
)
def test_loop_of_openvino_answers_as_openvino_does(iterator: bool, backward: bool) -> None:
    model = openvino_loop(4, iterator=iterator, backward=backward)
    _agrees_with_openvino(model, [(2, 4, 3), (2, 3)], gone="Loop")


@pytest.mark.openvino
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_branch_of_openvino_answers_as_openvino_does(sign: float) -> None:
    op = pytest.importorskip("openvino.opset13")
    openvino = pytest.importorskip("openvino")
    x = op.parameter([2, 3], np.float32, "x")
    zero = op.constant(np.array(0, np.float32))
    condition = op.greater(op.reduce_sum(x, op.constant(np.array([0, 1])), keep_dims=False), zero)
    one, other = op.parameter([2, 3], np.float32, "one"), op.parameter([2, 3], np.float32, "other")
    bodies = [op.result(op.tanh(one)), op.result(op.negative(other))]
    branch = op.if_op(condition.output(0))
    branch.set_then_body(openvino.Model([bodies[0]], [one], "then"))
    branch.set_else_body(openvino.Model([bodies[1]], [other], "else"))
    branch.set_input(x.output(0), one, other)
    model = openvino.Model([op.result(branch.set_output(*bodies))], [x], "branch")
    _agrees_with_openvino(model, [(2, 3)], sign=sign)


def _agrees_with_openvino(model: Any, shapes: list[tuple[int, ...]], *, sign: float = 0.0, gone: str = "") -> None:
    openvino = pytest.importorskip("openvino")
    random = np.random.default_rng(0)
    arrays = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    arrays = [np.abs(array) * sign if sign else array for array in arrays]
    wanted = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(arrays)
    found = read_openvino(model, where="the model")
    graph, _ = simplify(prepare_graph(found.proto))
    assert gone not in {node.op_type for node in graph.graph}
    answers = GraphRunner(graph).run({each.name: array for each, array in zip(found.inputs, arrays, strict=True)})
    for place, each in enumerate(found.outputs):
        np.testing.assert_allclose(answers[each.name], wanted[place], atol=ROUNDING)

"""Recurrent layers in TFLite: ONNX Runtime on the layer against LiteRT on what was written for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper as oh
import onnx_ir as ir
import pytest
from onnx import TensorProto, numpy_helper

from edgeai_converters.emit.tflite.flatbuffer import read_model
from edgeai_converters.emit.tflite.read_context import read_tensors
from edgeai_converters.emit.tflite.writer import emit_tflite, unsupported_nodes
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.quantize.store_float16 import store_float16
from edgeai_converters.quantize.store_int8_weights import store_int8_weights

pytest.importorskip("ai_edge_litert")
pytestmark = [pytest.mark.litert, pytest.mark.onnxruntime]

TOLERANCE = 5e-6  # of numbers below 1; products are summed in another order
STEPS, FEATURES, HIDDEN = 7, 5, 6
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}

Array = np.ndarray[Any, Any]


def layer(
    kind: str,
    *,
    batch: int | str = "batch",
    outputs: Sequence[str] = ("Y", "Y_h"),
    bias: bool = True,
    states: str = "",
    constant_state: bool = False,
    lengths: Sequence[int] | None = None,
    peepholes: bool = False,
    stacked: bool = False,
    hidden: int = HIDDEN,
    **attributes: Any,
) -> ir.Model:
    """Return a prepared model of one recurrent node; `states` names the initial states that are given."""
    rng = np.random.default_rng(3)
    count = 2 if attributes.get("direction") == "bidirectional" else 1
    rows = GATES[kind] * hidden
    constants: dict[str, Array] = {
        "W": rng.normal(0, 0.5, (count, rows, FEATURES)).astype(np.float32),
        "R": rng.normal(0, 0.5 * (HIDDEN / hidden) ** 0.5, (count, rows, hidden)).astype(np.float32),
    }
    inputs = [oh.make_tensor_value_info("x", TensorProto.FLOAT, [STEPS, batch, FEATURES])]
    names = ["x", "W", "R", "", "", "", "", ""]
    if bias:
        names[3], constants["B"] = "B", rng.normal(0, 0.5, (count, 2 * rows)).astype(np.float32)
    if lengths is not None:
        names[4], constants["lengths"] = "lengths", np.array(lengths, np.int32)
    for state, place in (("h", 5), ("c", 6)):
        if state in states:
            names[place] = f"initial_{state}"
            if constant_state:
                constants[names[place]] = rng.normal(0, 0.5, (count, batch, hidden)).astype(np.float32)
            else:
                form = [count, batch, hidden]
                inputs.append(oh.make_tensor_value_info(names[place], TensorProto.FLOAT, form))
    if peepholes:
        names[7], constants["P"] = "P", rng.normal(0, 0.5, (count, 3 * hidden)).astype(np.float32)
    while not names[-1]:
        names.pop()
    places = {"Y": 0, "Y_h": 1, "Y_c": 2}
    results = [name if name in outputs else "" for name in places][: max(places[name] for name in outputs) + 1]
    nodes = [oh.make_node(kind, names, results, name="layer", hidden_size=hidden, **attributes)]
    shapes = {"Y": [STEPS, count, batch, hidden], "Y_h": [count, batch, hidden], "Y_c": [count, batch, hidden]}
    if stacked:  # a second layer of the same kind over the first one's sequence, as PyTorch writes it
        constants["W2"] = rng.normal(0, 0.5, (count, rows, count * hidden)).astype(np.float32)
        constants["shape"] = np.array([0, 0, -1], np.int64)
        nodes[0].output[0] = "first"
        nodes.append(oh.make_node("Transpose", ["first"], ["swapped"], perm=[0, 2, 1, 3]))
        nodes.append(oh.make_node("Reshape", ["swapped", "shape"], ["joined"]))
        second = ["joined", "W2", *names[2:4]] if bias else ["joined", "W2", "R"]
        nodes.append(oh.make_node(kind, second, ["Y"], name="second", hidden_size=hidden, **attributes))
    graph = oh.make_graph(
        nodes,
        "recurrent",
        inputs,
        [oh.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in outputs],
        initializer=[numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    proto = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(proto)
    return prepare_graph(proto)


def feeds(model: ir.Model, batch: int, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    found = {}
    for value in model.graph.inputs:
        shape = [size if isinstance(size, int) else batch for size in value.shape or ()]
        found[str(value.name)] = rng.normal(0, 1, shape).astype(np.float32)
    return found


def run(path: Path, inputs: dict[str, Array]) -> tuple[dict[str, Array], int]:
    """Return LiteRT's outputs by name, and how many partitions XNNPACK took."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    runner = interpreter.get_signature_runner("serving_default")
    outputs = runner(**inputs)
    partitions = sum(node["op_name"] == "DELEGATE" for node in interpreter._get_ops_details())
    return dict(outputs), partitions


def held(model: ir.Model, folder: Path, *, batch: int = 1, tolerance: float = TOLERANCE) -> dict[str, int]:
    """Write a model, hold two calls of it against ONNX Runtime, and return its operators."""
    artifact = emit_tflite(model, folder)
    for seed in (0, 1):  # the second call would show a state that stays
        inputs = feeds(model, batch, seed)
        wanted = GraphRunner(model).run(inputs)
        found, partitions = run(artifact.path, inputs)
        assert partitions == 1
        for name, array in wanted.items():
            assert found[name].shape == array.shape
            np.testing.assert_allclose(found[name], array, atol=tolerance)
    return artifact.operators


SWAPS = {3: (1, 0, 2), 4: (2, 0, 1, 3)}  # from batch second (Y: third) to batch first
DIRECTIONS = ("forward", "reverse", "bidirectional")


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", GATES)
def test_layer_answers_as_in_onnx_runtime_in_every_direction(kind: str, direction: str, tmp_path: Path) -> None:
    outputs = ("Y", "Y_h", "Y_c") if kind == "LSTM" else ("Y", "Y_h")
    held(layer(kind, direction=direction, outputs=outputs), tmp_path)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", GATES)
def test_states_are_inputs_and_outputs(kind: str, direction: str, tmp_path: Path) -> None:
    lstm = kind == "LSTM"
    outputs = ("Y", "Y_h", "Y_c") if lstm else ("Y", "Y_h")
    held(layer(kind, direction=direction, states="hc" if lstm else "h", outputs=outputs), tmp_path)


@pytest.mark.parametrize("kind", GATES)
def test_constant_initial_state_is_kept(kind: str, tmp_path: Path) -> None:
    states = "hc" if kind == "LSTM" else "h"
    held(layer(kind, direction="bidirectional", states=states, constant_state=True, batch=2), tmp_path, batch=2)


@pytest.mark.parametrize("states", ["h", "c"])
def test_lstm_with_one_initial_state(states: str, tmp_path: Path) -> None:
    held(layer("LSTM", states=states), tmp_path)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("late", [0, 1])
def test_gru_resets_before_or_after_the_product(late: int, bias: bool, tmp_path: Path) -> None:
    held(layer("GRU", linear_before_reset=late, bias=bias, direction="bidirectional"), tmp_path)


@pytest.mark.parametrize("kind", GATES)
def test_layer_without_bias(kind: str, tmp_path: Path) -> None:
    held(layer(kind, bias=False), tmp_path)


@pytest.mark.parametrize("outputs", [("Y",), ("Y_h",), ("Y_c",)])
def test_only_the_outputs_that_are_used_are_written(outputs: tuple[str], tmp_path: Path) -> None:
    operators = held(layer("LSTM", outputs=outputs), tmp_path)
    assert ("CONCATENATION" in operators) == (outputs == ("Y",))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", GATES)
def test_stacked_layers_need_no_transposes_between_them(kind: str, direction: str, tmp_path: Path) -> None:
    model = layer(kind, direction=direction, stacked=True, outputs=("Y",))
    operators = held(simplify(model)[0], tmp_path)
    assert operators["TRANSPOSE"] == 2  # the time-major input and output of this model, nothing else


@pytest.mark.parametrize("batch", [1, 3])
def test_free_batch_is_kept(batch: int, tmp_path: Path) -> None:
    held(layer("GRU", direction="bidirectional"), tmp_path, batch=batch)


FUNCTIONS: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {"activations": ["HardSigmoid", "Relu", "Tanh"], "activation_alpha": [0.3], "activation_beta": [0.4]}),
    ("LSTM", {"clip": 0.5}),
    ("LSTM", {"input_forget": 1}),
    ("GRU", {"activations": ["Sigmoid", "ScaledTanh"], "activation_alpha": [0.7], "activation_beta": [0.9]}),
    ("GRU", {"activations": ["HardSigmoid", "Relu"]}),
    ("RNN", {"activations": ["Relu"]}),
    ("RNN", {"activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.1]}),
    ("RNN", {"activations": ["LeakyRelu"], "activation_alpha": [0.2]}),
    ("RNN", {"activations": ["Elu"], "activation_alpha": [1.0]}),
]


@pytest.mark.parametrize(("kind", "attributes"), FUNCTIONS)
def test_activations_and_limits_are_those_of_the_layer(kind: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    held(layer(kind, **attributes), tmp_path, tolerance=1e-4 if "Relu" in str(attributes) else TOLERANCE)


def test_activations_differ_by_direction(tmp_path: Path) -> None:
    held(layer("RNN", direction="bidirectional", activations=["Relu", "Tanh"]), tmp_path, tolerance=1e-4)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_constant_lengths_that_are_equal_end_the_sequence(direction: str, tmp_path: Path) -> None:
    held(layer("GRU", batch=2, lengths=[4, 4], direction=direction), tmp_path, batch=2)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_batch_first_layout_gives_the_same_numbers(direction: str, tmp_path: Path) -> None:
    # ONNX Runtime does not run layout 1: the same layer with layout 0 is the judge.
    options: dict[str, Any] = {"batch": 2, "states": "hc", "direction": direction, "outputs": ("Y", "Y_h", "Y_c")}
    time_first = layer("LSTM", **options)
    inputs = feeds(time_first, 2)
    wanted = GraphRunner(time_first).run(inputs)
    model = layer("LSTM", **options)
    for value in (*model.graph.inputs, *model.graph.outputs):
        assert value.shape is not None
        value.shape = ir.Shape([value.shape[axis] for axis in SWAPS[len(value.shape)]])
    (node,) = list(model.graph)
    node.attributes["layout"] = ir.AttrInt64("layout", 1)
    swapped = {name: array.transpose(SWAPS[array.ndim]) for name, array in inputs.items()}
    found, _ = run(emit_tflite(model, tmp_path).path, swapped)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array.transpose(SWAPS[array.ndim]), atol=TOLERANCE)


@pytest.mark.parametrize("kind", GATES)
def test_weights_are_in_the_file_once(kind: str, tmp_path: Path) -> None:
    model = layer(kind, hidden=96, outputs=("Y_h",))
    weights = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    artifact = emit_tflite(model, tmp_path)
    assert artifact.size_bytes < weights + 4096 * STEPS


@pytest.mark.parametrize("kind", GATES)
def test_first_step_has_no_product_with_a_zero_state(kind: str, tmp_path: Path) -> None:
    operators = emit_tflite(layer(kind, outputs=("Y_h",)), tmp_path).operators
    products = 2 if kind == "GRU" else 1
    assert operators["FULLY_CONNECTED"] == products + products * (STEPS - 1)


@pytest.mark.parametrize("kind", GATES)
def test_float16_weights_stay_float16(kind: str, tmp_path: Path) -> None:
    model, changed = store_float16(layer(kind, hidden=32))
    assert changed
    operators = held(model, tmp_path, tolerance=2e-5)
    assert operators["DEQUANTIZE"] >= 2


INT8_TOLERANCE = 0.05  # of numbers below 1; the kernels round activations to 8 bits at every step


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", GATES)
def test_int8_weights_stay_int8(kind: str, direction: str, tmp_path: Path) -> None:
    model = layer(kind, hidden=40, direction=direction)
    stored, changed = store_int8_weights(model, format="tflite")
    assert changed
    artifact = emit_tflite(stored, tmp_path)
    inputs = feeds(model, 1)
    wanted = GraphRunner(model).run(inputs)
    found, partitions = run(artifact.path, inputs)
    assert partitions == 1
    assert "DEQUANTIZE" not in artifact.operators
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=INT8_TOLERANCE)
    rows = GATES[kind] * 40
    matrices = [tensor for tensor in read_tensors(read_model(artifact.path.read_bytes())) if tensor.dtype == "int8"]
    assert sum(tensor.data.size for tensor in matrices if tensor.data is not None) >= rows * 40


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"peepholes": True}, "peepholes"),
    ({"lengths": [4, 5], "batch": 2}, "sequence_lens"),
    ({"activations": ["Sigmoid", "Softsign", "Tanh"]}, "Softsign"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_what_can_not_be_written_is_named_with_its_reason(options: dict[str, Any], words: str) -> None:
    (problem,) = unsupported_nodes(layer("LSTM", **options))
    assert problem.op_type == "LSTM"
    assert problem.name == "layer"
    assert words in problem.reason

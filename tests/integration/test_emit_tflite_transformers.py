"""Transformers as TFLite: free batches, masks, token ids, caches and int8 islands, as one XNNPACK partition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.emit.tflite.writer import emit_tflite, unsupported_nodes
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.shapes import fix_shapes
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES

pytest.importorskip("ai_edge_litert")
pytestmark = [pytest.mark.litert, pytest.mark.onnxruntime]

TOLERANCE = 2e-5  # relative to the largest output; sums are taken in another order
Array = np.ndarray[Any, Any]


def make(body: str, *, inputs: str, outputs: str, opset: int = 20, **constants: Any) -> ir.Model:
    """Return a prepared model; constants are arrays, or shapes of normal numbers."""
    text = f'<ir_version: 10, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, given in constants.items():
        array = given if isinstance(given, np.ndarray) else random.normal(0, 0.4, given).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    return prepare_graph(proto)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def run_tflite(path: Path, feeds: dict[str, Array], names: list[str]) -> tuple[dict[str, Array], int]:
    """Return the outputs by name and the number of parts that XNNPACK runs."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    for detail in interpreter.get_input_details():
        if tuple(detail["shape"]) != feeds[detail["name"]].shape:
            interpreter.resize_tensor_input(detail["index"], feeds[detail["name"]].shape)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], feeds[detail["name"]])
    interpreter.invoke()
    found = {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()}
    parts = [entry for entry in interpreter._get_ops_details() if entry["op_name"] == "DELEGATE"]
    return {name: found[name] for name in names}, len(parts)


def check(model: ir.Model, feeds: dict[str, Array], folder: Path) -> tuple[dict[str, int], int]:
    """Write the simplified model, compare it with the model itself, and return operators and parts."""
    simple, _ = simplify(model)
    artifact = emit_tflite(simple, folder)
    wanted = GraphRunner(model).run(feeds)
    found, parts = run_tflite(artifact.path, feeds, list(wanted))
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        np.testing.assert_allclose(found[name], array, rtol=0, atol=TOLERANCE * max(1.0, np.abs(array).max()))
    return dict(artifact.operators), parts


def normal(*shape: int) -> Array:
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_class_token_grows_with_a_free_batch(batch: int, tmp_path: Path) -> None:
    model = make(
        "s = Shape<end = 1>(x) t = Concat<axis = 0>(s, rest) c = Expand(token, t) z = Concat<axis = 1>(c, x)",
        inputs="float[N,5,8] x",
        outputs="float[a,6,8] z",
        token=(1, 1, 8),
        rest=ints(1, 8),
    )
    operators, parts = check(model, {"x": normal(batch, 5, 8)}, tmp_path)
    assert "SHAPE" not in operators
    assert "BROADCAST_TO" not in operators
    assert parts == 1


def test_a_token_that_grows_is_not_touched_by_infinite_inputs(tmp_path: Path) -> None:
    model = make(
        "s = Shape<end = 1>(x) t = Concat<axis = 0>(s, rest) c = Expand(token, t) z = Relu(c)",
        inputs="float[N,5] x",
        outputs="float[a,8] z",
        token=(1, 8),
        rest=ints(8),
    )
    check(model, {"x": np.full((2, 5), np.inf, np.float32)}, tmp_path)


def test_a_dense_layer_on_a_sequence_takes_its_bias_and_activation_in(tmp_path: Path) -> None:
    model = make(
        "m = MatMul(x, w) a = Add(b, m) z = Relu(a)",
        inputs="float[N,5,8] x",
        outputs="float[N,5,6] z",
        w=(8, 6),
        b=(6,),
    )
    assert check(model, {"x": normal(2, 5, 8)}, tmp_path)[0] == {"FULLY_CONNECTED": 1}


def test_a_vector_along_another_axis_is_no_bias(tmp_path: Path) -> None:
    model = make(
        "m = MatMul(x, w) z = Add(m, b)",
        inputs="float[N,6,8] x",
        outputs="float[N,6,6] z",
        w=(8, 6),
        b=(6, 1),
    )
    assert check(model, {"x": normal(2, 6, 8)}, tmp_path)[0] == {"FULLY_CONNECTED": 1, "ADD": 1}


def test_a_mask_is_brought_to_numbers_once_for_all_layers(tmp_path: Path) -> None:
    model = make(
        "m = LessOrEqual(places, p) a = Where(m, x, low) b = Softmax(a) c = Mul(b, x) d = Where(m, c, low) "
        "z = Softmax(d)",
        inputs="float[N,4,6] x, int64[1] p",
        outputs="float[N,4,6] z",
        places=np.arange(6),
        low=np.array(-np.inf, np.float32),
    )
    operators, parts = check(model, {"x": normal(2, 4, 6), "p": ints(2)}, tmp_path)
    assert operators["SELECT_V2"] == 1
    assert parts == 1


def test_one_step_of_a_decoder_with_its_cache(tmp_path: Path) -> None:
    model = make(
        "x = Gather(table, token) n = LayerNormalization(x, scale, shift) q = MatMul(n, wq) k = MatMul(n, wk) "
        "v = MatMul(n, wv) k2 = Concat<axis = 1>(keys, k) v2 = Concat<axis = 1>(values, v) "
        "t = Transpose<perm = [0, 2, 1]>(k2) s = MatMul(q, t) p = Softmax(s) y = MatMul(p, v2) r = Add(x, y) "
        "z = MatMul(r, out)",
        inputs="int64[N,1] token, float[N,4,8] keys, float[N,4,8] values",
        outputs="float[N,1,11] z, float[N,5,8] k2, float[N,5,8] v2",
        table=(11, 8),
        scale=(8,),
        shift=(8,),
        wq=(8, 8),
        wk=(8, 8),
        wv=(8, 8),
        out=(8, 11),
    )
    feeds = {"token": np.array([[3], [10]]), "keys": normal(2, 4, 8), "values": normal(2, 4, 8)}
    operators, parts = check(model, feeds, tmp_path)
    assert operators["GATHER"] == 1
    assert parts == 1


SEQUENCE = {
    "body": "m = MatMul(x, w) s = Shape<end = 2>(x) t = Concat<axis = 0>(s, rest) h = Reshape(m, t) "
    "q = Transpose<perm = [0, 2, 1, 3]>(h) k = Transpose<perm = [0, 2, 3, 1]>(h) a = MatMul(q, k) z = Softmax(a)",
    "inputs": "float[N,S,8] x",
    "outputs": "float[a,2,b,c] z",
}


@pytest.mark.parametrize("length", [1, 7])
def test_one_free_sequence_axis_is_kept(length: int, tmp_path: Path) -> None:
    model = fix_shapes(make(**SEQUENCE, w=(8, 8), rest=ints(2, 4)), {"x": (1, -1, 8)})
    assert check(model, {"x": normal(1, length, 8)}, tmp_path)[1] == 1


def test_two_free_axes_are_refused_with_what_to_do() -> None:
    simple, _ = simplify(make(**SEQUENCE, w=(8, 8), rest=ints(2, 4)))
    problems = unsupported_nodes(simple)
    assert {problem.op_type for problem in problems} == {"Reshape"}
    assert "--shape" in problems[0].reason


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_int8_layers_run_around_float_islands_as_one_part(approximate: str, tmp_path: Path) -> None:
    model = make(
        "n = LayerNormalization(x, scale, shift) a = MatMul(n, w1) b = Add(a, b1) "
        f'g = Gelu<approximate = "{approximate}">(b) c = MatMul(g, w2) d = Add(c, b2) '
        "t = Transpose<perm = [0, 2, 1]>(d) s = MatMul(d, t) z = Softmax(s)",
        inputs="float[N,5,8] x",
        outputs="float[N,5,5] z",
        scale=(8,),
        shift=(8,),
        w1=(8, 16),
        b1=(16,),
        w2=(16, 8),
        b2=(8,),
    )
    simple, _ = simplify(model)
    feeds = {"x": normal(4, 5, 8)}
    plan = plan_quantization(simple, collect_ranges(simple, [feeds]).tensors["minmax"], SCHEMES["tflite-int8"])
    artifact = emit_tflite(insert_qdq(simple, plan)[0], tmp_path)
    wanted = GraphRunner(simple).run(feeds)["z"]
    found, parts = run_tflite(artifact.path, feeds, ["z"])
    assert artifact.operators["FULLY_CONNECTED"] == 2
    assert artifact.operators["ADD"] == 2  # of the normalization: its epsilon and its shift
    assert "TRANSPOSE" not in artifact.operators
    assert parts == 1
    assert 0 < np.abs(found["z"] - wanted).max() < 0.05


@pytest.mark.assets
def test_the_keyword_transformer_keeps_its_accuracy(assets: Path, tmp_path: Path) -> None:
    """It is 0.9256 on all 900 samples, in PyTorch and here."""
    simple, _ = simplify(prepare_graph(onnx.load(assets / "speech_commands" / "kwt1.onnx")))
    artifact = emit_tflite(simple, tmp_path)
    data = np.load(assets / "speech_commands" / "mfcc_98x40.npz")
    samples = data["x_eval"][:300].astype(np.float32)
    name, output = artifact.inputs[0].name, artifact.outputs[0].name
    found, parts = run_tflite(artifact.path, {name: samples}, [output])
    wanted = GraphRunner(simple).run({name: samples})[output]
    assert parts == 1
    assert "TRANSPOSE" not in artifact.operators
    np.testing.assert_array_equal(found[output].argmax(-1), wanted.argmax(-1))
    assert (found[output].argmax(-1) == data["y_eval"][:300]).mean() > 0.9

"""Whole networks written as TFLite: parity, one XNNPACK partition, no transposes, free batch, precisions, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx.helper as oh
import onnx_ir as ir
import pytest
from onnx import TensorProto, numpy_helper

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.emit.tflite.flatbuffer import read_model
from edgeai_converters.emit.tflite.writer import emit_tflite, unsupported_nodes
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.inspection.tflite import inspect_tflite
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.store_float16 import store_float16
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_converters.sources.table import import_source
from edgeai_runtime.errors import UnsupportedOperationError

pytest.importorskip("ai_edge_litert")
pytestmark = [pytest.mark.litert, pytest.mark.onnxruntime]

Array = np.ndarray[Any, Any]


def run(path: Path, array: Array) -> tuple[Array, int, list[str]]:
    """Return the first output, the number of XNNPACK partitions, and the names of operators outside of them."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    detail = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(detail["index"], array.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    names = [operation["op_name"] for operation in interpreter._get_ops_details()]
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return output, names.count("DELEGATE"), names


def weights(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(0, 0.3, shape).astype(np.float32)


def small_network(*, channels_last: bool = False) -> ir.Model:
    """Return Conv+Relu → depthwise Conv → residual Add → MaxPool → Flatten → Gemm → Softmax, with a free batch."""
    constants = {
        "w1": weights(8, 3, 3, 3),
        "b1": weights(8),
        "w2": weights(8, 1, 3, 3),
        "b2": weights(8),
        "w3": weights(5, 8 * 16),
        "b3": weights(5),
    }
    nodes = [
        oh.make_node("Conv", ["map", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        oh.make_node("Relu", ["c1"], ["r1"]),
        oh.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1], group=8),
        oh.make_node("Add", ["c2", "r1"], ["sum"]),
        oh.make_node("Relu", ["sum"], ["r2"]),
        oh.make_node("MaxPool", ["r2"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        oh.make_node("Flatten", ["pooled"], ["flat"]),
        oh.make_node("Gemm", ["flat", "w3", "b3"], ["logits"], transB=1),
        oh.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    shape: list[str | int] = ["batch", 8, 8, 3] if channels_last else ["batch", 3, 8, 8]
    source = "image" if channels_last else "map"
    if channels_last:
        nodes.insert(0, oh.make_node("Transpose", ["image"], ["map"], perm=[0, 3, 1, 2]))
    graph = oh.make_graph(
        nodes,
        "small",
        [oh.make_tensor_value_info(source, TensorProto.FLOAT, shape)],
        [oh.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 5])],
        initializer=[numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return prepare_graph(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=10))


def quantized(model: ir.Model, array: Array) -> ir.Model:
    name = model.graph.inputs[0].name or ""
    ranges = collect_ranges(model, [{name: array}], methods=("minmax",)).tensors["minmax"]
    return insert_qdq(model, plan_quantization(model, ranges, SCHEMES["tflite-int8"]))[0]


def answer(model: ir.Model, array: Array) -> Array:
    return next(iter(GraphRunner(model).run({model.graph.inputs[0].name or "": array}).values()))


IMAGES = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)


def test_channels_first_input_costs_one_transpose_and_flatten_none(tmp_path: Path) -> None:
    artifact = emit_tflite(small_network(), tmp_path)
    assert artifact.operators["TRANSPOSE"] == 1
    assert artifact.notes[0] == "1 transpose between layouts"
    found, partitions, _ = run(artifact.path, IMAGES)
    assert partitions == 1
    np.testing.assert_allclose(found, answer(small_network(), IMAGES), atol=1e-5)


def test_channels_last_input_costs_no_transpose(tmp_path: Path) -> None:
    model = small_network(channels_last=True)
    artifact = emit_tflite(model, tmp_path)
    assert "TRANSPOSE" not in artifact.operators
    images = np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1))
    found, _, _ = run(artifact.path, images)
    np.testing.assert_allclose(found, answer(model, images), atol=1e-5)


def test_free_batch_stays_free_and_names_are_the_graphs_own(tmp_path: Path) -> None:
    artifact = emit_tflite(small_network(), tmp_path)
    assert (artifact.inputs[0].name, artifact.inputs[0].shape) == ("map", (None, 3, 8, 8))
    assert (artifact.outputs[0].name, artifact.outputs[0].shape) == ("probabilities", (None, 5))
    for batch in (1, 3):
        found, partitions, _ = run(artifact.path, IMAGES[:batch])
        assert found.shape == (batch, 5)
        assert partitions == 1


def test_int8_network_agrees_with_the_graph_in_one_partition(tmp_path: Path) -> None:
    model = quantized(small_network(), IMAGES)
    artifact = emit_tflite(model, tmp_path)
    found, partitions, _ = run(artifact.path, IMAGES)
    assert partitions == 1
    assert np.abs(found - answer(model, IMAGES)).max() < 0.02
    counts = inspect_tflite(artifact.path).operators
    assert counts == artifact.operators
    assert counts["QUANTIZE"] == 1  # at the input only
    assert counts["DEQUANTIZE"] == 1  # before Softmax only


def test_relu_between_quantize_nodes_is_fused(tmp_path: Path) -> None:
    artifact = emit_tflite(quantized(small_network(), IMAGES), tmp_path)
    assert "RELU" not in artifact.operators


def test_float16_weights_take_half_the_bytes_and_stay_delegated(tmp_path: Path) -> None:
    model = small_network()
    half = emit_tflite(store_float16(model)[0], tmp_path, stem="half")
    found, partitions, _ = run(half.path, IMAGES)
    assert partitions == 1
    np.testing.assert_allclose(found, answer(model, IMAGES), atol=5e-3)
    stored = {tensor.type for tensor in read_model(half.path.read_bytes()).subgraphs[0].tensors}
    assert 1 in stored  # FLOAT16


def test_weight_only_int8_becomes_hybrid_kernels_without_dequantize(tmp_path: Path) -> None:
    graph = oh.make_graph(
        [oh.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)],
        "dense",
        [oh.make_tensor_value_info("x", TensorProto.FLOAT, [2, 128])],
        [oh.make_tensor_value_info("y", TensorProto.FLOAT, [2, 64])],
        initializer=[numpy_helper.from_array(weights(64, 128), "w"), numpy_helper.from_array(weights(64), "b")],
    )
    model = prepare_graph(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=10))
    array = np.random.default_rng(1).normal(size=(2, 128)).astype(np.float32)
    artifact = emit_tflite(store_int8_weights(model, format="tflite")[0], tmp_path)
    assert artifact.operators == {"FULLY_CONNECTED": 1}
    found, _, _ = run(artifact.path, array)
    wanted = answer(model, array)
    assert np.abs(found - wanted).max() < 0.03 * np.abs(wanted).max()


def test_weight_only_int8_of_a_depthwise_convolution_is_expanded_inside_the_delegate(tmp_path: Path) -> None:
    graph = oh.make_graph(
        [oh.make_node("Conv", ["x", "w", "b"], ["y"], group=64, pads=[1, 1, 1, 1])],
        "depthwise",
        [oh.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64, 8, 8])],
        [oh.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64, 8, 8])],
        initializer=[numpy_helper.from_array(weights(64, 1, 3, 3), "w"), numpy_helper.from_array(weights(64), "b")],
    )
    model = prepare_graph(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=10))
    array = np.random.default_rng(1).normal(size=(1, 64, 8, 8)).astype(np.float32)
    stored = store_int8_weights(model, format="tflite")[0]
    artifact = emit_tflite(stored, tmp_path)
    assert artifact.operators["DEQUANTIZE"] == 1
    found, partitions, _ = run(artifact.path, array)
    assert partitions == 1
    np.testing.assert_allclose(found, answer(stored, array), atol=1e-4)


def test_writing_twice_gives_the_same_bytes_and_leaves_the_graph_alone(tmp_path: Path) -> None:
    model = small_network()
    before = ir.to_proto(model).SerializeToString()
    first = emit_tflite(model, tmp_path, stem="a").path.read_bytes()
    assert first == emit_tflite(model, tmp_path, stem="b").path.read_bytes()
    assert ir.to_proto(model).SerializeToString() == before


def test_all_unsupported_nodes_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    nodes = [
        oh.make_node("Det", ["x"], ["d"], name="first"),
        oh.make_node("Relu", ["d"], ["r"]),
        oh.make_node("NonZero", ["r"], ["y"], name="second"),
    ]
    graph = oh.make_graph(
        nodes,
        "strange",
        [oh.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 3])],
        [oh.make_tensor_value_info("y", TensorProto.INT64, [1, "n"])],
    )
    model = prepare_graph(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=10))
    assert [(node.op_type, node.name) for node in unsupported_nodes(model)] == [("Det", "first"), ("NonZero", "second")]
    with pytest.raises(UnsupportedOperationError, match=r"(?s)2 of 3 nodes.*Det 'first'.*NonZero 'second'"):
        emit_tflite(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_wrong_bias_scale_is_refused() -> None:
    model = quantized(small_network(), IMAGES)
    bias = next(
        value for value in model.graph.initializers.values() if value.dtype == ir.DataType.INT32 and value.shape == (8,)
    )
    scale = bias.uses()[0].node.inputs[1]
    assert scale is not None
    assert scale.const_value is not None
    scale.const_value = ir.tensor(scale.const_value.numpy() * np.float32(1.1), name=scale.name)
    assert [node.op_type for node in unsupported_nodes(model)] == ["Conv"]
    assert "activation × weight" in unsupported_nodes(model)[0].reason


def test_every_buffer_is_aligned_to_16_bytes_and_buffer_0_is_empty(tmp_path: Path) -> None:
    content = emit_tflite(small_network(), tmp_path).path.read_bytes()
    model = read_model(content)
    assert model.buffers[0].data is None
    arrays = [buffer.data for buffer in model.buffers[1:]]
    assert arrays
    start = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
    assert {(array.__array_interface__["data"][0] - start) % 16 for array in arrays} == {0}


@pytest.mark.assets
@pytest.mark.parametrize(
    ("file", "transposes"),
    [("cifar10/resnet20.onnx", 1), ("imagenet_sample/squeezenet_v1.1_f32.onnx", 1)],
)
def test_real_network_is_one_partition_in_float_and_int8(
    file: str, transposes: int, assets: Path, tmp_path: Path
) -> None:
    model = simplify(import_source(assets / file, workdir=tmp_path).model)[0]
    shape = [size if isinstance(size, int) else 2 for size in model.graph.inputs[0].shape or ()]
    array = np.random.default_rng(0).normal(0, 20, shape).astype(np.float32)
    artifact = emit_tflite(model, tmp_path)
    found, partitions, _ = run(artifact.path, array)
    wanted = answer(model, array)
    assert artifact.operators["TRANSPOSE"] == transposes
    assert partitions == 1
    assert np.abs(found - wanted).max() <= 1e-5 * max(1.0, np.abs(wanted).max())
    rounded = quantized(model, array)
    artifact = emit_tflite(rounded, tmp_path, stem="int8")
    found, partitions, names = run(artifact.path, array)
    assert partitions == 1
    assert names.count("QUANTIZE") == 1
    wanted = answer(rounded, array)
    cosine = float((found * wanted).sum() / np.linalg.norm(found) / np.linalg.norm(wanted))
    assert cosine > 0.995

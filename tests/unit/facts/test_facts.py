"""Facts of artifacts: operators, what limits bound, precisions, free shapes, lives of tensors; alike in all formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeai_converters.emit.tflite.writer import emit_tflite
from edgeai_converters.facts.table import read_facts
from edgeai_converters.graph.shapes import infer_shapes
from edgeai_devices.memory_arena import plan_arena
from edgeai_devices.operator_facts import ModelFacts, OperatorFacts
from edgeai_runtime.manifest import Format

pytest.importorskip("ai_edge_litert.schema_py_generated", reason="the file format's description is in ai-edge-litert")

FLOAT = TensorProto.FLOAT


def save(path: Path, nodes: list[onnx.NodeProto], constants: dict[str, Any], shape: list[int | str]) -> Path:
    inputs = [helper.make_tensor_value_info("x", FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", FLOAT, None)]
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def network(path: Path, batch: int | str = 1) -> Path:
    """A strided dilated convolution, a depthwise one, a mean over the map."""
    generator = np.random.default_rng(0)
    constants = {
        "w": generator.normal(size=(8, 3, 3, 5)).astype(np.float32),
        "b": np.zeros(8, np.float32),
        "d": generator.normal(size=(8, 1, 3, 3)).astype(np.float32),
        "e": np.zeros(8, np.float32),
        "axes": np.array([2, 3], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 5], strides=[2, 1], dilations=[1, 1]),
        helper.make_node("Conv", ["c", "d", "e"], ["f"], kernel_shape=[3, 3], group=8, dilations=[2, 2]),
        helper.make_node("ReduceMean", ["f", "axes"], ["y"], keepdims=0),
    ]
    return save(path, nodes, constants, [batch, 3, 15, 20])


def facts_of(tmp_path: Path, format: Format, batch: int | str = 1) -> ModelFacts:
    path = network(tmp_path / "model.onnx", batch)
    if format == "tflite":
        model = ir.load(path)
        infer_shapes(model)
        path = emit_tflite(model, tmp_path).path
    return read_facts(path, format)


def named(facts: ModelFacts, *names: str) -> OperatorFacts:
    return next(each for each in facts.operators if each.name in names)


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_a_convolution_tells_kernel_stride_dilation_and_channels(tmp_path: Path, format: Format) -> None:
    facts = facts_of(tmp_path, format)

    values = named(facts, "CONV_2D", "Conv").values

    assert values["kernel_height"] == (3,)
    assert values["kernel_width"] == (5,)
    assert values["kernel_area"] == (15,)
    assert values["stride"] == (2, 1)
    assert values["groups"] == (1,)
    assert values["input_channels"] == (3,)
    assert values["output_channels"] == (8,)
    assert values["batch"] == (1,)
    assert values["reduced_area"] == (300,)
    assert max(values["rank"]) == 4
    assert set(values["dimension"]) == {1, 3, 15, 20, 7, 16, 8}


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_a_dilated_kernel_reaches_further(tmp_path: Path, format: Format) -> None:
    facts = facts_of(tmp_path, format)

    values = [each for each in facts.operators if each.name in ("DEPTHWISE_CONV_2D", "Conv")][-1].values

    assert values["dilation"] == (2, 2)
    assert values["kernel_height"] == (3,)
    assert values["dilated_kernel_height"] == (5,)
    assert values["dilated_kernel_area"] == (25,)
    assert values["groups"] == (8,)


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_a_mean_tells_the_axes_it_goes_over(tmp_path: Path, format: Format) -> None:
    facts = facts_of(tmp_path, format)

    assert sorted(named(facts, "MEAN", "ReduceMean").values["reduced_axis"]) == [3, 12]


@pytest.mark.parametrize(("format", "words"), [("tflite", "3, 15, 20]"), ("onnx", "x [?, 3, 15, 20]")])
def test_a_free_batch_is_told_and_counts_as_one(tmp_path: Path, format: Format, words: str) -> None:
    free, fixed = facts_of(tmp_path, format, "n"), facts_of(tmp_path, format)

    assert free.only_batch_is_free
    assert words in free.free[0]
    assert (fixed.free, fixed.only_batch_is_free) == ((), False)
    assert sum(life.size_bytes for life in free.tensors) == sum(life.size_bytes for life in fixed.tensors)


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_precisions_are_those_of_operators_with_weights(tmp_path: Path, format: Format) -> None:
    facts = facts_of(tmp_path, format)

    assert facts.precisions == ("float32",)
    assert [each.name for each in facts.operators if each.is_heavy] in (["CONV_2D", "DEPTHWISE_CONV_2D"], ["Conv"] * 2)


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_a_tensor_lives_from_its_maker_to_its_last_reader(tmp_path: Path, format: Format) -> None:
    facts = facts_of(tmp_path, format)
    steps = {each.label: step for step, each in enumerate(facts.operators)}
    convolution = named(facts, "CONV_2D", "Conv").label

    life = next(life for life in facts.tensors if life.name.endswith(convolution))

    assert life.size_bytes == 4 * 8 * 7 * 16
    assert life.first_step == steps[convolution]
    assert life.last_step == steps[convolution] + 1
    assert {each.role for each in facts.tensors} == {"input", "inner", "output"}


def test_weights_take_no_memory_at_run_time(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, "onnx")

    assert {life.name for life in facts.tensors} == {"x", "c", "f", "y"}


def test_the_sum_of_weights_is_that_of_the_heaviest_channel(tmp_path: Path) -> None:
    from edgeai_converters.facts.tflite_values import operator_values

    weights = np.zeros((2, 1, 1, 3), np.int8)
    weights[0, 0, 0], weights[1, 0, 0] = (100, -100, 1), (-128, 0, 0)
    shapes = ([1, 4, 4, 3], [2, 1, 1, 3])

    found = operator_values("CONV_2D", None, shapes, ([1, 4, 4, 2],), constants={1: weights})
    shifted = operator_values("CONV_2D", None, shapes, ([1, 4, 4, 2],), constants={1: weights}, zero_points=[0, -128])

    assert found["weight_sum"] == (201,)
    assert shifted["weight_sum"] == (256,)


def quantize(name: str, source: str, *, back: bool = True) -> list[onnx.NodeProto]:
    nodes = [helper.make_node("QuantizeLinear", [source, "s", "z"], [f"{name}q"])]
    return [*nodes, helper.make_node("DequantizeLinear", [f"{name}q", "s", "z"], [f"{name}f"])] if back else nodes


def test_between_quantize_nodes_onnx_runtime_needs_no_float_maps(tmp_path: Path) -> None:
    constants = {
        "s": np.float32(0.1),
        "z": np.uint8(128),
        "wi": np.ones((16, 16), np.int8),
        "ws": np.float32(0.1),
        "wz": np.int8(0),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["wi", "ws", "wz"], ["w"]),
        *quantize("a", "x"),
        helper.make_node("MatMul", ["af", "w"], ["m"]),
        *quantize("m", "m"),
        helper.make_node("MatMul", ["mf", "w"], ["n"]),
        *quantize("n", "n"),
        helper.make_node("Identity", ["nf"], ["y"]),
    ]
    facts = read_facts(save(tmp_path / "model.onnx", nodes, constants, [1, 16]), "onnx")
    sizes = {life.name: life.size_bytes for life in facts.tensors}

    assert (sizes["af"], sizes["m"], sizes["mf"]) == (0, 0, 0)
    assert (sizes["aq"], sizes["mq"]) == (16, 16)
    assert sizes["nf"] == 64  # what reads it computes in float
    assert facts.precisions == ("int8",)


def test_an_openvino_ir_of_the_same_network_has_the_same_maps(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    model = openvino.convert_model(network(tmp_path / "model.onnx"))
    openvino.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)

    facts = read_facts(tmp_path / "model.xml", "openvino")
    source = read_facts(tmp_path / "model.onnx", "onnx")

    assert facts.precisions == ("float32",)
    assert {"Convolution", "ReduceMean"} <= {each.name for each in facts.operators}
    assert not {"Constant", "Const", "Parameter"} & {each.name for each in facts.operators}
    # The bias is an addition of its own there, which writes over what the convolution made only when it runs.
    assert plan_arena(source.tensors, "onnxruntime").peak_bytes <= plan_arena(facts.tensors, "openvino").peak_bytes


def test_an_unknown_shape_leaves_no_plan_and_says_which(tmp_path: Path) -> None:
    node = helper.make_node("NonZero", ["x"], ["i"])
    cast = helper.make_node("Cast", ["i"], ["y"], to=FLOAT)

    facts = read_facts(save(tmp_path / "model.onnx", [node, cast], {}, [1, 4]), "onnx")

    assert facts.tensors == ()
    assert "'i'" in facts.unplanned

"""Dilated convolutions out of SpaceToBatch → Conv → BatchToSpace."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.space_to_batch import DOMAIN, TO_BATCH, TO_SPACE, add_functions, op_type

BLOCK = 3
BLOCKS = (1, 1, BLOCK)
EXTRA = (
    # what TensorFlow computes: padding up to a multiple of the block, which is cropped again
    ("Shape", ["x"], "size", {"start": 2, "end": 3}),
    ("Add", ["size", "four"], "padded", {}),
    ("Mod", ["padded", "block"], "rest", {}),
    ("Sub", ["block", "rest"], "missing", {}),
    ("Mod", ["missing", "block"], "extra", {}),
    ("Add", ["extra", "two"], "end", {}),
    ("Concat", ["zero", "zero", "end"], "ends", {"axis": 0}),
)


def _model(
    *, crop: str = "extra", stride: int = 1, middle: str = "Relu", length: int | str = "length"
) -> onnx.ModelProto:
    weights = np.random.default_rng(0).normal(size=(5, 4, 1, 3)).astype(np.float32)
    numbers = {"zero": 0, "two": 2, "four": 4, "block": BLOCK, "one": 1}
    constants = [onnx.numpy_helper.from_array(np.array([v]), n) for n, v in numbers.items()]
    constants += [
        onnx.numpy_helper.from_array(weights, "w"),
        onnx.numpy_helper.from_array(np.array([0, 0, 2]), "begins"),
        onnx.numpy_helper.from_array(np.array([0, 0, 0]), "none"),
    ]
    make = onnx.helper.make_node
    nodes = [make(kind, inputs, [output], **more) for kind, inputs, output, more in EXTRA]
    nodes += [
        make("Concat", ["zero", "zero", crop], ["crops"], axis=0),
        make(op_type(TO_BATCH, BLOCKS), ["x", "begins", "ends"], ["s"], domain=DOMAIN),
        make("Unsqueeze", ["s", "two"], ["u"]),
        make("Conv", ["u", "w"], ["c"], kernel_shape=[1, 3], strides=[1, stride]),
        make(middle, ["c"], ["m"], **({"axis": 0} if middle == "Softmax" else {})),
        make("Squeeze", ["m", "two"], ["q"]),
        make(op_type(TO_SPACE, BLOCKS), ["q", "none", "crops"], ["y"], domain=DOMAIN),
    ]
    info = onnx.helper.make_tensor_value_info
    shape = ["batch", 4, length]
    graph = onnx.helper.make_graph(nodes, "g", [info("x", 1, shape)], [info("y", 1, None)], initializer=constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    add_functions(model)
    return model


def _conv(model: ir.Model) -> dict[str, Any]:
    (node,) = [node for node in model.graph if node.op_type == "Conv"]
    return {name: list(value.as_ints()) for name, value in node.attributes.items() if name in ("pads", "dilations")}


def _answer(proto: onnx.ModelProto, x: NDArray[Any]) -> NDArray[Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


@pytest.mark.parametrize("size", [13, 14, 15])
def test_a_free_length_is_dilated_whatever_it_leaves_over(size: int) -> None:
    proto = _model()
    x = np.random.default_rng(1).normal(size=(2, 4, size)).astype(np.float32)
    expected = _answer(proto, x)
    model = prepare_graph(proto)
    assert _conv(model) == {"dilations": [1, 3], "pads": [0, 2, 0, 2]}
    assert not any(node.op_type in ("Pad", "Reshape", "Slice") for node in model.graph)
    np.testing.assert_allclose(GraphRunner(model).run({"x": x})["y"], expected, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [{"crop": "zero"}, {"crop": "one"}, {"stride": 2}, {"middle": "Softmax"}],
    ids=["cropped less", "cropped always by one", "stride", "mixes samples"],
)
def test_what_is_no_dilated_convolution_stays_and_still_computes(change: dict[str, Any]) -> None:
    proto = _model(**change)
    x = np.random.default_rng(1).normal(size=(1, 4, 14)).astype(np.float32)
    expected = _answer(proto, x)
    model = prepare_graph(proto)
    assert _conv(model).get("dilations", [1, 1]) == [1, 1]
    np.testing.assert_allclose(GraphRunner(model).run({"x": x})["y"], expected, atol=1e-5)


def test_a_fixed_length_is_dilated_too() -> None:
    proto = _model(length=14)
    assert _conv(prepare_graph(proto))["dilations"] == [1, 3]

"""TensorFlow's lists in what tf2onnx wrote."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.helper as oh
import onnx.numpy_helper
import onnx.reference
import pytest
from onnx import TensorProto

from edgeai_converters.sources.tensor_lists import write_tensor_lists
from edgeai_runtime.errors import UnsupportedOperationError


def model(element_shape: list[int] | int) -> onnx.ModelProto:
    """Return a loop that writes `x[i] + 1` into row i of a list, as tf2onnx leaves it."""
    info = oh.make_tensor_value_info
    body = oh.make_graph(
        [
            oh.make_node("Gather", ["x", "trip"], ["row"]),
            oh.make_node("Add", ["row", "one"], ["item"]),
            oh.make_node("TensorListSetItem", ["list", "trip", "item"], ["list_out"], name="set"),
            oh.make_node("Identity", ["goes_on"], ["again"]),
        ],
        "body",
        [info("trip", TensorProto.INT64, []), info("goes_on", TensorProto.BOOL, []), info("list", 0, [])],
        [info("again", TensorProto.BOOL, []), info("list_out", 0, [])],
    )
    nodes = [
        oh.make_node("TensorListReserve", ["element", "count"], ["empty"], name="reserve", element_dtype=1),
        oh.make_node("Loop", ["trips", "go", "empty"], ["written"], body=body),
        oh.make_node("TensorListStack", ["written", "element"], ["stacked"]),
        oh.make_node("TensorListGetItem", ["written", "second", "element"], ["y"]),
    ]
    constants = {
        "element": np.array(element_shape, np.int32),
        "count": np.array(3, np.int32),
        "trips": np.array(3, np.int64),
        "go": np.array(True),
        "one": np.array(1, np.float32),
        "second": np.array(1, np.int32),
    }
    graph = oh.make_graph(
        nodes,
        "g",
        [info("x", TensorProto.FLOAT, [3, "N", 2])],
        [info("stacked", TensorProto.FLOAT, [3, "N", 2]), info("y", TensorProto.FLOAT, ["N", 2])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)])


def test_lists_become_tensors() -> None:
    proto = model([-1, 2])
    assert write_tensor_lists(proto)
    x = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    stacked, second = onnx.reference.ReferenceEvaluator(proto).run(None, {"x": x})
    np.testing.assert_array_equal(stacked, x + 1)
    np.testing.assert_array_equal(second, x[1] + 1)


def test_list_has_no_type_of_its_own_any_more() -> None:
    proto = model([-1, 2])
    write_tensor_lists(proto)
    (body,) = [each.g for node in proto.graph.node for each in node.attribute if each.name == "body"]
    assert not body.input[2].HasField("type")


def test_model_without_lists_stays() -> None:
    proto = model([-1, 2])
    write_tensor_lists(proto)
    before = proto.SerializeToString()
    assert not write_tensor_lists(proto)
    assert proto.SerializeToString() == before


def test_list_of_tensors_of_unknown_rank_is_refused() -> None:
    with pytest.raises(UnsupportedOperationError, match="TensorListReserve"):
        write_tensor_lists(model(-1))

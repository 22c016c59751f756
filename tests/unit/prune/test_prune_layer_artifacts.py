"""Axes of a graph in numbers of channels, and its layers cut out as graphs of their own."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.shapes import static_shape
from edgeai_converters.prune.groups import find_groups, prunable
from edgeai_converters.prune.latency_measure import shapes_digest
from edgeai_converters.prune.layer_artifacts import Signature, find_layers, folded_nodes, layer_model
from edgeai_converters.prune.slice import slice_channels
from edgeai_converters.prune.widths_axes import AxisWidth, GraphAxes, elements, parameter_cost


def _network() -> ir.Model:
    text = """<ir_version: 9, opset_import: ["" : 18]> g (float[1,3,8,8] x) => (float[1,5] y) {
        a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) ar = Relu(a)
        d = Conv <pads = [1, 1, 1, 1], group = 8> (ar, w2, b2)
        c = Conv <strides = [2, 2]> (d, w3) e = Conv <strides = [2, 2]> (d, w4) t = Concat <axis = 1> (c, e)
        p = GlobalAveragePool(t) f = Flatten(p) y = Gemm <transB = 1> (f, w5, b5) }"""
    proto = onnx.parser.parse_model(text)
    sizes = {
        "w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 1, 3, 3), "b2": (8,), "w3": (6, 8, 1, 1), "w4": (4, 8, 1, 1),
        "w5": (5, 10), "b5": (5,),
    }  # fmt: skip
    random = np.random.default_rng(0)
    for name, size in sizes.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(random.normal(size=size).astype(np.float32), name))
    return prepare_graph(proto)


CUT = {"w1": 5, "w3": 4, "w4": 1}


def test_sizes_of_values_are_those_of_the_network_that_is_cut() -> None:
    model = _network()
    groups = find_groups(model)
    axes = GraphAxes(model, groups)
    smaller, _ = slice_channels(
        model, {each.id: range(CUT[each.id], each.size) for each in prunable(groups)}, groups=groups
    )
    after = ir.convenience.create_value_mapping(smaller.graph)
    for name, value in ir.convenience.create_value_mapping(model.graph).items():
        found = axes.of(value)
        assert found is not None
        assert elements(found, CUT) == np.prod(static_shape(after[name]) or 0), name


def test_parameters_are_those_of_the_network_that_is_cut() -> None:
    model = _network()
    groups = find_groups(model)
    smaller, _ = slice_channels(model, {each.id: range(CUT[each.id], each.size) for each in prunable(groups)})
    after = sum(
        value.const_value.size for value in smaller.graph.initializers.values() if value.const_value is not None
    )
    assert parameter_cost(model, groups).predict(CUT) == after


def test_layers_with_weights_are_found_with_what_their_widths_depend_on() -> None:
    model = _network()
    layers = list(find_layers(model, GraphAxes(model, find_groups(model))).values())
    assert [layer.signature.op for layer in layers] == ["Conv", "Conv", "Conv", "Conv", "Gemm"]
    first, deep, _, _, dense = layers
    assert (first.inputs, first.outputs.at(CUT)) == (AxisWidth(fixed=3), 5)
    assert deep.signature.groups == 0
    assert (dense.inputs.whole, dense.inputs.at(CUT), dense.outputs.at(CUT)) == (10, 5, 5)


def test_layers_that_differ_in_channels_only_share_a_signature() -> None:
    model = _network()
    layers = list(find_layers(model, GraphAxes(model, find_groups(model))).values())
    assert layers[2].signature == layers[3].signature
    assert layers[0].signature != layers[1].signature


def test_an_activation_behind_a_layer_belongs_to_it() -> None:
    model = _network()
    first = next(node for node in model.graph if node.op_type == "Conv")
    assert [node.op_type for node in folded_nodes(first)] == ["Relu"]


PADDED, TWICE = (("pads", (1, 1, 1, 1)),), (("strides", (2, 2)),)
WHOLE, LAST = (("sequence", 1),), (("linear_before_reset", 1), ("sequence", 0))
BOTH_WAYS = (("direction", "bidirectional"), ("sequence", 1))


@pytest.mark.parametrize(
    ("signature", "shape"),
    [
        (Signature(op="Conv", shape=(1, 0, 8, 8), kernel=(3, 3), attributes=PADDED), (1, 8, 8, 6)),
        (Signature(op="Conv", shape=(1, 0, 8), kernel=(3,), bias=False), (1, 6, 6)),
        (Signature(op="Conv", shape=(1, 0, 8, 8), kernel=(3, 3), groups=0, multiplier=2), (1, 6, 6, 8)),
        (Signature(op="Conv", shape=(1, 0, 8, 8), kernel=(1, 1), groups=2), (1, 8, 8, 6)),
        (Signature(op="ConvTranspose", shape=(1, 0, 4, 4), kernel=(2, 2), attributes=TWICE), (1, 8, 8, 6)),
        (Signature(op="Gemm", shape=(1, 0)), (1, 6)),
        (Signature(op="MatMul", shape=(1, 7, 0)), (1, 7, 6)),
        (Signature(op="LSTM", shape=(5, 1, 0), attributes=WHOLE), (5, 1, 6)),
        (Signature(op="GRU", shape=(5, 1, 0), attributes=LAST), (1, 6)),
        (Signature(op="LSTM", shape=(5, 1, 0), attributes=BOTH_WAYS), (5, 1, 12)),
    ],
    ids=lambda value: value.text if isinstance(value, Signature) else "",
)
def test_a_layer_stands_alone_with_the_channels_asked_for(signature: Signature, shape: tuple[int, ...]) -> None:
    model = layer_model(signature, 4, 6, channels_last=True)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert static_shape(model.graph.outputs[0]) == shape


def test_other_weights_leave_the_digest_of_the_shapes_alone() -> None:
    model, other, smaller = _network(), _network(), _network()
    weight = other.graph.initializers["w1"]
    assert weight.const_value is not None
    weight.const_value = ir.tensor(weight.const_value.numpy() + 1, name="w1")
    smaller, _ = slice_channels(smaller, {"w1": (0,)})
    assert shapes_digest(model) == shapes_digest(other)
    assert shapes_digest(model) != shapes_digest(smaller)

"""Channel groups and cuts over families of networks: what is cut is what was zero, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeai_converters.graph.boundary import draw_inputs, input_specs
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.prune.groups import ChannelGroup, find_groups, prunable
from edgeai_converters.prune.slice import Cut, places_of, slice_channels

pytestmark = pytest.mark.onnxruntime

# Sums of float32 in another order: the last bits differ.
FLOAT_TOLERANCE = 2e-5

Sizes = dict[str, tuple[int, ...]]


def _model(signature: str, body: str, sizes: Sizes, **constants: NDArray[Any]) -> ir.Model:
    """Parse a graph; constants with a size are drawn, others given."""
    random = np.random.default_rng(len(body))
    text = f'<ir_version: 9, opset_import: ["" : 20]> g {signature} {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    for name, size in sizes.items():
        fan_in = max(1, int(np.prod(size[1:])))
        array = random.normal(size=size).astype(np.float32) / np.float32(np.sqrt(fan_in))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return prepare_graph(proto)


def _ints(*values: int) -> NDArray[np.int64]:
    return np.asarray(values, np.int64)


def residual_cnn() -> ir.Model:
    """A stem, a residual block, a shortcut that pads its channels, a flattened end with places of the map."""
    return _model(
        "(float[N,3,8,8] x) => (float[N,5] y)",
        """a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) r = Relu(a)
        c = Conv <pads = [1, 1, 1, 1]> (r, w2, b2) cr = Relu(c) d = Conv <pads = [1, 1, 1, 1]> (cr, w3, b3)
        s = Add(r, d) sr = PRelu(s, slope) e = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (sr, w4, b4)
        h = Slice(sr, starts, ends, axes, steps) hp = Pad(h, pads) t = Add(e, hp) tr = Relu(t)
        p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (tr) f = Flatten(p) y = Gemm <transB = 1> (f, w5, b5)""",
        {
            "w1": (8, 3, 3, 3),
            "b1": (8,),
            "w2": (6, 8, 3, 3),
            "b2": (6,),
            "w3": (8, 6, 3, 3),
            "b3": (8,),
            "w4": (12, 8, 3, 3),
            "b4": (12,),
            "w5": (5, 48),
            "b5": (5,),
            "slope": (8, 1, 1),
        },
        starts=_ints(0, 0),
        ends=_ints(2**31, 2**31),
        axes=_ints(2, 3),
        steps=_ints(2, 2),
        pads=_ints(0, 2, 0, 0, 0, 2, 0, 0),
    )


def depthwise_squeeze() -> ir.Model:
    """An inverted bottleneck with a depthwise convolution of two per channel, and a gate (squeeze and excite)."""
    return _model(
        "(float[N,3,8,8] x) => (float[N,4] y)",
        """a = Conv(x, w1, b1) ar = Clip(a, zero, six)
        d = Conv <pads = [1, 1, 1, 1], group = 6> (ar, w2, b2) q = Sigmoid(d) dr = Mul(d, q)
        g = GlobalAveragePool(dr) g1 = Conv(g, w3, b3) g2 = Relu(g1) g3 = Conv(g2, w4, b4) gate = HardSigmoid(g3)
        e = Mul(dr, gate) c = Conv(e, w5) m = ReduceMean <keepdims = 0> (c, axes) y = Gemm <transB = 1> (m, w6, b6)""",
        {
            "w1": (6, 3, 1, 1),
            "b1": (6,),
            "w2": (12, 1, 3, 3),
            "b2": (12,),
            "w3": (4, 12, 1, 1),
            "b3": (4,),
            "w4": (12, 4, 1, 1),
            "b4": (12,),
            "w5": (7, 12, 1, 1),
            "w6": (4, 7),
            "b6": (4,),
        },
        axes=_ints(2, 3),
        zero=np.asarray(0, np.float32),
        six=np.asarray(6, np.float32),
    )


def dense_blocks() -> ir.Model:
    """Every layer reads all that came before, joined; one convolution has groups."""
    return _model(
        "(float[N,3,6,6] x) => (float[N,4] y)",
        """a = Conv(x, w1, b1) b = Conv <pads = [1, 1, 1, 1]> (a, w2, b2) j = Concat <axis = 1> (a, b) jr = Relu(j)
        c = Conv <pads = [1, 1, 1, 1], group = 2> (jr, w3, b3) k = Concat <axis = 1> (jr, c)
        n = InstanceNormalization(k, s, o)        d = ConvTranspose <strides = [2, 2]> (n, w4, b4)
        u = Resize <mode = "nearest"> (d, , scales) v = Concat <axis = 1> (d, d)
        g = GlobalAveragePool(v) h = GlobalMaxPool(u) f = Flatten(g) e = Flatten(h) i = Concat <axis = 1> (f, e)
        y = Gemm <transB = 1> (i, w5, b5)""",
        {
            "w1": (6, 3, 1, 1),
            "b1": (6,),
            "w2": (4, 6, 3, 3),
            "b2": (4,),
            "w3": (6, 5, 3, 3),
            "b3": (6,),
            "s": (16,),
            "o": (16,),
            "w4": (16, 5, 2, 2),
            "b4": (5,),
            "w5": (4, 15),
            "b5": (4,),
        },
        scales=np.asarray([1, 1, 2, 2], np.float32),
    )


def detector() -> ir.Model:
    """A block that splits, works on one half and joins; one head reads a slice, another is an output."""
    return _model(
        "(float[N,3,8,8] x) => (float[N,4,8,8] boxes, float[N,16,3] scores)",
        """a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) q = Sigmoid(a) s = Mul(a, q)
        left, right = Split <axis = 1> (s, parts)
        c = Conv <pads = [1, 1, 1, 1]> (right, w2, b2) r = Add(c, right) j = Concat <axis = 1> (left, r, right)
        n = Conv(j, w3, b3) boxes = Conv(n, w4, b4) h = Slice(n, start, end, one)
        p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (h) o = Conv(p, w5, b5)
        t = Transpose <perm = [0, 2, 3, 1]> (o) m = Reshape(t, shape) scores = Sigmoid(m)""",
        {
            "w1": (10, 3, 3, 3),
            "b1": (10,),
            "w2": (4, 4, 3, 3),
            "b2": (4,),
            "w3": (8, 14, 1, 1),
            "b3": (8,),
            "w4": (4, 8, 1, 1),
            "b4": (4,),
            "w5": (3, 5, 1, 1),
            "b5": (3,),
        },
        parts=_ints(6, 4),
        start=_ints(2),
        end=_ints(7),
        one=_ints(1),
        shape=_ints(0, 16, 3),
    )


def encoder() -> ir.Model:
    """One block of a transformer with four heads of three, a norm before each part, and a gated feed-forward part."""
    return _model(
        "(float[N,7,5] x) => (float[N,4] y)",
        """e = MatMul(x, wi) e0 = Add(e, place) n1 = LayerNormalization(e0, s1, o1)
        q0 = MatMul(n1, wq) q1 = Add(q0, bq) k1 = MatMul(n1, wk) v0 = MatMul(n1, wv) v1 = Add(v0, bv)
        q2 = Reshape(q1, heads) k2 = Reshape(k1, heads) v2 = Reshape(v1, heads)
        q = Transpose <perm = [0, 2, 1, 3]> (q2) k = Transpose <perm = [0, 2, 3, 1]> (k2)
        v = Transpose <perm = [0, 2, 1, 3]> (v2)
        l0 = MatMul(q, k) l1 = Mul(l0, scale) p = Softmax(l1) c0 = MatMul(p, v)
        c1 = Transpose <perm = [0, 2, 1, 3]> (c0)
        c = Reshape(c1, joined) o0 = MatMul(c, wo) o = Add(o0, bo) r = Add(e0, o)
        n2 = LayerNormalization(r, s2, o2) u0 = MatMul(n2, wu) u1, u2 = Split <axis = -1, num_outputs = 2> (u0)
        u3 = Gelu(u2) u = Mul(u1, u3) d = MatMul(u, wd)
        t = Add(r, d) m = ReduceMean <keepdims = 0> (t, one) y = Gemm(m, wh, bh)""",
        {
            "wi": (5, 10),
            "place": (7, 10),
            "s1": (10,),
            "o1": (10,),
            "s2": (10,),
            "o2": (10,),
            "wq": (10, 12),
            "bq": (12,),
            "wk": (10, 12),
            "wv": (10, 12),
            "bv": (12,),
            "wo": (12, 10),
            "bo": (10,),
            "wu": (10, 16),
            "wd": (8, 10),
            "wh": (10, 4),
            "bh": (4,),
        },
        heads=_ints(0, 7, 4, 3),
        joined=_ints(-1, 7, 12),
        scale=np.asarray(0.5, np.float32),
        one=_ints(1),
    )


def single_head() -> ir.Model:
    """Attention without heads: queries and keys are only ever multiplied with each other."""
    return _model(
        "(float[N,7,5] x) => (float[N,7,4] y)",
        """q0 = MatMul(x, wq) q1 = Add(q0, bq) k1 = MatMul(x, wk) v = MatMul(x, wv) q = Tanh(q1)
        k = Transpose <perm = [0, 2, 1]> (k1) l = MatMul(q, k) p = Softmax(l) c = MatMul(p, v) y = MatMul(c, wo)""",
        {"wq": (5, 6), "bq": (6,), "wk": (5, 6), "wv": (5, 8), "wo": (8, 4)},
    )


def recurrent() -> ir.Model:
    """An embedding, an LSTM of both directions, a GRU, a dense end."""
    return _model(
        "(int64[T,N] x) => (float[N,4] y)",
        """e = Gather(table, x)
        a, ah, ac = LSTM <hidden_size = 6, direction = "bidirectional"> (e, w1, r1, b1)
        t = Transpose <perm = [0, 2, 1, 3]> (a) j = Reshape(t, joined)
        g, gh = GRU <hidden_size = 5, linear_before_reset = 1> (j, w2, r2, b2) s = Squeeze(gh, zero)
        y = Gemm(s, w3, b3)""",
        {
            "table": (11, 8),
            "w1": (2, 24, 8),
            "r1": (2, 24, 6),
            "b1": (2, 48),
            "w2": (1, 15, 12),
            "r2": (1, 15, 5),
            "b2": (1, 30),
            "w3": (5, 4),
            "b3": (4,),
        },
        joined=_ints(0, 0, 12),
        zero=_ints(0),
    )


FAMILIES: dict[str, Callable[[], ir.Model]] = {
    "residual_cnn": residual_cnn,
    "depthwise_squeeze": depthwise_squeeze,
    "dense_blocks": dense_blocks,
    "detector": detector,
    "encoder": encoder,
    "single_head": single_head,
    "recurrent": recurrent,
}
FEWEST_GROUPS = {
    "residual_cnn": 3,
    "depthwise_squeeze": 3,
    "dense_blocks": 3,
    "detector": 4,
    "encoder": 2,
    "single_head": 2,
    "recurrent": 3,
}
FREE_SIZES = {"N": 3, "T": 6}


def _inputs(model: ir.Model) -> dict[str, NDArray[Any]]:
    if model.graph.inputs[0].dtype == ir.DataType.INT64:
        return {"x": np.random.default_rng(3).integers(0, 11, size=(6, 3))}
    return draw_inputs(input_specs(model), n=3, seed=3)


def _exact(groups: tuple[ChannelGroup, ...]) -> list[ChannelGroup]:
    return [group for group in prunable(groups) if not group.coupled]


def _with_zero_channels(model: ir.Model, cut: Cut, groups: Sequence[ChannelGroup]) -> ir.Model:
    """Return a copy of the same shapes that computes what the sliced one does: the channels of a cut are zero."""
    zeroed = {
        (member.value, member.axis)
        for group in groups
        for member in group.of_kind("produced", "read", "added", "state")
    }
    model = model.clone()
    for (name, axis), places in places_of(cut, groups).items():
        value = model.graph.initializers.get(name)
        if value is not None and value.const_value is not None and (name, axis) in zeroed:
            array = value.const_value.numpy().copy()
            np.moveaxis(array, axis, 0)[places] = 0
            value.const_value = ir.tensor(array, name=name)
    return model


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_cutting_zero_channels_changes_no_output(family: str, data: st.DataObject) -> None:
    model = FAMILIES[family]()
    groups = find_groups(model)
    cut = {
        group.id: data.draw(st.sets(st.integers(0, group.size - 1), max_size=group.size - 1), label=group.id)
        for group in _exact(groups)
    }
    zeroed = _with_zero_channels(model, cut, groups)
    smaller, changed = slice_channels(model, cut, groups=groups)

    assert changed == any(cut.values())
    wanted, found = GraphRunner(zeroed).run(_inputs(model)), GraphRunner(smaller).run(_inputs(model))
    for name, array in wanted.items():
        assert found[name] == pytest.approx(array, rel=FLOAT_TOLERANCE, abs=FLOAT_TOLERANCE)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_of_a_family_is_found(family: str) -> None:
    groups = find_groups(FAMILIES[family]())
    assert len(_exact(groups)) >= FEWEST_GROUPS[family], {group.id: group.reason for group in groups}
    produced = [member.value for group in groups for member in group.of_kind("produced", "state")]
    weights = {name for name in FAMILIES[family]().graph.initializers if str(name).startswith("w")}
    assert weights <= set(produced) | {"w2"}  # the depthwise weight of a family hands channels through


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cut_graph_is_smaller_and_can_be_cut_again(family: str) -> None:
    model = FAMILIES[family]()
    cut = {group.id: [0] for group in _exact(find_groups(model))}
    once, _ = slice_channels(model, cut)
    groups = find_groups(once)
    assert {group.id: group.size + 1 for group in groups if group.id in cut} == {
        group.id: group.size for group in find_groups(model) if group.id in cut
    }
    slice_channels(once, {group.id: [0] for group in _exact(groups)})
    assert {value.name for value in once.graph.inputs} == {value.name for value in model.graph.inputs}

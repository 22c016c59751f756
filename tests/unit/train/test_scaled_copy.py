"""A narrower copy of a graph: its sizes, what is drawn into it, and that it is of use at any depth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.train.fresh_weights import draw_weights
from edgeai_converters.train.scaled_copy import scaled_copy
from edgeai_runtime.errors import ModelError, UsageError

pytestmark = pytest.mark.onnxruntime

WIDTH = 16


def _graph(body: str, inputs: str, outputs: str, **shapes: Any) -> ir.Model:
    text = f'<ir_version: 9, opset_import: ["" : 20]> g ({inputs}) => ({outputs}) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, given in shapes.items():
        array = random.normal(size=given).astype(np.float32) if isinstance(given, tuple) else np.asarray(given)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return prepare_graph(proto)


def _residual(blocks: int, *, width: int = WIDTH) -> ir.Model:
    """A network of residual blocks of two dense layers, without any normalization."""
    lines, shapes = ["v0 = Gemm(x, w, b)"], {"w": (8, width), "b": (width,)}
    for i in range(blocks):
        lines.append(f"a{i} = Relu(v{i}) c{i} = Gemm(a{i}, w{i}, b{i}) d{i} = Relu(c{i}) e{i} = Gemm(d{i}, u{i}, t{i})")
        lines.append(f"v{i + 1} = Add(e{i}, v{i})")
        shapes |= {f"w{i}": (width, width), f"b{i}": (width,), f"u{i}": (width, width), f"t{i}": (width,)}
    lines.append(f"y = Gemm(v{blocks}, z, q)")
    shapes |= {"z": (width, 3), "q": (3,)}
    return _graph(" ".join(lines), "float[N,8] x", "float[N,3] y", **shapes)


def _recurrent() -> ir.Model:
    return _graph(
        "h, last = LSTM <hidden_size = 12> (x, w, r, b) s = Squeeze(last, axis) y = MatMul(s, z)",
        "float[6,N,5] x",
        "float[N,3] y",
        w=(1, 48, 5),
        r=(1, 48, 12),
        b=(1, 96),
        z=(12, 3),
        axis=np.array([0]),
    )


def _array(model: ir.Model, name: str) -> NDArray[Any]:
    constant = model.graph.initializers[name].const_value
    assert constant is not None
    return constant.numpy()


def _weights(model: ir.Model) -> int:
    return sum(array.size for name in model.graph.initializers if (array := _array(model, name)).dtype == np.float32)


@pytest.mark.parametrize(("width", "kept"), [(0.5, 8), (0.25, 4), (1.0, 16), (0.01, 1)])
def test_every_layer_has_its_share_of_channels(width: float, kept: int) -> None:
    copy = scaled_copy(_residual(2), width=width)
    assert _array(copy, "w").shape == (8, kept)
    assert _array(copy, "w1").shape == (kept, kept)
    assert _array(copy, "z").shape == (kept, 3)


def test_half_the_width_is_about_a_quarter_of_the_weights() -> None:
    model = _residual(6)
    assert _weights(scaled_copy(model)) / _weights(model) == pytest.approx(0.25, abs=0.04)


def test_widths_are_rounded_up_to_a_multiple() -> None:
    assert _array(scaled_copy(_residual(1), width=0.4, multiple_of=4), "w0").shape == (8, 8)


def test_hidden_units_of_a_recurrent_layer_are_channels_too() -> None:
    copy = scaled_copy(_recurrent())
    assert [_array(copy, name).shape for name in ("w", "r", "b")] == [(1, 24, 5), (1, 24, 6), (1, 48)]
    outputs = GraphRunner(copy).run({"x": np.ones((6, 2, 5), np.float32)})
    assert outputs["y"].shape == (2, 3)


def test_a_copy_that_is_not_fresh_keeps_the_largest_channels_as_they_are() -> None:
    model = _graph("a = MatMul(x, w) b = Relu(a) y = MatMul(b, v)", "float[N,3] x", "float[N,2] y", w=(3, 4), v=(4, 2))
    scale = np.array([1.0, 9.0, 0.1, 3.0], np.float32)
    model.graph.initializers["w"].const_value = ir.tensor(np.tile(scale, (3, 1)), name="w")
    copy = scaled_copy(model, fresh=False)
    assert np.array_equal(_array(copy, "w"), np.tile(scale[[1, 3]], (3, 1)))
    assert np.array_equal(_array(copy, "v"), _array(model, "v")[[1, 3]])


def test_fresh_weights_differ_from_the_source_and_depend_on_the_seed_alone() -> None:
    model = _residual(1)
    first, again, other = (scaled_copy(model, width=1.0, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(_array(first, "w0"), _array(again, "w0"))
    assert not np.array_equal(_array(first, "w0"), _array(other, "w0"))
    assert not np.array_equal(_array(first, "w0"), _array(model, "w0"))


def test_the_given_graph_is_not_changed() -> None:
    model = _residual(1)
    before = {name: _array(model, name).copy() for name in model.graph.initializers}
    scaled_copy(model)
    scaled_copy(model, width=1.0)
    assert all(np.array_equal(_array(model, name), array) for name, array in before.items())


def test_spread_follows_the_fan_in_and_what_comes_next() -> None:
    model = _graph(
        "p = MatMul(x, i) a = Conv(p, w, b) r = Relu(a) c = Conv(r, v) f = ReduceMean <keepdims = 0> (c, axes)"
        " y = MatMul(f, z)",
        "float[N,4,9,9] x",
        "float[N,5] y",
        i=(9, 9),
        w=(256, 4, 3, 3),
        b=(256,),
        v=(64, 256, 1, 1),
        z=(64, 5),
        axes=np.array([2, 3]),
    )
    drawn = draw_weights(model)
    assert _array(drawn, "w").std() == pytest.approx(math.sqrt(2 / 36), rel=0.05)
    assert _array(drawn, "v").std() == pytest.approx(math.sqrt(1 / 256), rel=0.05)
    assert not _array(drawn, "b").any()


def test_a_layer_that_reads_the_input_keeps_the_spread_it_had() -> None:
    model = _graph(
        "a = MatMul(x, w) b = Relu(a) y = MatMul(b, v)", "float[N,9] x", "float[N,2] y", w=(9, 99), v=(99, 2)
    )
    model.graph.initializers["w"].const_value = ir.tensor(_array(model, "w") / 255, name="w")
    assert _array(draw_weights(model), "w").std() == pytest.approx(1 / 255, rel=0.1)


def test_recurrent_weights_are_orthogonal_and_the_forget_gate_is_open() -> None:
    drawn = draw_weights(_recurrent())
    blocks = _array(drawn, "r")[0].reshape(4, 12, 12)
    assert np.allclose(blocks @ blocks.transpose(0, 2, 1), np.eye(12), atol=1e-5)
    biases = _array(drawn, "b")[0].reshape(8, 12)
    assert biases[2].tolist() == [1.0] * 12
    assert not np.delete(biases, 2, axis=0).any()


def test_only_the_last_layer_of_a_residual_branch_is_made_small() -> None:
    drawn = draw_weights(_residual(4, width=96))
    assert _array(drawn, "w2").std() == pytest.approx(math.sqrt(2 / 96), rel=0.05)
    assert _array(drawn, "u2").std() == pytest.approx(math.sqrt(2 / 96) / 2, rel=0.05)


@pytest.mark.parametrize("blocks", [1, 40])
def test_outputs_keep_their_size_at_any_depth(blocks: int) -> None:
    model = _residual(blocks, width=64)
    x = np.random.default_rng(5).normal(size=(64, 8)).astype(np.float32)
    model.graph.initializers["w"].const_value = ir.tensor(_array(model, "w") / 3, name="w")
    spread = GraphRunner(draw_weights(model)).run({"x": x})["y"].std()
    assert 0.3 < spread < 5, "with full branches 40 blocks give 1e5 and more"


@pytest.mark.parametrize("width", [0.0, -0.5, 1.5])
def test_a_width_that_is_no_share_is_refused(width: float) -> None:
    with pytest.raises(UsageError, match=f"above 0 and up to 1. Received: {width}"):
        scaled_copy(_residual(1), width=width)


def test_a_graph_without_anything_to_cut_is_refused() -> None:
    model = _graph("y = MatMul(x, w)", "float[N,8] x", "float[N,3] y", w=(8, 3))
    with pytest.raises(ModelError, match="No channel of this graph can be cut"):
        scaled_copy(model)

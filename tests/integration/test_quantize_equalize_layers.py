"""Equalization: exact in float, and what makes 8 bits enough for channels of wildly different size."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.channel_scaling import find_sites
from edgeai_converters.quantize.equalize_layers import equalize_layers
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES

pytestmark = pytest.mark.onnxruntime

# Weights are stored as float32 after the division: the last bits differ.
FLOAT_TOLERANCE = 1e-5

SPREAD = np.logspace(-1.5, 1.5, 8)  # a thousand times between the smallest and the largest channel


def _model(body: str, output: str, **constants: NDArray[Any]) -> ir.Model:
    text = f'<ir_version: 9, opset_import: ["" : 20]> g (float[N,3,8,8] x) => ({output}) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array, np.float32), name))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _separable(activation: str = "ar = Relu(a)", spread: NDArray[Any] = SPREAD) -> ir.Model:
    """A convolution whose channels differ in size, a depthwise one that undoes it, a dense end."""
    random = np.random.default_rng(0)
    order = random.permutation(8)
    wide = spread[order].reshape(-1, 1, 1, 1)
    return _model(
        f"""a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) {activation}
        d = Conv <pads = [1, 1, 1, 1], group = 8> (ar, w2, b2) dr = Relu(d)
        p = Conv(dr, w3, b3) pr = Relu(p) g = GlobalAveragePool(pr) f = Flatten(g)
        y = Gemm <transB = 1> (f, w4, b4)""",
        "float[N,5] y",
        w1=random.normal(size=(8, 3, 3, 3)) / 5 * wide,
        b1=random.normal(size=8) * 0.1 * wide.reshape(-1),
        w2=random.normal(size=(8, 1, 3, 3)) / 3 / wide,
        b2=random.normal(size=8) * 0.1,
        w3=random.normal(size=(8, 8, 1, 1)) / 3,
        b3=random.normal(size=8) * 0.1,
        w4=random.normal(size=(5, 8)) / 3,
        b4=random.normal(size=5) * 0.1,
    )


def _samples(n: int = 32) -> NDArray[np.float32]:
    return np.random.default_rng(7).normal(size=(n, 3, 8, 8)).astype(np.float32)


def _maxima(model: ir.Model) -> dict[str, tuple[float, ...]]:
    return collect_ranges(model, [{"x": _samples()}], methods=("minmax",), channels=True).channel_maxima


def _int8_error(model: ir.Model, wanted: NDArray[Any], *, scheme: str = "tflite-int8") -> float:
    ranges = collect_ranges(model, [{"x": _samples()}], methods=("minmax",)).tensors["minmax"]
    found = GraphRunner(insert_qdq(model, plan_quantization(model, ranges, SCHEMES[scheme]))[0]).run({"x": _samples()})
    return float(np.linalg.norm(found["y"] - wanted) / np.linalg.norm(wanted))


def _run(model: ir.Model) -> NDArray[Any]:
    return GraphRunner(model).run({"x": _samples()})["y"]


def _branches() -> ir.Model:
    random = np.random.default_rng(1)
    return _model(
        """a = Conv(x, w1, b1) ar = Relu(a) b = Conv(x, w2) bl = LeakyRelu <alpha = 0.2> (b)
        c = Concat <axis = 1> (ar, bl) m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c)
        p = Conv(m, w3, b3) q = Conv(m, w4) s = Add(p, q) sr = Relu(s)
        f = Flatten(sr) y = Gemm(f, w5, b5)""",
        "float[N,5] y",
        w1=random.normal(size=(4, 3, 1, 1)) * 30, b1=random.normal(size=4), w2=random.normal(size=(4, 3, 1, 1)),
        w3=random.normal(size=(6, 8, 1, 1)), b3=random.normal(size=6), w4=random.normal(size=(6, 8, 1, 1)),
        w5=random.normal(size=(96, 5)) * np.repeat(np.logspace(-1, 1, 6), 16)[:, None], b5=random.normal(size=5),
    )  # fmt: skip


@pytest.mark.parametrize("measured", [True, False], ids=["activations", "weights"])
@pytest.mark.parametrize("make", [_separable, _branches])
def test_the_float_graph_computes_the_same(make: Any, measured: bool) -> None:
    model = make()
    equal, changed = equalize_layers(model, _maxima(model) if measured else None)
    assert changed
    wanted = _run(model)
    assert np.abs(_run(equal) - wanted).max() < FLOAT_TOLERANCE * np.abs(wanted).max()


def test_a_depthwise_network_with_channels_spread_a_thousand_times_is_repaired() -> None:
    model = _separable()
    wanted = _run(model)
    before = _int8_error(model, wanted)
    after = _int8_error(equalize_layers(model, _maxima(model))[0], wanted)
    assert before > 0.05
    assert after < before / 4


def test_a_network_that_has_alike_channels_is_not_made_worse() -> None:
    model = _separable(spread=np.ones(8))
    wanted = _run(model)
    assert _int8_error(equalize_layers(model, _maxima(model))[0], wanted) < 1.1 * _int8_error(model, wanted)


def test_concatenated_branches_of_unlike_ranges_are_made_alike() -> None:
    model = _branches()
    equal, _ = equalize_layers(model, _maxima(model))
    before, after = (np.array(_maxima(one)["m"]) for one in (model, equal))
    assert after.max() / after.min() < 0.3 * before.max() / before.min()


def test_weights_of_both_layers_get_alike_ranges_without_samples() -> None:
    model = _separable()
    equal, _ = equalize_layers(model)
    w1, w2 = (np.abs(_constant(equal, name)).max(axis=(1, 2, 3)) for name in ("w1", "w2"))
    assert w1 == pytest.approx(w2, rel=0.3)


@pytest.mark.parametrize(
    "activation",
    [
        "ar = Clip(a, zero, six)",
        "ar = HardSwish(a)",
        "h = HardSigmoid(a) ar = Mul(a, h)",
        "ar = Softmax <axis = 1> (a)",
    ],
)
def test_nothing_moves_through_what_is_not_homogeneous(activation: str) -> None:
    model = _separable(activation)
    for name, number in {"zero": 0.0, "six": 6.0}.items():
        value = ir.Value(name=name, const_value=ir.tensor(np.float32(number), name=name))
        if "Clip" in activation:
            model.graph.register_initializer(value)
            node = next(node for node in model.graph if node.op_type == "Clip")
            node.replace_input_with(1 if name == "zero" else 2, value)
    assert "ar" not in {site.value.name for site in find_sites(model)}


def test_a_value_that_a_residual_sum_reads_too_is_left_alone() -> None:
    random = np.random.default_rng(2)
    model = _model(
        "a = Conv(x, w1) ar = Relu(a) b = Conv(ar, w2) y = Add(ar, b)",
        "float[N,8,8,8] y",
        w1=random.normal(size=(8, 3, 1, 1)) * SPREAD.reshape(-1, 1, 1, 1), w2=random.normal(size=(8, 8, 1, 1)),
    )  # fmt: skip
    assert equalize_layers(model, _maxima(model)) == (model, False)


def test_the_graph_given_is_not_changed() -> None:
    model = _separable()
    before = ir.to_proto(model).SerializeToString()
    equalize_layers(model, _maxima(model))
    equalize_layers(model)
    assert ir.to_proto(model).SerializeToString() == before


def _constant(model: ir.Model, name: str) -> NDArray[Any]:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()

"""Factors are chosen where arithmetic predicts a gain, and as large as it takes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.quantize.channel_scaling import Site, find_sites
from edgeai_converters.quantize.factor_choice import balance, choose_factors, rounding_error


@pytest.fixture(params=["Conv <group = 8> (r, w)", "Conv (r, v)"], ids=["depthwise", "dense"])
def site(request: pytest.FixtureRequest) -> Site:
    proto = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 20]> g (float[N,3,4,4] x) => (float[N,8,4,4] y) '
        f"{{ a = Conv(x, u) r = Relu(a) y = {request.param} }}"
    )
    random = np.random.default_rng(0)
    for name, shape in {"u": (8, 3, 1, 1), "w": (8, 1, 1, 1), "v": (8, 8, 1, 1)}.items():
        array = random.choice([-1.0, 1.0], size=shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    (found,) = find_sites(ir.from_proto(onnx.shape_inference.infer_shapes(proto)))
    return found


def test_channels_of_alike_size_are_left(site: Site) -> None:
    assert choose_factors(site, np.linspace(1.0, 1.3, 8)) is None


def test_one_channel_far_above_the_others_is_brought_down(site: Site) -> None:
    maxima = np.ones(8)
    maxima[3] = 100.0
    factors = choose_factors(site, maxima)
    assert factors is not None
    assert factors[3] > 3 * factors[0]
    assert rounding_error(site, maxima, factors) < 0.8 * rounding_error(site, maxima, np.ones(8))


def test_channels_that_are_always_zero_get_no_factor() -> None:
    factors = balance(np.array([0.0, 4.0, 1.0]), np.array([1.0, 1.0, 1.0]), 1.0, 0.0)
    assert factors == pytest.approx([1.0, 2.0, 0.5])

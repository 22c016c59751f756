"""Statistics per channel: exact over all arrays, along the axis that the layer's weights sum over."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.calibrate.channel_statistics import ChannelStatistics, channel_values


def test_means_and_maxima_are_over_all_arrays_and_positions() -> None:
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(n, 3, 4, 4)) for n in (2, 5)]
    statistics = ChannelStatistics(1)
    for array in arrays:
        statistics.add(array)
    whole = np.concatenate(arrays)
    assert statistics.means == pytest.approx(whole.mean(axis=(0, 2, 3)))
    assert statistics.maxima == pytest.approx(np.abs(whole).max(axis=(0, 2, 3)))


def test_a_channel_that_is_only_negative_has_its_magnitude_as_maximum() -> None:
    statistics = ChannelStatistics(-1)
    statistics.add(np.array([[-3.0, 1.0]]))
    assert statistics.maxima == (3.0, 1.0)


def test_infinite_values_count_as_zero() -> None:
    statistics = ChannelStatistics(-1)
    statistics.add(np.array([[np.inf, 1.0], [2.0, np.nan]]))
    assert statistics.maxima == (2.0, 1.0)
    assert statistics.means == (1.0, 0.5)


def test_what_layers_read_and_answer_has_the_axis_of_its_reader() -> None:
    proto = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 20]> g (float[N,4,5,5] x, float[N,4] u) => (float[N,2,5,3] y)'
        "{ a = Conv(x, w) y = MatMul(a, v) z = MatMul(u, t) }"
    )
    for name, shape in {"w": (2, 4, 1, 1), "v": (5, 3), "t": (4, 2)}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name))
    found = {value.name: axis for value, axis in channel_values(ir.from_proto(proto))}
    assert found == {"x": 1, "a": -1, "y": -1, "u": -1, "z": -1}

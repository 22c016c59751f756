"""Small graphs for the planner, written as text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest

Build = Callable[..., ir.Model]


@pytest.fixture
def build() -> Build:
    """Return a function that makes a model of a graph in ONNX text; `constants` are filled with seeded normals.

    `build("y = Conv(x, w)", inputs="float[N,3,8,8] x", outputs="float[N,4,8,8] y", w=(4, 3, 1, 1))`; an array
    instead of a shape stands as it is.
    """

    def make(body: str, *, inputs: str, outputs: str, **constants: tuple[int, ...] | np.ndarray) -> ir.Model:
        text = f'<ir_version: 9, opset_import: ["" : 20]> g ({inputs}) => ({outputs}) {{ {body} }}'
        proto = onnx.parser.parse_model(text)
        random = np.random.default_rng(0)
        for name, given in constants.items():
            array = given if isinstance(given, np.ndarray) else random.normal(size=given).astype(np.float32)
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))

    return make


@pytest.fixture
def ranges_of() -> Callable[..., dict[str, tuple[float, float]]]:
    """Return a function that gives every float value of a graph the range (-1, 1), or what is asked for by name."""

    def make(model: ir.Model, **wanted: tuple[float, float]) -> dict[str, tuple[float, float]]:
        values = ir.convenience.create_value_mapping(model.graph)
        return {n: (-1.0, 1.0) for n, v in values.items() if v.const_value is None} | wanted

    return make

"""Small graphs written as text, and the check that a pass keeps what is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.graph.boundary import draw_inputs, input_specs
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.shapes import infer_shapes

Build = Callable[..., ir.Model]
Apply = Callable[..., tuple[dict[str, int], bool]]

ROUNDING = 1e-5
"""Passes compute constants in float64 and store float32; sums are taken in another order."""


def _make(body: str, *, inputs: str, outputs: str, opset: int = 18, **constants: Any) -> ir.Model:
    text = f'<ir_version: 8, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, given in constants.items():
        array = given if isinstance(given, np.ndarray) else random.normal(size=given).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return prepare_graph(proto)


@pytest.fixture
def build() -> Build:
    """Return a function that makes a prepared model of ONNX text; constants are arrays, or shapes of normals."""
    return _make


@pytest.fixture
def apply() -> Apply:
    """Return a function that applies a pass and checks that names, shapes and numbers of the outputs stay.

    It answers how often each operator occurs afterwards, and whether the pass changed something.
    """

    def run(model: ir.Model) -> dict[str, NDArray[Any]]:
        return GraphRunner(model).run(draw_inputs(input_specs(model), n=2, seed=0))

    def check(one: Callable[[ir.Model], tuple[ir.Model, bool]], model: ir.Model) -> tuple[dict[str, int], bool]:
        before, names = run(model), [value.name for value in model.graph.outputs]
        model, changed = one(model)
        infer_shapes(model)
        assert [value.name for value in model.graph.outputs] == names
        after = run(model)
        for name, expected in before.items():
            assert after[name].shape == expected.shape
            scale = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(after[name] / scale, expected / scale, atol=ROUNDING)
        return dict(Counter(node.op_type for node in model.graph)), changed

    return check

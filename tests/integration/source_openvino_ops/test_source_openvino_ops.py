"""Each operation the OpenVINO reader has: built with OpenVINO's own functions, read, and held against OpenVINO."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import require_parity
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.sources.openvino_ir.graph import read_graph
from edgeai_converters.sources.openvino_ir.op_table import READERS
from tests.integration.source_openvino_ops.building import model_of, openvino
from tests.integration.source_openvino_ops.cases_layers import LAYERS
from tests.integration.source_openvino_ops.cases_shapes import SHAPES
from tests.integration.source_openvino_ops.cases_values import VALUES

pytestmark = [pytest.mark.openvino, pytest.mark.onnxruntime]

MAX_REL = 1e-4  # single operations in float32: rounding only, but for the polynomial kernels of the CPU plugin
MIN_COSINE = 0.999999

CASES = {**VALUES, **LAYERS, **SHAPES}


def draw_for(model: Any) -> list[Any]:
    random = np.random.default_rng(3)
    arrays = []
    for port in model.inputs:
        shape = [3 if dim.is_dynamic else dim.get_length() for dim in port.get_partial_shape()]
        dtype = np.dtype(port.get_element_type().to_dtype())
        values = random.integers(0, 2, shape) if dtype == np.bool_ else random.normal(size=shape) * 3
        if dtype == np.int64:
            values = random.integers(-2, 4, shape)
        arrays.append((random.integers(0, 255, shape) if dtype == np.uint8 else values).astype(dtype))
    return arrays


@pytest.mark.parametrize("name", CASES)
def test_operation_answers_as_openvino_does(name: str) -> None:
    model = model_of(CASES[name]())
    arrays = draw_for(model)
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    expected = compiled(arrays)
    found = read_graph(model, where=name)
    assert [each.name for each in found.inputs] == [port.get_node().get_friendly_name() for port in model.inputs]
    runner = GraphRunner(prepare_graph(found.proto))
    answers = runner.run(dict(zip((each.name for each in found.inputs), arrays, strict=True)))
    reference = {each.name: expected[i] for i, each in enumerate(found.outputs)}
    for key, array in reference.items():
        assert (answers[key].dtype, answers[key].shape) == (array.dtype, array.shape)
    require_parity(reference, answers, what=name, max_rel=MAX_REL, min_cosine=MIN_COSINE)


def test_every_operation_of_the_table_has_a_case() -> None:
    built = {node.get_type_name() for name in CASES for node in model_of(CASES[name]()).get_ops()}
    elsewhere = {"Assign", "ReadValue"}  # refused: see the tests of the source
    elsewhere |= {"If", "Loop", "TensorIterator"}  # see the tests of loops
    assert set(READERS) - built == elsewhere

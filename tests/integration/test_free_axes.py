"""Networks with a free batch and one more free axis, through files: TFLite and OpenVINO, in both directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest

import edgeai_runtime
from edgeai_converters.emit.table import emit
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.sources.table import import_source
from edgeai_runtime.manifest import Format

pytestmark = [pytest.mark.litert, pytest.mark.openvino]


@pytest.fixture(scope="module")
def network() -> Any:
    """Two convolutions over time, the second dilated, of a free length."""
    random = np.random.default_rng(0)
    weights = {
        "w1": random.normal(size=(8, 6, 3)) / 4,
        "w2": random.normal(size=(8, 8, 3)) / 4,
        "w3": random.normal(size=(8, 4)),
    }
    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["signal", "w1"], ["a"], auto_pad="SAME_UPPER"),
        make("Relu", ["a"], ["r"]),
        make("Conv", ["r", "w2"], ["b"], dilations=[2], pads=[2, 2]),
        make("Add", ["r", "b"], ["s"]),
        make("GlobalAveragePool", ["s"], ["g"]),
        make("Flatten", ["g"], ["f"]),
        make("MatMul", ["f", "w3"], ["scores"]),
    ]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [info("signal", 1, ["batch", 6, "length"])],
        [info("scores", 1, ["batch", 4])],
        initializer=[onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("format", ["tflite", "onnx", "openvino"])
def test_every_format_takes_any_batch_and_length(network: Any, format: Format, tmp_path: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    model, _ = simplify(prepare_graph(copy))
    artifact = emit(model, format, tmp_path)
    with edgeai_runtime.load(artifact.path, threads=1) as loaded:
        for batch, length in ((1, 11), (3, 16), (2, 7)):
            x = np.random.default_rng(length).normal(size=(batch, 6, length)).astype(np.float32)
            (expected,) = session.run(None, {"signal": x})
            np.testing.assert_allclose(loaded.run_raw([x])[0], expected, atol=1e-5)


@pytest.mark.parametrize("format", ["tflite", "openvino"])
def test_a_file_with_free_axes_is_read_with_them(network: Any, format: Format, tmp_path: Path) -> None:
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    model, _ = simplify(prepare_graph(copy))
    artifact = emit(model, format, tmp_path)
    imported = import_source(artifact.path)
    (value,) = imported.model.graph.inputs
    assert value.shape is not None
    assert [isinstance(size, int) for size in value.shape] == [False, True, False]

"""Inspecting TFLite files; the same graph counts the same in every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edgeai_converters.inspection.onnx import inspect_onnx
from edgeai_converters.inspection.tflite import inspect_tflite
from edgeai_runtime.errors import ModelError

pytest.importorskip("ai_edge_litert.schema_py_generated", reason="the file format's description is in ai-edge-litert")

Save = Callable[..., Path]


def _written(path: Path) -> Path:
    """Write an ONNX file as TFLite with the house's writer."""
    import onnx_ir as ir

    from edgeai_converters.emit.tflite.writer import emit_tflite
    from edgeai_converters.graph.shapes import infer_shapes

    model = ir.load(path)
    infer_shapes(model)
    return emit_tflite(model, path.parent).path


@pytest.fixture
def network(save_onnx: Save) -> Path:
    """A convolution, a depthwise convolution and a dense layer."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["h1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h1"], ["h2"]),
        helper.make_node("Conv", ["h2", "w2", "b2"], ["h3"], kernel_shape=[3, 3], group=8),
        helper.make_node("GlobalAveragePool", ["h3"], ["h4"]),
        helper.make_node("Flatten", ["h4"], ["h5"]),
        helper.make_node("Gemm", ["h5", "w3", "b3"], ["y"], transB=1),
    ]
    generator = np.random.default_rng(0)
    shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 1, 3, 3), "b2": (8,), "w3": (4, 8), "b3": (4,)}
    constants = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return save_onnx(nodes, constants, shape=(1, 3, 10, 10))


def test_parameters_and_macs_are_those_of_the_graph_it_was_written_from(network: Path) -> None:
    source, found = inspect_onnx(network), inspect_tflite(_written(network))
    assert found.parameters == source.parameters == 8 * 27 + 8 + 72 + 8 + 32 + 4
    assert found.macs == source.macs == 8 * 100 * 27 + 8 * 64 * 9 + 32
    assert found.precision == "float32"


def test_operators_and_boundary_are_read(network: Path) -> None:
    found = inspect_tflite(_written(network))
    assert found.operators["CONV_2D"] == 1
    assert found.operators["DEPTHWISE_CONV_2D"] == 1
    assert found.operators["FULLY_CONNECTED"] == 1
    assert (found.inputs[0].name, found.inputs[0].dtype) == ("x", "float32")


@pytest.mark.parametrize("keep", [0, 4, 100, 2000])
def test_a_truncated_file_is_an_error_that_names_it(network: Path, keep: int) -> None:
    path = _written(network)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=path.name):
        inspect_tflite(path)


@pytest.mark.assets
@pytest.mark.parametrize(
    ("file", "parameters", "macs", "precision"),
    [
        ("mlperf_tiny/image_classification/pretrainedResnet_quant.tflite", 77_706, 12_501_632, "int8"),
        ("imagenet_sample/mobilenet_v2_1.0_224_quant.tflite", 3_489_097, 300_775_552, "int8"),
        ("mlperf_tiny/keyword_spotting/kws_ref_model_float32.tflite", 22_604, 2_656_768, "mixed"),
    ],
)
def test_real_models_count_as_published(assets: Path, file: str, parameters: int, macs: int, precision: str) -> None:
    found = inspect_tflite(assets / file)
    assert (found.parameters, found.macs, found.precision) == (parameters, macs, precision)

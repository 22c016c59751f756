"""`compress` for a device: its formats, what it takes, and nothing measured that it does not take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgeai
from edgeai.result import CompressResult
from edgeai_converters.search.candidate import Candidate
from edgeai_runtime.errors import UsageError

pytestmark = pytest.mark.litert
_RANDOM = np.random.default_rng(0)
_WEIGHTS = {
    "w": _RANDOM.normal(0, 0.3, (64, 1, 3, 3)).astype(np.float32),
    "h": _RANDOM.normal(0, 0.3, (64, 32)).astype(np.float32),
}


def _network(path: Path) -> Path:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["m"]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("MatMul", ["f", "h"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 32])],
        [numpy_helper.from_array(array, name) for name, array in _WEIGHTS.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> CompressResult:
    """A search for the Coral USB Accelerator, which takes int8 in fixed shapes; float16 is asked for as well."""
    folder = tmp_path_factory.mktemp("device")
    return edgeai.compress(
        _network(folder / "net.onnx"),
        {"x": _RANDOM.normal(0, 1, (120, 1, 8, 8)).astype(np.float32)},
        device="coral-usb",
        precisions=["float16", "int8"],
        max_drop=None,
        work=folder / "work",
    )


def _candidates(result: CompressResult, precision: str) -> list[Candidate]:
    return [one for one in result.candidates if one.recipe.precision == precision]


def test_only_formats_of_the_device_are_made(result: CompressResult) -> None:
    assert {one.recipe.format for one in result.candidates} == {"tflite"}


def test_what_does_not_fit_is_rejected_before_it_is_measured(result: CompressResult) -> None:
    (half,) = _candidates(result, "float16")

    assert (half.status, half.limit, half.measurement) == ("rejected", "device", None)
    assert "does not fit coral-usb" in half.reason


def test_the_float_reference_is_measured_and_rejected(result: CompressResult) -> None:
    (reference,) = _candidates(result, "float32")

    assert (reference.status, reference.limit) == ("rejected", "device")
    assert reference.measurement is not None


def test_the_batch_is_fixed_where_nothing_takes_a_free_one_and_int8_fits(
    result: CompressResult, tmp_path: Path
) -> None:
    made = next(one for one in _candidates(result, "int8") if one.artifact is not None)

    assert made.limit != "device"
    assert made.artifact is not None
    assert edgeai.check(made.artifact.path, "coral-usb").ok
    assert edgeai.inspect(made.artifact.path).inputs[0].shape == (1, 1, 8, 8)


def test_a_format_that_the_device_does_not_run_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Coral USB Accelerator runs tflite"):
        edgeai.compress(_network(tmp_path / "net.onnx"), device="coral-usb", formats=["onnx"])

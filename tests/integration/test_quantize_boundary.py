"""Integer inputs and outputs: the engine takes and gives integers, which mean what the artifact's spec says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.table import emit
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.integer_boundary import BoundaryDtype, integer_boundary
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_runtime.errors import UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Format, TensorSpec

pytestmark = [pytest.mark.litert, pytest.mark.onnxruntime]

HEAD = '<ir_version: 9, opset_import: ["" : 18]> g (float[1,3,8,8] x) => (float[1,5] y)'
BODY = "a = Conv(x, w, b) r = Relu(a) g = GlobalAveragePool(r) f = Flatten(g)"
SCHEME: dict[Format, str] = {"tflite": "tflite-int8", "onnx": "onnx-u8s8"}


def samples(n: int = 16) -> NDArray[np.float32]:
    return np.random.default_rng(2).normal(size=(n, 3, 8, 8)).astype(np.float32)


def network(end: str) -> tuple[ir.Model, dict[str, tuple[float, float]]]:
    proto = onnx.parser.parse_model(f"{HEAD} {{ {BODY} {end} }}")
    random = np.random.default_rng(0)
    for name, shape in {"w": (6, 3, 3, 3), "b": (6,), "v": (6, 5)}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name))
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))
    ranges = collect_ranges(model, ({"x": one[None]} for one in samples()), methods=("minmax",)).tensors["minmax"]
    return model, dict(ranges)


def run(artifact: Artifact, arrays: NDArray[Any]) -> NDArray[Any]:
    with load(artifact.path, threads=1) as model:
        return np.concatenate([model.run_raw([one[None]])[0] for one in arrays])


def stored(real: NDArray[np.float32], spec: TensorSpec) -> NDArray[Any]:
    assert spec.quantization is not None
    limits = np.iinfo(spec.dtype)
    integers = np.rint(real.astype(np.float64) / spec.quantization.scale) + spec.quantization.zero_point
    return np.clip(integers, limits.min, limits.max).astype(spec.dtype)


def real(integers: NDArray[Any], spec: TensorSpec) -> NDArray[np.float64]:
    assert spec.quantization is not None
    assert integers.dtype.name == spec.dtype
    return (integers.astype(np.float64) - spec.quantization.zero_point) * spec.quantization.scale


@pytest.mark.parametrize("format", SCHEME)
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("end", ["y = Gemm(f, v)", "l = Gemm(f, v) y = Softmax(l)"], ids=["logits", "Softmax"])
def test_integers_at_the_boundary_give_the_answers_of_floats(
    format: Format, dtype: BoundaryDtype, end: str, tmp_path: Path
) -> None:
    model, ranges = network(end)
    rounded = insert_qdq(model, plan_quantization(model, ranges, SCHEMES[SCHEME[format]]))[0]
    whole, changed = integer_boundary(rounded, inputs=dtype, outputs=dtype, ranges=ranges)
    assert changed
    wanted = run(emit(rounded, format, _folder(tmp_path, "float")), samples())
    artifact = emit(whole, format, _folder(tmp_path, "integer"))
    given, taken = artifact.inputs[0], artifact.outputs[0]
    assert (given.name, given.dtype, given.shape) == ("x", dtype, (1, 3, 8, 8))
    assert (taken.name, taken.dtype, taken.shape) == ("y", dtype, (1, 5))
    found = real(run(artifact, stored(samples(), given)), taken)
    assert taken.quantization is not None
    assert np.abs(found - wanted).max() <= 1.01 * taken.quantization.scale
    if dtype == SCHEMES[SCHEME[format]].activation_dtype and "Softmax" not in end:
        assert "QUANTIZE" not in artifact.operators


def test_a_tflite_file_without_conversions_at_its_ends_has_none_inside(tmp_path: Path) -> None:
    model, ranges = network("y = Gemm(f, v)")
    rounded = insert_qdq(model, plan_quantization(model, ranges, SCHEMES["tflite-int8"]))[0]
    artifact = emit(integer_boundary(rounded)[0], "tflite", tmp_path)
    assert not {"QUANTIZE", "DEQUANTIZE"} & artifact.operators.keys()


def test_16_bit_inputs_and_outputs(tmp_path: Path) -> None:
    model, ranges = network("y = Gemm(f, v)")
    rounded = insert_qdq(model, plan_quantization(model, ranges, SCHEMES["tflite-int16x8"]))[0]
    artifact = emit(integer_boundary(rounded, inputs="int16", outputs="int16")[0], "tflite", tmp_path)
    assert not {"QUANTIZE", "DEQUANTIZE"} & artifact.operators.keys()
    wanted = run(emit(rounded, "tflite", _folder(tmp_path, "float")), samples())
    found = real(run(artifact, stored(samples(), artifact.inputs[0])), artifact.outputs[0])
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_one_side_can_stay_in_float(tmp_path: Path) -> None:
    model, ranges = network("y = Gemm(f, v)")
    rounded = insert_qdq(model, plan_quantization(model, ranges, SCHEMES["tflite-int8"]))[0]
    artifact = emit(integer_boundary(rounded, inputs="uint8", outputs=None)[0], "tflite", tmp_path)
    assert (artifact.inputs[0].dtype, artifact.outputs[0].dtype) == ("uint8", "float32")


def test_a_value_of_unknown_scale_is_refused_by_name() -> None:
    model, ranges = network("y = Gemm(f, v)")
    plan = plan_quantization(model, ranges, SCHEMES["onnx-u8s8"])  # keeps the logits in float
    with pytest.raises(UsageError, match="'y' cannot be an integer"):
        integer_boundary(insert_qdq(model, plan)[0])


def test_another_width_than_the_plan_s_is_refused() -> None:
    model, ranges = network("y = Gemm(f, v)")
    rounded = insert_qdq(model, plan_quantization(model, ranges, SCHEMES["tflite-int8"]))[0]
    with pytest.raises(UsageError, match="stored as int8"):
        integer_boundary(rounded, inputs="int16")


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder

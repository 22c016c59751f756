"""Time per operation in each engine: the operations are the network's, and their sum agrees with the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai.profiling.profile import profile_artifact
from edgeai_converters.emit.table import emit
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_runtime.bundle import file_entry, write_bundle
from edgeai_runtime.errors import EdgeAIError, UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Format, Manifest, TensorSpec, Tolerance, Variant

#: Part of a call that its operations account for. Wide: LiteRT's profiler costs more between the operations than they
#: take in a network as small as this, and OpenVINO's means have the interruptions by other processes.
LEAST, MOST = 0.2, 3.0

FORMATS = [
    pytest.param("tflite", marks=pytest.mark.litert),
    pytest.param("onnx", marks=pytest.mark.onnxruntime),
    pytest.param("openvino", marks=pytest.mark.openvino),
]
_PACKAGES: dict[str, str] = {"tflite": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino"}


@pytest.fixture(scope="module")
def network() -> ir.Model:
    """Return a network whose second convolution has most of the work."""
    text = """<ir_version: 8, opset_import: ["" : 18]> g (float[1,8,32,32] pixels) => (float[1,10] scores) {
        a = Conv<pads = [1, 1, 1, 1]>(pixels, w, b) r = Relu(a) c = Conv<pads = [1, 1, 1, 1]>(r, v, d)
        s = Sigmoid(c) p = GlobalAveragePool(s) f = Reshape(p, t) scores = Gemm(f, k, m) }"""
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    shapes = {"w": (64, 8, 3, 3), "b": (64,), "v": (64, 64, 3, 3), "d": (64,), "k": (64, 10), "m": (10,)}
    for name, shape in shapes.items():
        array = (random.normal(size=shape) / 10).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 64], np.int64), "t"))
    return prepare_graph(proto)


def written(network: ir.Model, format: Format, folder: Path) -> Path:
    """Return the network's file in a format."""
    pytest.importorskip(_PACKAGES[format])
    return emit(network, format, folder).path


@pytest.mark.parametrize("format", FORMATS)
def test_the_operations_add_up_to_a_call(network: ir.Model, format: Format, tmp_path: Path) -> None:
    profile = profile_artifact(written(network, format, tmp_path), duration_s=0.3)
    assert profile.method == "engine"
    assert profile.overhead is not None
    assert LEAST < profile.sum_ms / profile.whole_ms < MOST
    assert sum(one.ms for one in profile.operators) == pytest.approx(profile.sum_ms)
    assert sum(one.share for one in profile.operators) == pytest.approx(1)
    starts = [one.start_ms for one in profile.operators]
    assert starts == sorted(starts)
    assert {one.device for one in profile.operators} == {"cpu"}


@pytest.mark.parametrize("format", FORMATS)
def test_most_of_the_time_is_in_the_operation_with_most_of_the_work(
    network: ir.Model, format: Format, tmp_path: Path
) -> None:
    profile = profile_artifact(written(network, format, tmp_path), duration_s=0.2)
    longest = max(profile.operators, key=lambda one: one.ms)
    assert "Conv" in longest.op
    assert longest.share > 0.4
    assert longest is not profile.operators[0], "the first convolution has an eighth of the work"


@pytest.mark.parametrize("format", FORMATS[1:])
def test_names_are_those_of_the_placement_where_the_engine_keeps_them(
    network: ir.Model, format: Format, tmp_path: Path
) -> None:
    path = written(network, format, tmp_path)
    profile = profile_artifact(path, duration_s=0.05)
    with load(path, threads=1) as model:
        placed = {one.name: one.kernel for one in model.placement.operations}
    known = [one for one in profile.operators if one.name in placed]
    assert len(known) >= 2
    if format == "openvino":  # the same settings give the same kernels
        assert {one.name: one.kernel for one in known} == {one.name: placed[one.name] for one in known}


@pytest.mark.litert
@pytest.mark.parametrize("delegate", ["litert:reference", "litert:xnnpack"])
def test_litert_tells_the_operators_of_the_delegate_that_runs(network: ir.Model, delegate: str, tmp_path: Path) -> None:
    profile = profile_artifact(written(network, "tflite", tmp_path), delegate=delegate, duration_s=0.05)
    builtin = delegate == "litert:reference"
    assert any(one.op == "CONV_2D" for one in profile.operators) is builtin
    assert any(one.op.startswith("Convolution (NHWC") for one in profile.operators) is not builtin


@pytest.mark.litert
def test_a_model_that_the_profiler_refuses_is_measured_operation_by_operation(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    text = """<ir_version: 8, opset_import: ["" : 18]> g (float[200,1,8] x) => (float[200,1,1,64] y) {
        h = LSTM<hidden_size = 64>(x, w, r) y = Relu(h) }"""
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, shape in {"w": (1, 256, 8), "r": (1, 256, 64)}.items():
        array = (random.normal(size=shape) / 10).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    artifact = emit(prepare_graph(proto), "tflite", tmp_path)
    profile = profile_artifact(artifact.path, duration_s=0.1)
    assert profile.method == "alone"
    assert profile.overhead is None
    assert "LSTM" in max(profile.operators, key=lambda one: one.ms).op
    assert LEAST < profile.sum_ms / profile.whole_ms < MOST


@pytest.mark.litert
def test_a_network_too_small_for_the_profilers_clock_is_measured_operation_by_operation(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    text = """<ir_version: 8, opset_import: ["" : 18]> g (float[1,4] x) => (float[1,4] y) {
        a = Tanh(x) b = Mul(a, a) y = Sigmoid(b) }"""
    artifact = emit(prepare_graph(onnx.parser.parse_model(text)), "tflite", tmp_path)
    profile = profile_artifact(artifact.path, duration_s=0.05)
    assert profile.method == "alone"
    assert [one.op for one in profile.operators] == ["TANH", "MUL", "LOGISTIC"]


@pytest.mark.onnxruntime
def test_arrays_of_the_caller_are_what_is_run(network: ir.Model, tmp_path: Path) -> None:
    path = written(network, "onnx", tmp_path)
    with pytest.raises(EdgeAIError, match="pixels"):
        profile_artifact(path, arrays=[np.zeros((1, 9, 32, 32), np.float32)], duration_s=0.05)


def test_a_delegate_of_another_engine_is_refused(network: ir.Model, tmp_path: Path) -> None:
    path = written(network, "onnx", tmp_path)
    with pytest.raises(UsageError, match="no delegate of onnxruntime"):
        profile_artifact(path, delegate="litert:xnnpack")


def test_a_bare_artifact_has_no_variant(network: ir.Model, tmp_path: Path) -> None:
    path = written(network, "onnx", tmp_path)
    with pytest.raises(UsageError, match="has no variant 'int8'"):
        profile_artifact(path, variant="int8")


@pytest.mark.onnxruntime
def test_a_variant_gets_the_bundles_arrays_as_the_runtime_hands_them_on(network: ir.Model, tmp_path: Path) -> None:
    inside = "variants/float/model.onnx"
    members: dict[str, Path | bytes] = {inside: written(network, "onnx", tmp_path)}
    outer = TensorSpec(name="image", shape=(1, 32, 32, 8), dtype="float32", layout="NHWC")
    inner = TensorSpec(name="pixels", shape=(1, 8, 32, 32), dtype="float32", layout="NCHW")
    scores = TensorSpec(name="scores", shape=(1, 10), dtype="float32")
    variant = Variant(
        id="float",
        format="onnx",
        precision="float32",
        delegates=("onnxruntime:cpu",),
        files=(file_entry(inside, members[inside]),),
        inputs=(inner,),
        outputs=(scores,),
        tolerance={"scores": Tolerance(atol=0.001, rtol=0.0)},
    )
    manifest = Manifest(name="net", version="1", inputs=(outer,), outputs=(scores,), variants=(variant,))
    write_bundle(tmp_path / "net.edge", manifest, members)
    given = [np.zeros((1, 32, 32, 8), np.float32)]
    profile = profile_artifact(tmp_path / "net.edge", variant="float", arrays=given, duration_s=0.05)
    assert [one.op for one in profile.operators].count("Conv") == 2
    with pytest.raises(UsageError, match="has no variant 'int8'"):
        profile_artifact(tmp_path / "net.edge", variant="int8")

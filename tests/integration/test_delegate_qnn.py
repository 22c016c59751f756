"""Qualcomm's NPU behind ONNX Runtime, for real in its x86 simulator; and its GPU, which really fails.

The network is Conv, Relu, GlobalAveragePool, Flatten, Gemm on `[n, 3, 16, 16]`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx import helper as oh

from edgeai_runtime.bundle import file_entry, write_bundle
from edgeai_runtime.delegates.probe import probe
from edgeai_runtime.engines.protocol import Session
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import PlacementError, UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Manifest, TensorSpec, Variant
from edgeai_runtime.placement import Placement

pytest.importorskip("onnxruntime_qnn", reason="the extra `emulators` is not installed")
pytestmark = pytest.mark.onnxruntime

HTP, GPU = "onnxruntime:qnn-htp", "onnxruntime:qnn-gpu"

#: Share of the output's range. Float runs in the simulator's half or single precision, QDQ in another rounding: one or
#: two steps of an 8-bit output of 256 steps.
FLOAT_TOLERANCE, QDQ_TOLERANCE = 2e-3, 2 / 255

X = np.random.default_rng(1).normal(size=(4, 3, 16, 16)).astype(np.float32)


def write_network(path: Path, *, batch: int | str, quantized: bool = False, height: int | str = 16) -> Path:
    rng = np.random.default_rng(0)
    arrays = {
        "w": rng.normal(0, 0.3, (8, 3, 3, 3)),
        "b": np.zeros(8),
        "v": rng.normal(0, 0.3, (8, 5)),
        "c": np.zeros(5),
    }
    initializers = [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()]
    nodes: list[Any] = []

    def rounded(name: str, scale: float, zero: int = 128) -> str:
        if not quantized:
            return name
        initializers.append(numpy_helper.from_array(np.float32(scale), f"{name}_s"))
        initializers.append(numpy_helper.from_array(np.uint8(zero), f"{name}_z"))
        for op, source, result in (
            ("QuantizeLinear", name, f"{name}_q"),
            ("DequantizeLinear", f"{name}_q", f"{name}_d"),
        ):
            nodes.append(oh.make_node(op, [source, f"{name}_s", f"{name}_z"], [result], f"{op}_{name}"))
        return f"{name}_d"

    def weights(name: str) -> str:
        if not quantized:
            return name
        scale = float(np.abs(arrays[name]).max()) / 127
        stored = np.rint(arrays[name] / scale).astype(np.int8)
        initializers.append(numpy_helper.from_array(stored, f"{name}_q"))
        initializers.append(numpy_helper.from_array(np.float32(scale), f"{name}_s"))
        nodes.append(oh.make_node("DequantizeLinear", [f"{name}_q", f"{name}_s"], [f"{name}_d"], f"dq_{name}"))
        return f"{name}_d"

    nodes.append(oh.make_node("Conv", [rounded("x", 0.04), weights("w"), "b"], ["conv"], "conv", pads=[1, 1, 1, 1]))
    nodes.append(oh.make_node("Relu", ["conv"], ["relu"], "relu"))
    nodes.append(oh.make_node("GlobalAveragePool", [rounded("relu", 0.03, 0)], ["pool"], "pool"))
    nodes.append(oh.make_node("Flatten", [rounded("pool", 0.01, 0)], ["flat"], "flatten"))
    nodes.append(oh.make_node("Gemm", [rounded("flat", 0.01, 0), weights("v"), "c"], ["gemm"], "gemm"))
    last = rounded("gemm", 0.01)
    nodes.append(oh.make_node("Identity", [last], ["y"], "identity"))
    x = oh.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, height, 16])
    y = oh.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 5])
    graph = oh.make_graph(nodes, "net", [x], [y], initializers)
    onnx.save(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=9), path)
    return path


def open_on(path: Path, delegate: str, **options: str) -> Session:
    return get_engine("onnxruntime").open(path, delegate=delegate, threads=1, options=options)


def difference(a: Any, b: Any) -> float:
    return float(np.abs(a - b).max() / np.ptp(b))


def test_the_probe_finds_a_simulated_npu_and_no_gpu() -> None:
    npu, gpu = probe(HTP), probe(GPU)
    assert (npu.present, npu.emulated) == (True, True)
    assert npu.driver.startswith("onnxruntime-qnn ")
    assert gpu.present is False
    assert "Adreno" in gpu.reason


@pytest.mark.parametrize(("quantized", "tolerance"), [(False, FLOAT_TOLERANCE), (True, QDQ_TOLERANCE)])
def test_every_node_runs_on_the_npu_with_the_numbers_of_the_cpu(
    tmp_path: Path, quantized: bool, tolerance: float
) -> None:
    path = write_network(tmp_path / "net.onnx", batch=1, quantized=quantized)
    npu = open_on(path, HTP, **{"session.disable_cpu_ep_fallback": "1"})
    operations = npu.placement().operations
    assert {(one.device, one.delegate) for one in operations} == {("npu", HTP)}
    assert len(operations) >= 5
    assert difference(npu.run([X[:1]])[0], open_on(path, "onnxruntime:cpu").run([X[:1]])[0]) < tolerance


def test_a_model_that_requires_the_npu_gets_it(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx", batch=1)
    with load(path, placement=Placement(require="npu", min_coverage=1.0), threads=1) as model:
        assert model.placement.delegate == HTP
        assert model.placement.shares()["npu"] == 1.0


def test_the_rounding_of_a_float_boundary_is_left_to_the_cpu_unless_it_is_asked_otherwise(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx", batch=1, quantized=True)
    left = [one for one in open_on(path, HTP).placement().operations if one.device == "cpu"]
    assert {one.op_type for one in left} <= {"QuantizeLinear", "DequantizeLinear"}
    assert left
    assert all("QNNExecutionProvider did not take it" in one.reason for one in left)
    whole = open_on(path, HTP, offload_graph_io_quantization="0")
    assert {one.device for one in whole.placement().operations} == {"npu"}


def test_a_free_batch_is_fixed_to_one_and_a_batch_runs_sample_by_sample(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx", batch="n")
    npu = open_on(path, HTP)
    assert {one.device for one in npu.placement().operations} == {"npu"}
    assert npu.inputs[0].shape == (1, 3, 16, 16)
    result = npu.run([X])[0]
    assert result.shape == (4, 5)
    assert difference(result, open_on(path, "onnxruntime:cpu").run([X])[0]) < FLOAT_TOLERANCE


def test_another_free_dimension_is_an_error_that_names_the_option_which_fixes_it(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx", batch="n", height="rows")
    with pytest.raises(PlacementError, match="axis 2 of input 'x' is free") as caught:
        open_on(path, HTP)
    assert "dimension.rows" in caught.value.hint
    assert open_on(path, HTP, **{"dimension.rows": "16"}).inputs[0].shape == (1, 3, 16, 16)
    with pytest.raises(UsageError, match=r"dimension\.rows is a size"):
        open_on(path, HTP, **{"dimension.rows": "many"})


def test_a_bundle_with_buckets_gets_a_session_per_size(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx", batch="n", height="rows")
    x, y = (
        TensorSpec(name="x", shape=(None, 3, None, 16), dtype="float32"),
        TensorSpec(name="y", shape=(None, 5), dtype="float32"),
    )
    entry = file_entry("variants/net/model.onnx", path)
    variant = Variant(
        id="net", format="onnx", precision="float32", delegates=(HTP,), files=(entry,), inputs=(x,), outputs=(y,)
    )
    buckets = {"x": {"axis": 2, "sizes": [8, 16], "pad": 0, "outputs": {}}}
    manifest = Manifest(
        name="net", version="1", inputs=(x,), outputs=(y,), variants=(variant,), metadata={"buckets": buckets}
    )
    bundle = tmp_path / "net.edge"
    write_bundle(bundle, manifest, {entry.path: path})
    with load(bundle, selfcheck="never") as model, load(path, isolate=False) as wanted:
        for rows, padded in ((8, 8), (11, 16), (5, 8)):
            sample = np.zeros((2, 3, padded, 16), np.float32)
            sample[:, :, :rows] = X[:2, :, :rows]
            assert difference(model(sample[:, :, :rows].copy()), wanted(sample)) < FLOAT_TOLERANCE
        assert {one.device for one in model.placement.operations} == {"npu"}
        future = model.submit(X)
        assert difference(future.result(60), wanted(X)) < FLOAT_TOLERANCE


def test_a_backend_that_can_not_start_is_an_error_with_its_own_log_and_not_a_run_on_the_cpu(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx", batch=1)
    with pytest.raises(PlacementError, match="QNN_BACKEND_ERROR_CANNOT_INITIALIZE"):
        open_on(path, GPU)
    with pytest.raises(PlacementError, match="the CPU is not allowed"):
        open_on(path, GPU, **{"session.disable_cpu_ep_fallback": "1"})


def test_a_model_falls_back_from_the_failing_gpu_and_says_why(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx", batch=1)
    with load(path, placement=Placement(prefer=(GPU, "cpu")), threads=1, isolate=False) as model:
        assert model.placement.delegate == "onnxruntime:cpu"
        tried = {attempt.delegate: attempt for attempt in model.placement.attempts}
    assert tried[GPU].outcome in ("failed", "skipped")
    assert tried[GPU].reason


def test_a_compiled_model_is_written_and_runs_again(tmp_path: Path) -> None:
    path, compiled = write_network(tmp_path / "net.onnx", batch=1), tmp_path / "net_ctx.onnx"
    first = open_on(path, HTP, **{"ep.context_enable": "1", "ep.context_file_path": str(compiled)})
    again = open_on(compiled, HTP)
    assert {one.device for one in again.placement().operations} == {"npu"}
    np.testing.assert_array_equal(again.run([X[:1]])[0], first.run([X[:1]])[0])


def test_an_unknown_option_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx", batch=1)
    with pytest.raises(UsageError, match="no option 'htp_performance'") as caught:
        open_on(path, HTP, htp_performance="burst")
    assert "htp_performance_mode" in caught.value.hint


def test_another_library_for_a_provider_that_has_one_is_an_error(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx", batch=1)
    open_on(path, HTP).close()
    with pytest.raises(PlacementError, match=r"in this process already\. Received: other\.so"):
        open_on(path, HTP, library_path="other.so")

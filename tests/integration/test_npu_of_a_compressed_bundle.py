"""A network that edgeai quantized, on Qualcomm's NPU in its simulator: checked in a child, and placed by MACs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx import helper as oh

import edgeai
from edgeai_converters.spec import BoundaryDtype
from edgeai_runtime.bundle import open_bundle
from edgeai_runtime.errors import PlacementError
from edgeai_runtime.loading import load
from edgeai_runtime.placement import Placement

pytest.importorskip("onnxruntime_qnn", reason="the extra `emulators` is not installed")
pytestmark = pytest.mark.onnxruntime

HTP = "onnxruntime:qnn-htp"
X = np.random.default_rng(1).normal(size=(160, 3, 16, 16)).astype(np.float32)
MACS = {"first": 3 * 9 * 16 * 256, "second": 16 * 9 * 32 * 64, "head": 32 * 10}

Bundles = Callable[[BoundaryDtype], Path]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    """Return a function that gives the bundle of a static int8 variant with a boundary, made once."""
    folder, made = tmp_path_factory.mktemp("npu"), dict[BoundaryDtype, Path]()

    def make(boundary: BoundaryDtype) -> Path:
        if boundary not in made:
            result = edgeai.compress(
                _network(folder / "net.onnx"),
                {"x": X},
                formats=["onnx"],
                precisions=["float32", "int8"],
                max_drop=None,
                max_size=15_000,  # float32 is larger
                boundary=boundary,
                work=folder / "work",
            )
            made[boundary] = result.save(folder / f"{boundary}.edge")
        return made[boundary]

    return make


def _network(path: Path) -> Path:
    """Conv, Relu, Conv, Relu, GlobalAveragePool, Flatten, Gemm on `[n, 3, 16, 16]`."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(0, 0.3, (16, 3, 3, 3)), "v": rng.normal(0, 0.1, (32, 16, 3, 3)), "g": np.eye(32, 10)}
    nodes = [
        oh.make_node("Conv", ["x", "w"], ["a"], "first", pads=[1, 1, 1, 1]),
        oh.make_node("Relu", ["a"], ["b"], "clamp"),
        oh.make_node("Conv", ["b", "v"], ["c"], "second", pads=[1, 1, 1, 1], strides=[2, 2]),
        oh.make_node("Relu", ["c"], ["d"], "clamp_again"),
        oh.make_node("GlobalAveragePool", ["d"], ["e"], "pool"),
        oh.make_node("Flatten", ["e"], ["f"], "flatten"),
        oh.make_node("Gemm", ["f", "g"], ["y"], "head"),
    ]
    graph = oh.make_graph(
        nodes,
        "net",
        [oh.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [oh.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    onnx.save(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize("placement", [Placement(allow=("npu",)), Placement(require="npu", min_coverage=1.0)])
def test_with_an_integer_boundary_everything_runs_on_the_npu_after_one_self_check(
    bundles: Bundles, placement: Placement, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundles("uint8")
    with load(path, placement=placement, threads=1) as model:
        assert model.placement.delegate == HTP
        assert {(one.device, one.delegate) for one in model.placement.operations} == {("npu", HTP)}
        assert model.placement.attempts[-1].reason.startswith("self-check passed: y differs by at most")
        result = model(X[:3])
    monkeypatch.setattr("edgeai_runtime.isolation.call_in_child", None)  # the verdict is kept: no child again

    with load(path, placement=placement, threads=1) as model:
        np.testing.assert_array_equal(model(X[:3]), result)
    with load(path, threads=1) as model:
        assert model.placement.delegate == "onnxruntime:cpu"
        assert np.abs(model(X[:3]) - result).max() < 0.1 * np.ptp(result)


def test_with_a_float_boundary_the_last_product_is_left_to_the_cpu_and_its_macs_are_counted(bundles: Bundles) -> None:
    path = bundles("float32")
    (variant,) = open_bundle(path).manifest.variants
    assert variant.delegates == ("onnxruntime:cpu",)
    assert variant.macs == MACS

    with load(path, placement=Placement(require="npu", min_mac_coverage=0.99), threads=1) as model:
        shares = model.placement.mac_shares()
        assert shares is not None
        assert shares["cpu"] == pytest.approx(MACS["head"] / sum(MACS.values()))
        assert {one.name: one.device for one in model.placement.operations if one.name in MACS} == {
            "first": "npu",
            "second": "npu",
            "head": "cpu",
        }
    with pytest.raises(PlacementError, match=r"99\.9% of the multiply-accumulates on npu; 100\.0% are asked for"):
        load(path, placement=Placement(require="npu", min_mac_coverage=1.0), threads=1)


def test_with_a_float_boundary_the_npu_alone_is_refused_and_the_product_is_named(bundles: Bundles) -> None:
    with pytest.raises(PlacementError, match="and the CPU is not allowed") as caught:
        load(bundles("float32"), placement=Placement(allow=("npu",)), threads=1)
    assert "name: head, type: Gemm" in caught.value.message

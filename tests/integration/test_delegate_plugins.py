"""ONNX Runtime's providers that are not here: not built in, not installed, or installed without their hardware."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from edgeai_runtime.delegates.probe import probe
from edgeai_runtime.engines.onnxruntime_providers import PROVIDERS
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import PlacementError

onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.onnxruntime

ABSENT = [
    name
    for name, provider in PROVIDERS.items()
    if provider.name not in onnxruntime.get_available_providers()
    and (not provider.module or importlib.util.find_spec(provider.module) is None)
]


@pytest.fixture
def network(tmp_path: Path) -> Path:
    import onnx
    from onnx import helper as oh

    x, y = (oh.make_tensor_value_info(name, 1, [1, 2]) for name in "xy")
    path = tmp_path / "net.onnx"
    graph = oh.make_graph([oh.make_node("Relu", ["x"], ["y"])], "net", [x], [y])
    onnx.save(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize("delegate", ABSENT)
def test_a_provider_that_is_not_here_is_an_error_and_never_a_run_on_the_cpu(network: Path, delegate: str) -> None:
    provider = PROVIDERS[delegate]
    with pytest.raises(PlacementError, match=f"has no {provider.name}") as caught:
        get_engine("onnxruntime").open(network, delegate=delegate, threads=1, options={})
    assert provider.package in caught.value.hint
    found = probe(delegate)
    assert found.present is False
    assert provider.name in found.reason


@pytest.mark.parametrize("delegate", ["onnxruntime:webgpu", "onnxruntime:openvino-npu"])
def test_a_plugin_without_hardware_is_absent_and_says_what_it_offers(network: Path, delegate: str) -> None:
    pytest.importorskip(PROVIDERS[delegate].module)
    found = probe(delegate)
    if found.present:
        pytest.skip("this machine has the hardware")
    assert "is installed, but finds no" in found.reason
    with pytest.raises(PlacementError, match="is installed, but finds no"):
        get_engine("onnxruntime").open(network, delegate=delegate, threads=1, options={})


@pytest.mark.parametrize("delegate", ["onnxruntime:vitisai", "onnxruntime:migraphx"])
def test_a_library_that_is_no_plugin_is_an_error(network: Path, tmp_path: Path, delegate: str) -> None:
    if not hasattr(onnxruntime, "get_ep_devices"):
        pytest.skip("this onnxruntime has no plugins")
    library = tmp_path / "plugin.so"
    library.write_bytes(b"not a library")
    with pytest.raises(PlacementError, match=r"cannot be loaded.*plugin\.so"):
        get_engine("onnxruntime").open(network, delegate=delegate, threads=1, options={"library_path": str(library)})

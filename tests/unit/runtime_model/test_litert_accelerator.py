"""What is read out of LiteRT's log, and what is made of it when it says little."""

from __future__ import annotations

import pytest

from edgeai_runtime.delegates.litert_libraries import LIBRARIES
from edgeai_runtime.delegates.probe import probe
from edgeai_runtime.engines.litert_accelerator import compilation_error, describe_compilation, read_log
from edgeai_runtime.engines.litert_external import device_of
from edgeai_runtime.errors import PlacementError

ADAPTER = "Selected adapter: {name}, arch=x, vendor=v, backend=Vulkan, adapterType={kind}\n"
PARTLY = """ERROR: Following operations are not supported by GPU delegate:
GATHER: Only support 1D indices
{more}{taken} operations will run on the GPU, and the remaining {left} operations will run on the CPU.
"""
NODES = [{"op_name": name, "index": index} for index, name in enumerate(("CONV_2D", "GATHER", "GATHER", "SOFTMAX"))]


def places(log: str, *, partly: bool, delegate: str = "litert:gpu") -> list[tuple[str, str, int]]:
    """Return kind, device and count of every entry."""
    operations = describe_compilation(NODES, delegate, read_log(delegate, log, partly=partly))
    return [(one.op_type, one.device, one.count) for one in operations]


def test_alone_means_that_the_accelerator_has_everything() -> None:
    assert places("", partly=False) == [(node["op_name"], "gpu", 1) for node in NODES]


def test_operations_left_behind_are_told_apart_when_all_of_their_kind_are() -> None:
    assert places(PARTLY.format(taken=2, left=2, more=""), partly=True) == [
        ("CONV_2D", "gpu", 1),
        ("GATHER", "cpu", 1),
        ("GATHER", "cpu", 1),
        ("SOFTMAX", "gpu", 1),
    ]


def test_only_counts_are_told_when_some_of_a_kind_are_left() -> None:
    assert places(PARTLY.format(taken=3, left=1, more=""), partly=True) == [("*", "gpu", 3), ("*", "cpu", 1)]


@pytest.mark.parametrize("log", ["", PARTLY.format(taken=9, left=2, more="")])
def test_nothing_is_claimed_when_the_counts_are_not_told_or_make_no_sense(log: str) -> None:
    assert places(log, partly=True) == [("?", "unknown", 4)]


def test_a_part_on_the_npu_is_unknown_because_no_count_is_told() -> None:
    log = "INFO: 1 compiler plugins were applied successfully: Qualcomm 8750"

    assert read_log("litert:npu", log, partly=True).takes_some
    assert places(log, partly=True, delegate="litert:npu") == [("?", "unknown", 4)]


@pytest.mark.parametrize("log", ["", "INFO: 0 compiler plugins were applied successfully: ", "0 operations will run"])
def test_an_accelerator_that_takes_nothing_takes_nothing(log: str) -> None:
    assert not read_log("litert:npu", log, partly=True).takes_some
    assert not read_log("litert:gpu", log, partly=True).takes_some


def test_a_gpu_in_software_is_refused_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VK_ICD_FILENAMES", "VK_DRIVER_FILES"):
        monkeypatch.delenv(name, raising=False)
    found = read_log("litert:gpu", ADAPTER.format(name="llvmpipe", kind="CPU / Software"), partly=False)

    refusal = compilation_error("litert:gpu", found, "", None, {})
    assert isinstance(refusal, PlacementError)
    assert "Vulkan: llvmpipe" in refusal.message
    assert compilation_error("litert:gpu", found, "", None, {"software": "yes"}) is None
    monkeypatch.setenv("VK_ICD_FILENAMES", "/driver.json")
    assert compilation_error("litert:gpu", found, "", None, {}) is None


def test_a_gpu_in_hardware_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VK_ICD_FILENAMES", raising=False)
    found = read_log("litert:gpu", ADAPTER.format(name="Mali-G610", kind="Integrated GPU"), partly=False)

    assert compilation_error("litert:gpu", found, "", None, {}) is None
    assert found.adapter == "Vulkan: Mali-G610 (Integrated GPU)"


@pytest.mark.parametrize(
    ("delegate", "options", "device"),
    [
        ("litert:edgetpu", {}, "npu"),
        ("litert:qnn", {}, "npu"),
        ("litert:qnn", {"backend_type": "gpu"}, "gpu"),
        ("litert:qnn", {"backend_type": "new"}, "unknown"),
        ("litert:armnn", {}, "gpu"),
        ("litert:armnn", {"backends": "CpuAcc,CpuRef"}, "cpu"),
        ("litert:armnn", {"backends": "GpuAcc,CpuAcc"}, "unknown"),
        ("litert:coreml", {}, "unknown"),
        ("litert:external", {"library": "x.so"}, "unknown"),
    ],
)
def test_the_device_of_a_library_follows_its_options(delegate: str, options: dict[str, str], device: str) -> None:
    assert device_of(delegate, LIBRARIES[delegate].device, options) == device


@pytest.mark.parametrize("delegate", ["litert:coreml", "litert:nnapi"])
def test_a_delegate_of_another_system_is_absent_and_says_so(delegate: str) -> None:
    pytest.importorskip("ai_edge_litert")
    found = probe(delegate)

    assert not found.present
    assert "os:" in found.reason

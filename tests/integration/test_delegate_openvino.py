"""OpenVINO's delegates on a machine with a CPU alone: AUTO and HETERO really run, GPU and NPU really fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.delegates.probe import probe
from edgeai_runtime.engines.protocol import Session
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import PlacementError, UsageError

openvino = pytest.importorskip("openvino")
pytestmark = pytest.mark.openvino

X = np.random.default_rng(1).normal(size=(1, 3, 16, 16)).astype(np.float32)

needs_cpu_only = pytest.mark.skipif(
    bool({"GPU", "NPU"} & {name.partition(".")[0] for name in openvino.Core().available_devices}),
    reason="this machine has the hardware that must be absent here",
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a convolution and a ReLU, x `[n, 3, 16, 16]`, y `[n, 32, 14, 14]`, as OpenVINO IR."""
    from openvino import opset13 as ops

    rng = np.random.default_rng(0)
    x = ops.parameter([-1, 3, 16, 16], np.float32, name="x")
    weights = rng.normal(0, 0.2, (32, 3, 3, 3)).astype(np.float32)
    y = ops.relu(ops.convolution(x, weights, [1, 1], [0, 0], [0, 0], [1, 1]))
    path = tmp_path_factory.mktemp("openvino") / "net.xml"
    openvino.save_model(openvino.Model([y], [x], "net"), str(path), compress_to_fp16=False)
    return path


def open_on(path: Path, delegate: str, **options: str) -> Session:
    return get_engine("openvino").open(path, delegate=f"openvino:{delegate}", threads=1, options=options)


def kernels(session: Session) -> set[str]:
    layers = [one for one in session.placement().operations if one.op_type == "Convolution"]
    assert layers
    return {one.kernel.rpartition("_")[2] for one in layers}


@needs_cpu_only
@pytest.mark.parametrize("delegate", ["auto", "hetero"])
def test_a_delegate_that_chooses_itself_tells_the_real_device(network: Path, delegate: str) -> None:
    session = open_on(network, delegate)
    operations = session.placement().operations
    assert {(one.device, one.delegate) for one in operations} == {("cpu", "openvino:cpu")}
    expected: Any = open_on(network, "cpu").run([X])[0]
    np.testing.assert_array_equal(session.run([X])[0], expected)
    assert session.run([np.repeat(X, 3, axis=0)])[0].shape == (3, 32, 14, 14)


@pytest.mark.parametrize("delegate", ["cpu", "auto", "hetero"])
def test_the_precision_is_float32_unless_asked_otherwise(network: Path, delegate: str) -> None:
    with_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    only_cpu = {"MULTI_DEVICE_PRIORITIES": "CPU"} if delegate != "cpu" else {}
    assert kernels(open_on(network, delegate, **only_cpu)) == {"f32"}
    wider = kernels(open_on(network, delegate, INFERENCE_PRECISION_HINT="bf16", **only_cpu))
    assert wider == ({"bf16"} if with_bf16 else {"f32"})


@needs_cpu_only
@pytest.mark.parametrize(("delegate", "words"), [("gpu", "GPU|OpenCL"), ("npu", "NPU|npu")])
def test_a_device_that_is_absent_is_a_placement_error_in_openvinos_words(
    network: Path, delegate: str, words: str
) -> None:
    with pytest.raises(PlacementError, match=words):
        open_on(network, delegate)
    found = probe(f"openvino:{delegate}")
    assert found.present is False
    assert delegate.upper() in found.reason


@needs_cpu_only
def test_a_choice_among_absent_devices_is_an_error(network: Path) -> None:
    with pytest.raises(PlacementError, match="openvino:auto cannot be used"):
        open_on(network, "auto", MULTI_DEVICE_PRIORITIES="GPU,CPU")


def test_an_option_of_another_device_is_an_error_with_near_names(network: Path) -> None:
    with pytest.raises(UsageError, match="no option 'NPU_TURBO'"):
        open_on(network, "cpu", NPU_TURBO="YES")
    with pytest.raises(UsageError) as caught:
        open_on(network, "cpu", INFERENCE_PRECISION="f16")
    assert "INFERENCE_PRECISION_HINT" in caught.value.hint


WATCH = """
import os, pathlib, sys, threading
import numpy as np
from edgeai_runtime.engines.table import get_engine

session = get_engine("openvino").open(pathlib.Path(sys.argv[1]), delegate="openvino:cpu", threads=1, options={})
caller, ended, seen = threading.get_native_id(), threading.Event(), set()
def watch():
    while not ended.is_set():
        seen.add(len(os.sched_getaffinity(caller)))
watcher = threading.Thread(target=watch)
watcher.start()
for _ in range(300):
    session.run([np.zeros((1, 3, 16, 16), np.float32)])
ended.set()
watcher.join()
print(*seen)
"""


@pytest.mark.skipif(
    len(getattr(os, "sched_getaffinity", lambda _: ())(0)) < 2, reason="it takes two processors to be bound to one"
)
def test_a_call_does_not_bind_the_thread_that_makes_it(network: Path) -> None:
    """In a process of its own: a thread that was bound once by another model may be bound again."""
    done = subprocess.run([sys.executable, "-c", WATCH, network], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(os.sched_getaffinity(0)))]


def test_the_probe_tells_the_processor() -> None:
    found = probe("openvino:cpu")
    assert found.present
    assert found.driver.startswith("openvino 20")
    assert found.devices[0]

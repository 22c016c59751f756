"""LiteRT's GPU and NPU: for real on a GPU in software (SwiftShader), and how they fail where there is none.

Everything runs in child processes: the Vulkan driver is chosen by variables that are read once per process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

from edgeai_converters.emit.tflite.writer import emit_tflite
from edgeai_runtime.bundle import file_entry, npz_bytes, write_bundle
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.manifest import Manifest, Tolerance, Variant

pytestmark = pytest.mark.litert

#: Debian's package `chromium` brings a Vulkan driver that computes on the CPU, and a Vulkan loader.
CHROMIUM = Path("/usr/lib/chromium")

#: Another order of additions in float32.
TOLERANCE = 2e-6

#: Int8 kernels round differently, and on noise the network's softmax magnifies it: 12 of 256 steps were measured.
MOST_STEPS = 16

RESNET = "mlperf_tiny/image_classification/pretrainedResnet.tflite"
QUANTIZED = "mlperf_tiny/image_classification/pretrainedResnet_quant.tflite"

CHILD = """
import json, sys
import numpy as np
from pathlib import Path
from edgeai_runtime.delegates.probe import probe
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import EdgeAIError

task = json.loads(sys.argv[1])
engine = get_engine("litert")
told = {"probe": vars(probe(task["delegate"]))}
try:
    x = [np.load(path) for path in task["inputs"]]
    session = engine.open(Path(task["model"]), delegate=task["delegate"], threads=1, options=task["options"])
    reference = engine.open(Path(task["model"]), delegate="litert:reference", threads=1, options={})
    first = session.run([x[0]])
    kept = [array.copy() for array in first]
    differences = [float(np.abs(a.astype(float) - b).max()) for one in x
                   for a, b in zip(session.run([one]), reference.run([one]), strict=True)]
    told |= {"differences": differences, "kept": all((a == b).all() for a, b in zip(first, kept, strict=True)),
             "operations": [vars(one) for one in session.placement().operations],
             "same boundary": (session.inputs, session.outputs) == (reference.inputs, reference.outputs)}
    session.close()
except EdgeAIError as error:
    told |= {"error": type(error).__name__, "message": str(error)}
print(json.dumps(told))
"""


def run_in_child(
    model: Path, folder: Path, inputs: list[Any], delegate: str, environment: dict[str, str], **options: str
) -> dict[str, Any]:
    """Run the model on each array in `inputs` on the delegate and on the reference kernels; return what came of it."""
    pytest.importorskip("ai_edge_litert.compiled_model")
    paths = []
    for number, array in enumerate(inputs):
        paths.append(str(folder / f"input{number}.npy"))
        np.save(paths[-1], array)
    task = {"model": str(model), "delegate": delegate, "inputs": paths, "options": options}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(task)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Creating LiteRT" not in done.stderr, "LiteRT's log reaches the user"
    assert done.stdout.count("\n") == 1, f"LiteRT wrote to standard output: {done.stdout}"
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture
def software_gpu(tmp_path: Path) -> dict[str, str]:
    """The variables with which SwiftShader is the machine's GPU."""
    driver, loader = CHROMIUM / "vk_swiftshader_icd.json", CHROMIUM / "libvulkan.so.1"
    if not driver.is_file() or not loader.is_file():
        pytest.skip(f"no GPU in software: {driver} or its loader is missing (Debian: apt-get install chromium)")
    folder = tmp_path / "vulkan"
    folder.mkdir()
    (folder / loader.name).symlink_to(loader)  # the folder itself has other libraries too
    return {"LD_LIBRARY_PATH": str(folder), "VK_ICD_FILENAMES": str(driver)}


NO_GPU = {"VK_ICD_FILENAMES": "/nowhere.json", "VK_DRIVER_FILES": "/nowhere.json"}


def write_network(folder: Path, *, gather: bool) -> Path:
    """Write `y = relu(x · W)`, x [n, 4], y [n, 3]; with `gather`, its columns are then picked by a [2, 2] index."""
    weights = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    constants = [numpy_helper.from_array(weights, "w")]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])]
    shape: list[Any] = ["n", 3]
    if gather:
        constants.append(numpy_helper.from_array(np.array([[0, 1], [2, 0]], np.int64), "index"))
        nodes[1].output[0] = "r"
        nodes.append(helper.make_node("Gather", ["r", "index"], ["y"], axis=1))
        shape = ["n", 2, 2]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return emit_tflite(ir.serde.deserialize_model(shape_inference.infer_shapes(model)), folder).path


def drawn(*shape: int) -> Any:
    """Return drawn samples."""
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.assets
def test_a_float_network_gives_the_same_on_the_gpu(assets: Path, tmp_path: Path, software_gpu: dict[str, str]) -> None:
    told = run_in_child(
        assets / RESNET, tmp_path, [drawn(1, 32, 32, 3), drawn(3, 32, 32, 3)], "litert:gpu", software_gpu
    )

    assert max(told["differences"]) <= TOLERANCE
    assert told["kept"]
    assert told["same boundary"]
    assert {(one["device"], one["delegate"]) for one in told["operations"]} == {("gpu", "litert:gpu")}
    assert len(told["operations"]) == 16
    assert "SwiftShader" in told["operations"][0]["kernel"]
    assert told["probe"]["present"]
    assert told["probe"]["emulated"]
    assert "SwiftShader" in told["probe"]["devices"][0]


def test_the_gpu_follows_a_free_batch(tmp_path: Path, software_gpu: dict[str, str]) -> None:
    batches = [drawn(n, 4) for n in (1, 5, 1, 2)]
    told = run_in_child(write_network(tmp_path, gather=False), tmp_path, batches, "litert:gpu", software_gpu)

    assert max(told["differences"]) <= TOLERANCE


def test_what_the_gpu_leaves_to_the_cpu_is_named_with_its_reason(tmp_path: Path, software_gpu: dict[str, str]) -> None:
    batches = [drawn(1, 4), drawn(3, 4)]
    told = run_in_child(write_network(tmp_path, gather=True), tmp_path, batches, "litert:gpu", software_gpu)

    assert max(told["differences"]) <= TOLERANCE
    placed = {one["op_type"]: one for one in told["operations"]}
    assert placed["GATHER"]["device"] == "cpu"
    assert "1D indices" in placed["GATHER"]["reason"]
    assert {one["device"] for kind, one in placed.items() if kind != "GATHER"} == {"gpu"}
    assert len(placed) > 1


def test_without_a_gpu_the_error_carries_what_litert_said(tmp_path: Path) -> None:
    told = run_in_child(write_network(tmp_path, gather=False), tmp_path, [drawn(1, 4)], "litert:gpu", NO_GPU)

    assert told["error"] == "PlacementError"
    assert "No adapters found" in told["message"]
    assert "Vulkan driver" in told["message"]
    assert not told["probe"]["present"]
    assert "Vulkan" in told["probe"]["reason"]


def test_without_a_vendors_libraries_the_npu_is_refused_and_not_the_cpu_used(tmp_path: Path) -> None:
    told = run_in_child(write_network(tmp_path, gather=False), tmp_path, [drawn(1, 4)], "litert:npu", NO_GPU)

    assert told["error"] == "PlacementError"
    assert "litert:npu cannot run this model here" in told["message"]
    assert "not accelerated" in told["message"]
    assert not told["probe"]["present"]


@pytest.mark.assets
def test_a_model_with_state_is_refused_because_nothing_resets_it(assets: Path, tmp_path: Path) -> None:
    model = assets / "mnist" / "mnist_lstm_float.tflite"
    told = run_in_child(model, tmp_path, [drawn(1, 28, 28)], "litert:gpu", NO_GPU)

    assert told["error"] == "PlacementError"
    assert "keeps state between calls" in told["message"]


LOAD = """
import json, sys
import numpy as np
import edgeai_runtime as rt

with rt.load(sys.argv[1], threads=1, placement=rt.Placement(prefer=("litert:gpu", "cpu"))) as model:
    answers = model(np.load(sys.argv[2]))
    attempts = [vars(one) for one in model.placement.attempts]
    print(json.dumps({"used": model.placement.delegate, "attempts": attempts, "answers": answers.tolist()}))
"""


@pytest.mark.assets
def test_a_gpu_that_computes_wrong_numbers_is_found_by_the_golden_outputs_and_not_used(
    assets: Path, tmp_path: Path, software_gpu: dict[str, str]
) -> None:
    model = assets / QUANTIZED
    noise = np.random.default_rng(0).integers(-128, 128, size=(4, 32, 32, 3), dtype=np.int8)
    told = run_in_child(model, tmp_path, [noise], "litert:gpu", software_gpu)
    if max(told["differences"]) <= MOST_STEPS:
        pytest.skip("this version of LiteRT computes the network right on the GPU: nothing to find")
    session = get_engine("litert").open(model, delegate="litert:xnnpack", threads=1, options={})
    expected = session.run([noise])[0]
    member, tolerance = "variants/int8/model.tflite", Tolerance(atol=MOST_STEPS, rtol=0)
    golden = {
        "golden/inputs.npz": npz_bytes({session.inputs[0].name: noise}),
        "golden/outputs.npz": npz_bytes({f"{who}/{session.outputs[0].name}": expected for who in ("source", "int8")}),
    }
    variant = Variant(
        id="int8",
        format="tflite",
        precision="int8",
        delegates=("litert:gpu", "litert:xnnpack"),
        files=(file_entry(member, model),),
        inputs=session.inputs,
        outputs=session.outputs,
        tolerance={session.outputs[0].name: tolerance},
    )
    manifest = Manifest(
        name="resnet8",
        version="1",
        inputs=session.inputs,
        outputs=session.outputs,
        variants=(variant,),
        golden=tuple(file_entry(path, content) for path, content in golden.items()),
    )
    write_bundle(tmp_path / "resnet8.edge", manifest, {member: model, **golden})
    np.save(tmp_path / "noise.npy", noise)

    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "resnet8.edge"), str(tmp_path / "noise.npy")],
        env=os.environ | software_gpu | {"EDGEAI_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    loaded = json.loads(done.stdout)
    assert loaded["used"] == "litert:xnnpack"
    np.testing.assert_array_equal(loaded["answers"], expected)
    tried = next(one for one in loaded["attempts"] if one["delegate"] == "litert:gpu")
    assert tried["outcome"] != "used"
    assert "self-check failed" in tried["reason"]

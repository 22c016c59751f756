"""The device wheel, alone in an empty environment beside numpy and one engine, runs what the workstation made."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeai_runtime.bundle import file_entry, npz_bytes, write_bundle
from edgeai_runtime.manifest import Manifest, Step, TensorSpec, Tolerance, Variant

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / "runtime"
LARGEST_WHEEL_BYTES = 150_000
LOAD = """
import sys, edgeai_runtime as rt
try:
    rt.load(sys.argv[1])
except rt.EdgeAIError as error:
    print(type(error).__name__, error.hint)
"""

pytestmark = [pytest.mark.slow, pytest.mark.onnxruntime]


def _run(*command: str | Path, cwd: Path, timeout_s: float = 600) -> str:
    """Run a command away from the checkout, so that nothing is imported from it; return what it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= {"EDGEAI_CACHE": str(cwd / "cache"), "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of `runtime/`, built from this checkout."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    _run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        RUNTIME,
        cwd=folder,
    )
    (built,) = folder.glob("edgeai_runtime-*.whl")
    return built


@pytest.fixture(scope="module")
def device(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel, numpy and ONNX Runtime."""
    folder = tmp_path_factory.mktemp("device")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    pinned = ["-c", ROOT / "constraints.txt"] if sys.version_info[:2] == (3, 11) else []
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "-qq", *pinned)
    _run(*pip, f"{wheel}[onnx]", cwd=folder)
    return python


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX model: `x` float32 [n, 3] → `y` = x · W + b, [n, 2]."""
    weights = np.array([[1, 0], [0, 1], [1, -1]], dtype=np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        "tiny",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 2])],
        [onnx.numpy_helper.from_array(weights, "w"), onnx.numpy_helper.from_array(np.float32([0.5, -0.5]), "b")],
    )
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.fixture(scope="module")
def bundle(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle around the model, whose pre-processing divides raw uint8 values by 4."""
    inputs = (TensorSpec(name="x", shape=(None, 3), dtype="float32"),)
    outputs = (TensorSpec(name="y", shape=(None, 2), dtype="float32"),)
    answers = np.array([[1.5, 0.5]], dtype=np.float32)
    golden = {
        "golden/inputs.npz": npz_bytes({"x": np.array([[4, 4, 0]], dtype=np.uint8)}),
        "golden/outputs.npz": npz_bytes({"source/y": answers, "onnx-float32/y": answers}),
    }
    member = "variants/onnx-float32/model.onnx"
    variant = Variant(
        id="onnx-float32",
        format="onnx",
        precision="float32",
        delegates=("onnxruntime:cpu",),
        files=(file_entry(member, model),),
        inputs=inputs,
        outputs=outputs,
        tolerance={"y": Tolerance(atol=1e-5, rtol=1e-5)},
    )
    manifest = Manifest(
        name="tiny",
        version="1",
        inputs=inputs,
        outputs=outputs,
        variants=(variant,),
        golden=tuple(file_entry(path, content) for path, content in golden.items()),
        preprocessing={
            "x": (Step(op="cast", params={"dtype": "float32"}), Step(op="scale", params={"factor": 0.25, "offset": 0}))
        },
    )
    path = tmp_path_factory.mktemp("bundle") / "tiny.edge"
    write_bundle(path, manifest, {member: model, **golden})
    return path


def test_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size <= LARGEST_WHEEL_BYTES


def test_environment_holds_nothing_else_of_ours(device: Path, tmp_path: Path) -> None:
    code = "import importlib.util as u; print([bool(u.find_spec(n)) for n in ('edgeai', 'edgeai_converters', 'onnx')])"
    assert _run(device, "-c", code, cwd=tmp_path) == "[False, False, False]"


def test_import_needs_no_engine(device: Path, tmp_path: Path) -> None:
    code = "import sys, edgeai_runtime as rt; rt.load; print('onnxruntime' in sys.modules, rt.__file__)"
    loaded, file = _run(device, "-c", code, cwd=tmp_path).split()
    assert loaded == "False"
    assert "site-packages" in file


def test_device_runs_a_bare_model(device: Path, model: Path, tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np, edgeai_runtime as rt\n"
        "with rt.load(sys.argv[1]) as model:\n"
        "    print(model(np.array([[1, 2, 3]], dtype='float32')).tolist(), model.placement.delegate)"
    )
    assert _run(device, "-c", code, model, cwd=tmp_path) == "[[4.5, -1.5]] onnxruntime:cpu"


def test_device_runs_a_bundle_with_its_pre_processing(device: Path, bundle: Path, tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np, edgeai_runtime as rt\n"
        "print(rt.load(sys.argv[1])(np.array([[4, 8, 12]], dtype='uint8')).tolist())"
    )
    assert _run(device, "-c", code, bundle, cwd=tmp_path) == "[[4.5, -1.5]]"


def test_device_program_of_the_examples_runs(device: Path, bundle: Path, tmp_path: Path) -> None:
    images = tmp_path / "x.npy"
    np.save(images, np.array([[4, 8, 12]], dtype=np.uint8))
    printed = _run(device, ROOT / "examples" / "device" / "hello.py", bundle, images, cwd=tmp_path)
    assert "4.5" in printed
    assert "onnxruntime:cpu" in printed


def test_device_verifies_a_bundle(device: Path, bundle: Path, tmp_path: Path) -> None:
    _run(device, "-m", "edgeai_runtime", "verify", bundle, cwd=tmp_path)


def test_device_refuses_a_changed_byte(device: Path, bundle: Path, tmp_path: Path) -> None:
    content = bytearray(bundle.read_bytes())
    content[content.index(b"Gemm")] ^= 1
    broken = tmp_path / "broken.edge"
    broken.write_bytes(bytes(content))
    assert hashlib.sha256(content).digest() != hashlib.sha256(bundle.read_bytes()).digest()
    assert _run(device, "-c", LOAD, broken, cwd=tmp_path).startswith("IntegrityError")


def test_missing_engine_is_told_with_the_line_that_mends_it(device: Path, tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_text('<net name="tiny" version="11"/>')
    (tmp_path / "model.bin").write_bytes(bytes(4))
    printed = _run(device, "-c", LOAD, tmp_path / "model.xml", cwd=tmp_path)
    assert printed.startswith("MissingEngineError")
    assert "pip install" in printed
    assert "openvino" in printed

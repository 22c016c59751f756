"""The old `tflite-runtime` 2.14 beside the device wheel: runs what it can, and tells the way out where it cannot."""

from __future__ import annotations

import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.litert, pytest.mark.assets]

#: Differences to the reference kernels: rounding of float32; steps of int8, of which 12 were seen on x86.
TOLERANCES = {"pretrainedResnet.tflite": 1e-4, "pretrainedResnet_quant.tflite": 16}

IMAGES = "mlperf_tiny/image_classification"
PROGRAM = """
import sys
import numpy as np
import edgeai_runtime as rt
from edgeai_runtime.engines.table import get_engine

info = get_engine("litert").info()
print(info.present, info.package, info.version)
try:
    with rt.load(sys.argv[1], placement=rt.Placement(require=sys.argv[2]), threads=1) as model:
        spec = model.inputs[0]
        x = np.linspace(0, 100, 2 * 32 * 32 * 3).reshape(2, 32, 32, 3).astype(spec.dtype)
        print(" ".join(f"{value:.5f}" for value in np.ravel(model(x))))
        print(sorted({one.device for one in model.placement.operations}))
except rt.EdgeAIError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def old(device_wheel: Path, tmp_path_factory: pytest.TempPathFactory, run_away: Callable[..., str]) -> Path:
    """The Python of an environment that holds the device wheel, tflite-runtime 2.14 and numpy 1."""
    if sys.version_info[:2] > (3, 11) or sys.platform != "linux":
        pytest.skip("tflite-runtime 2.14 has wheels for Linux and Python up to 3.11 only")
    folder = tmp_path_factory.mktemp("old")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "-qq")
    try:
        run_away(*pip, device_wheel, "tflite-runtime==2.14.0", "numpy<2", cwd=folder)
    except AssertionError as error:
        if "No matching distribution" in str(error) or "connection" in str(error).lower():
            pytest.skip("tflite-runtime 2.14 cannot be had here")
        raise
    return python


@pytest.fixture(scope="module")
def too_new(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose operators claim a version that nothing knows yet."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    import flatbuffers

    source = (assets / IMAGES / "pretrainedResnet.tflite").read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source, 0))
    for code in model.operatorCodes:
        code.version = 99
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path = tmp_path_factory.mktemp("too-new") / "new.tflite"
    path.write_bytes(bytes(builder.Output()))
    return path


@pytest.mark.parametrize("name", TOLERANCES)
def test_the_old_runtime_runs_a_file_like_the_new_one(
    old: Path, assets: Path, tmp_path: Path, name: str, run_away: Callable[..., str]
) -> None:
    path = assets / IMAGES / name
    there = run_away(old, "-c", PROGRAM, path, "cpu", cwd=tmp_path).splitlines()
    here = run_away(sys.executable, "-c", PROGRAM, path, "litert:reference", cwd=tmp_path).splitlines()

    assert there[0] == "True tflite-runtime 2.14.0"
    assert there[2] == "['cpu']"
    pairs = zip(there[1].split(), here[1].split(), strict=True)
    assert max(abs(float(a) - float(b)) for a, b in pairs) <= TOLERANCES[name]


def test_a_file_that_is_too_new_is_told_with_the_way_out(
    old: Path, too_new: Path, tmp_path: Path, run_away: Callable[..., str]
) -> None:
    told = run_away(old, "-c", PROGRAM, too_new, "cpu", cwd=tmp_path)

    assert "too new for tflite-runtime 2.14.0" in told
    assert "'CONV_2D' version '99'" in told
    assert "pip install ai-edge-litert" in told


def test_the_gpu_needs_the_new_runtime_and_that_is_told(
    old: Path, assets: Path, tmp_path: Path, run_away: Callable[..., str]
) -> None:
    path = assets / IMAGES / "pretrainedResnet.tflite"
    told = run_away(old, "-c", PROGRAM, path, "litert:gpu", cwd=tmp_path)

    assert "PlacementError" in told
    assert "ai-edge-litert 2.3" in told


def test_numpy_2_beside_the_old_runtime_is_told_with_the_way_out(
    old: Path, assets: Path, tmp_path: Path, run_away: Callable[..., str]
) -> None:
    new_numpy = tmp_path / "numpy2"
    run_away(old, "-m", "pip", "install", "-qq", "--target", new_numpy, "numpy>=2", cwd=tmp_path)
    path = assets / IMAGES / "pretrainedResnet.tflite"
    told = run_away(old, "-c", PROGRAM, path, "cpu", cwd=tmp_path, PYTHONPATH=str(new_numpy))

    assert told.startswith("False ai-edge-litert")
    assert "tflite-runtime: 2.14.0 works with numpy 1 only" in told
    assert "it brings ai-edge-litert" in told

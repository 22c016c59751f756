"""The digits example: its committed files are what its script makes, and the demo tells the truth about them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples" / "digits"
SHA256 = {
    "digits.onnx": "4ddf288f70f309c73e6d66f8ba9888ee70db310c7ecf99afa1b7698351af6dae",
    "digits.npz": "feeef1802cf365510292ee2f67ae4dbc08fbb0fc4afe1e6f0720843018abe22e",
}
LEAST_ACCURACY = 0.97


@pytest.mark.parametrize("name", SHA256)
def test_committed_file_is_the_one_that_was_trained(name: str) -> None:
    """A new training run changes the digest: then the figures that rest on it are made anew as well."""
    assert hashlib.sha256((DIGITS / name).read_bytes()).hexdigest() == SHA256[name]


def test_samples_are_raw_pixels_of_all_ten_digits() -> None:
    with np.load(DIGITS / "digits.npz") as data:
        x, y = data["x"], data["y"]
    assert (x.dtype, x.shape[1:], int(x.max())) == (np.uint8, (1, 8, 8), 16)
    assert len(x) == len(y) == 1197
    assert set(y.tolist()) == set(range(10))


@pytest.mark.onnxruntime
def test_committed_network_reads_the_held_out_digits() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(DIGITS / "digits.onnx", providers=["CPUExecutionProvider"])
    with np.load(DIGITS / "digits.npz") as data:
        x, y = data["x"].astype(np.float32) / 16, data["y"]
    (logits,) = session.run(["logits"], {"image": x})
    assert (logits.argmax(axis=1) == y).mean() >= LEAST_ACCURACY


@pytest.mark.onnxruntime
def test_held_out_images_are_not_those_of_training() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    everything = datasets.load_digits().images.astype(np.uint8)
    with np.load(DIGITS / "digits.npz") as data:
        held_out = {image.tobytes() for image in data["x"]}
    training = [image for image in everything if image.tobytes() not in held_out]
    assert len(training) == 600


@pytest.mark.slow
@pytest.mark.torch
def test_training_script_runs(tmp_path: Path) -> None:
    for module in ("torch", "onnxscript", "sklearn"):
        pytest.importorskip(module)
    command = [sys.executable, DIGITS / "train.py", "--epochs", "2", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "held-out images" in done.stdout
    assert (tmp_path / "digits.onnx").stat().st_size < 1_000_000
    with np.load(tmp_path / "digits.npz") as written, np.load(DIGITS / "digits.npz") as committed:
        # Not the files' bytes: what zipfile writes into its headers differs between 3.11.2 and 3.11.7.
        assert written.files == committed.files
        assert all(np.array_equal(written[name], committed[name]) for name in committed.files)


@pytest.mark.slow
@pytest.mark.litert
@pytest.mark.onnxruntime
@pytest.mark.openvino
def test_demo_ends_with_a_bundle_a_report_and_a_table(tmp_path: Path) -> None:
    for module in ("ai_edge_litert", "onnxruntime", "openvino"):
        pytest.importorskip(module)
    absent = tmp_path / "absent"  # what `make demo` does not install, hidden from the demo and from its children
    absent.mkdir()
    for module in ("torch", "tensorflow", "keras", "tf2onnx", "onnxscript", "sklearn"):
        (absent / f"{module}.py").write_text(f"raise ImportError('{module} is not installed for the demo')\n")
    settings = {"PYTHONPATH": str(absent), "EDGEAI_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "2"}
    environment = os.environ | settings
    command = [sys.executable, DIGITS / "run_demo.py", "--out", tmp_path / "build"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "build" / "digits.edge").is_file()
    page = (tmp_path / "build" / "digits.html").read_text(encoding="utf-8")
    for precision in ("float32", "float16", "dynamic_int8", "int8"):
        assert precision in done.stdout
    for name in ("tflite", "onnx", "openvino"):
        assert name in done.stdout
        assert name in page
    assert "certified" in done.stdout
    assert "How sure" in done.stdout
    assert "MB in" in done.stdout

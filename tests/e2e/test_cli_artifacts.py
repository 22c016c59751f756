"""The user's road by the command line, without a search: convert, inspect, run, bench, and what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeai.cli import main

pytest.importorskip("ai_edge_litert")
pytest.importorskip("openvino")

RUN_KEYS = {
    "artifact", "format", "engine", "delegate", "placement", "threads", "scenario", "latency_ms", "throughput_per_s",
    "load_ms", "first_ms", "rss_mib", "outputs_match",
}  # fmt: skip
ARTIFACTS = {"tflite": "model.tflite", "onnx": "model.onnx", "openvino": "model.xml"}


def edgeai(*arguments: object, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "EDGEAI_CACHE": str(cache)}
    command = [sys.executable, "-m", "edgeai", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


def document(*arguments: object, cache: Path, code: int = 0) -> dict[str, Any]:
    """Run with `--json` and return the one document on stdout."""
    done = edgeai(*arguments, "--json", cache=cache)
    assert done.returncode == code, done.stderr or done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny source, converted into every format by the command line."""
    folder = tmp_path_factory.mktemp("artifacts")
    generator = np.random.default_rng(0)
    constants = {
        "w": generator.normal(size=(8, 3, 3, 3)).astype(np.float32),
        "b": generator.normal(size=8).astype(np.float32),
        "v": generator.normal(size=(8, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["h"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 12, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "source.onnx")
    np.save(folder / "x.npy", generator.normal(size=(1, 3, 12, 12)).astype(np.float32))
    for form, name in ARTIFACTS.items():
        done = edgeai("convert", folder / "source.onnx", "--to", form, "-o", folder / name, cache=folder / "cache")
        assert done.returncode == 0, done.stderr
        assert "held against the source" in done.stdout
    return folder


def test_convert_reports_route_and_parity(folder: Path, tmp_path: Path) -> None:
    found = document(
        "convert", folder / "source.onnx", "--to", "tflite", "-o", tmp_path / "m.tflite", cache=folder / "cache"
    )
    assert {"artifact", "format", "route", "parity"} <= set(found)
    assert set(found["parity"]) == {"max_abs", "max_rel", "cosine", "n"}
    assert found["parity"]["max_rel"] < 1e-5
    assert (tmp_path / "m.tflite").is_file()


def test_convert_does_not_overwrite(folder: Path) -> None:
    before = (folder / "model.tflite").read_bytes()
    arguments = ("convert", folder / "source.onnx", "--to", "tflite", "-o", folder / "model.tflite")
    error = document(*arguments, cache=folder / "cache", code=1)["error"]
    assert error["type"] == "OutputError"
    assert "--force" in error["hint"]
    assert (folder / "model.tflite").read_bytes() == before


def test_the_same_model_counts_the_same_in_every_format(folder: Path) -> None:
    counted = {form: document("inspect", folder / name, cache=folder / "cache") for form, name in ARTIFACTS.items()}
    assert {form: found["format"] for form, found in counted.items()} == {form: form for form in ARTIFACTS}
    assert {found["parameters"] for found in counted.values()} == {8 * 27 + 8 + 32}
    assert {found["macs"] for found in counted.values()} == {8 * 144 * 27 + 32}
    assert {found["precision"] for found in counted.values()} == {"float32"}


@pytest.mark.parametrize("name", ARTIFACTS.values())
def test_run_gives_outputs_placement_and_latency(folder: Path, name: str) -> None:
    found = document("run", folder / name, "--input", folder / "x.npy", cache=folder / "cache")
    assert {"outputs", "placement", "latency_ms"} <= set(found)
    (output,) = found["outputs"].values()
    assert np.shape(output) == (1, 4)
    assert found["placement"]["npu"] == 0.0
    assert found["latency_ms"] > 0


def test_run_never_calls_a_cpu_an_npu(folder: Path) -> None:
    arguments = ("run", folder / "model.tflite", "--input", folder / "x.npy", "--require", "npu")
    error = document(*arguments, cache=folder / "cache", code=1)["error"]
    assert error["type"] == "PlacementError"


def test_run_saves_outputs_when_asked(folder: Path, tmp_path: Path) -> None:
    arguments = ("run", folder / "model.onnx", "--input", folder / "x.npy", "-o", tmp_path / "y.npz")
    assert edgeai(*arguments, cache=folder / "cache").returncode == 0
    with np.load(tmp_path / "y.npz") as saved:
        assert saved["y"].shape == (1, 4)


def test_bench_measures_all_artifacts_side_by_side(folder: Path) -> None:
    paths = [folder / name for name in ARTIFACTS.values()]
    arguments = ("bench", *paths, "--duration", "200ms", "--input", folder / "x.npy")
    found = document(*arguments, cache=folder / "cache")
    assert {"machine", "runs", "comparisons"} <= set(found)
    assert [run["engine"] for run in found["runs"]] == ["litert", "onnxruntime", "openvino"]
    for run in found["runs"]:
        assert set(run) >= RUN_KEYS
        assert set(run["latency_ms"]) >= {"median", "p90", "p99", "median_ci95"}
        assert set(run["placement"]) == {"cpu", "gpu", "npu", "unknown"}
    assert [run["outputs_match"] for run in found["runs"]] == [None, True, True]
    assert [(pair["a"], pair["b"]) for pair in found["comparisons"]] == [(str(p), str(paths[0])) for p in paths[1:]]
    assert {pair["verdict"] for pair in found["comparisons"]} <= {"faster", "slower", "no_difference"}


def test_bench_of_an_artifact_against_itself_compares_nothing_twice(folder: Path) -> None:
    path = folder / "model.onnx"
    found = document("bench", path, path, "--duration", "50ms", cache=folder / "cache")
    assert len(found["runs"]) == 1


def test_bench_sees_that_outputs_differ(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
    onnx.save(model, tmp_path / "broken.onnx")
    paths = (folder / "model.tflite", tmp_path / "broken.onnx")
    found = document("bench", *paths, "--duration", "50ms", "--input", folder / "x.npy", cache=folder / "cache")
    assert found["runs"][1]["outputs_match"] is False


@pytest.mark.parametrize("name", ARTIFACTS.values())
@pytest.mark.parametrize("verb", ["inspect", "bench", "run", "convert"])
def test_a_truncated_model_is_an_error_that_names_it(
    folder: Path, tmp_path: Path, name: str, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (folder / name).read_bytes()
    bad = tmp_path / name
    bad.write_bytes(content[: len(content) // 3])
    extra = {"run": ("--input", folder / "x.npy"), "convert": ("--to", "onnx", "-o", tmp_path / "out.onnx")}
    assert main([verb, *map(str, (bad, *extra.get(verb, ()))), "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] in ("ModelError", "EngineError", "UnsupportedOperationError")
    assert bad.name in error["message"]
    assert not (tmp_path / "out.onnx").exists()


def test_doctor_of_a_source_says_what_each_format_can_not_write(folder: Path) -> None:
    found = document("doctor", folder / "source.onnx", cache=folder / "cache")
    assert found["ok"]
    names = {check["name"]: check for check in found["model"]["checks"]}
    assert names["tflite"]["detail"] == "all 5 operations can be written, 1 transpose"


def test_doctor_finds_the_engines_and_the_instruction_set(folder: Path) -> None:
    found = document("doctor", cache=folder / "cache")
    states = {check["name"]: check["state"] for check in found["checks"]}
    assert {states[name] for name in ("litert", "onnxruntime", "openvino", "cache", "telemetry")} == {"ok"}


def test_doctor_tells_a_cache_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = document("doctor", cache=tmp_path / "file", code=1)
    (cache,) = [check for check in found["checks"] if check["name"] == "cache"]
    assert cache["state"] == "failed"
    assert "EDGEAI_CACHE" in cache["hint"]

"""One bundle measured by the device's command line and at the desk: the same run to whoever reads the two results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeai.benchmarking.stored import read_report
from edgeai.cli.app import run as run_cli
from edgeai_runtime.bench.yardsticks import yardsticks
from edgeai_runtime.bundle import file_entry, npz_bytes, write_bundle
from edgeai_runtime.manifest import Manifest, TensorSpec, Tolerance, Variant

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.onnxruntime


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Results of a bundle and of the file in it: what a device printed, and what the desk stored."""
    folder = tmp_path_factory.mktemp("results")
    weights = numpy_helper.from_array(np.full((64, 64), 0.01, np.float32), "w")
    x, y = (helper.make_tensor_value_info(each, TensorProto.FLOAT, ["n", 64]) for each in "xy")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "net", [x], [y], [weights])
    bare = folder / "bare.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), bare)
    member, ones = "variants/onnx-float32/model.onnx", np.ones((1, 64), np.float32)
    golden = {
        "golden/inputs.npz": npz_bytes({"x": ones}),
        "golden/outputs.npz": npz_bytes({"source/y": 0.64 * ones, "onnx-float32/y": 0.64 * ones}),
    }
    tensors = {name: (TensorSpec(name=name, shape=(None, 64), dtype="float32"),) for name in "xy"}
    variant = Variant(
        id="onnx-float32",
        format="onnx",
        precision="float32",
        delegates=("onnxruntime:cpu",),
        files=(file_entry(member, bare),),
        inputs=tensors["x"],
        outputs=tensors["y"],
        tolerance={"y": Tolerance(atol=1e-4, rtol=1e-4)},
    )
    entries = tuple(file_entry(name, content) for name, content in golden.items())
    manifest = Manifest(
        name="net", version="1", inputs=tensors["x"], outputs=tensors["y"], variants=(variant,), golden=entries
    )
    bundle = folder / "net.edge"
    write_bundle(bundle, manifest, {member: bare, **golden})
    words = ("bench", str(bundle), str(bare), "--threads", "1", "--json", "--duration")
    paths = {name: folder / f"{name}.json" for name in ("device", "desk")}
    for name, module, seconds in (("device", "edgeai_runtime", "0.1"), ("desk", "edgeai", "100ms")):
        command = [sys.executable, "-m", module, *words, seconds]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        paths[name].write_text(done.stdout)
    return paths


def test_a_device_and_the_desk_tell_the_same_of_the_same_files(results: dict[str, Path]) -> None:
    device, desk = (read_report(results[name]) for name in ("device", "desk"))
    same = ("artifact", "label", "format", "precision", "engine", "engine_version", "delegate", "ran_on", "threads")
    facts = (*same, "batch", "scenario", "size_bytes", "digest", "emulated")
    assert [[run[key] for key in facts] for run in device["runs"]] == [
        [run[key] for key in facts] for run in desk["runs"]
    ]
    assert {run["placement"]["cpu"] for run in device["runs"]} == {1.0}
    assert [run["outputs_match"] for run in device["runs"]] == [True, None]
    assert all(left.keys() <= right.keys() for left, right in ((device["machine"], desk["machine"]), (device, desk)))


@pytest.mark.parametrize(("old", "new"), [("device", "desk"), ("desk", "device"), ("device", "device")])
def test_results_of_either_are_compared(
    results: dict[str, Path], old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "--compare", str(results[old]), str(results[new]), "--json"]
    assert run_cli(words) == 0
    comparisons: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["comparisons"]
    assert [each["how"] for each in comparisons] == ["stored", "stored"]
    assert all("the file is the same" in each["note"] for each in comparisons)


@pytest.mark.parametrize("name", ["device", "desk"])
def test_both_measure_the_yardsticks_in_the_rounds_of_the_models(results: dict[str, Path], name: str) -> None:
    document = read_report(results[name])
    rounds = {len(run["rounds_ms"]) for run in document["runs"]}
    assert {each["name"]: {len(each["rounds_ms"])} for each in document["yardsticks"]} == dict.fromkeys(
        yardsticks(), rounds
    )
    assert all(min(each["rounds_ms"]) > 0 for each in document["yardsticks"])
    assert all(0 <= run["noise"]["calm"] <= 1 for run in document["runs"])

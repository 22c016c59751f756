"""Before a search: what it could not mend is told, what can be mended is, and times of another machine are not used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper
from onnx import helper as oh

from edgeai.builder.build_result import BuildResult
from edgeai.builder.config_read import read_config
from edgeai.builder.fixed_batch import shaped_graph
from edgeai.builder.run_build import run_build

pytest.importorskip("ai_edge_litert")
pytestmark = pytest.mark.litert

Build = Callable[..., BuildResult]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Builds one model, x `[batch, 16]` → y `[batch, 4]`, for one target."""
    weights = numpy_helper.from_array(np.linspace(-1, 1, 64, dtype=np.float32).reshape(16, 4), "w")
    ends = [oh.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]) for name, size in (("x", 16), ("y", 4))]
    graph = oh.make_graph([oh.make_node("MatMul", ["x", "w"], ["y"])], "net", ends[:1], ends[1:], [weights])
    model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=9)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())

    def run(target: str, *, model: str = "", dry_run: bool = False, locked: bool = False) -> BuildResult:
        text = f'schema = 1\nproject = {{ name = "app" }}\n[models.net]\nsource = "net.onnx"\n{model}\n'
        (tmp_path / "edgeai.toml").write_text(f"{text}[models.net.targets.any]\n{target}\n")
        return run_build(read_config(tmp_path / "edgeai.toml"), dry_run=dry_run, locked=locked)

    return run


@pytest.mark.parametrize(
    ("model", "target", "words"),
    [
        ("", 'device = "ethos-u55-128"', "int8, int16x8 needs samples, and models.net has none"),
        ("", 'device = "coral-usb"\nprecisions = ["float16"]', "tflite float16: precision: computes in float16"),
        ('labels = "labels.txt"', "", "labels.txt has 3 names, and the output 'y' has 4 classes"),
        (
            "input_shapes = { x = [-1, 16] }",
            'device = "galaxy-s24-snapdragon"\nformats = ["onnx"]\noutputs = ["qnn-context"]',
            "qnn needs fixed shapes, and those of x are not all fixed",
        ),
    ],
    ids=["no samples", "no precision", "labels", "a batch that is said to stay free"],
)
def test_what_no_search_could_mend_is_told_before_it(
    build: Build, tmp_path: Path, model: str, target: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeai.builder.run_target.require_tools", lambda *_: None)
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    (outcome,) = build(target, model=model).targets
    assert outcome.error is not None
    assert words in outcome.error.message
    assert [step.name for step in outcome.steps if step.status == "failed"] == ["preflight"]
    assert not list((tmp_path / ".edgeai").glob("work/measure-*"))


def test_a_batch_that_the_target_cannot_take_free_is_fixed_and_it_is_said(build: Build, tmp_path: Path) -> None:
    target = 'device = "qcs6490"\nformats = ["onnx"]\noutputs = ["qnn-context"]'
    build(target, dry_run=True)
    config = read_config(tmp_path / "edgeai.toml")
    (model,) = config.models
    graph, shapes, line = shaped_graph(model, model.targets[0], config.state)
    assert shapes == {"x": (1, -1)}
    assert graph.inputs[0].shape == (1, 16)
    assert line == "the batch of x is fixed to 1: qnn takes no free one"


def test_times_of_another_machine_are_measured_again_and_bytes_are_not_made_again(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = 'formats = ["tflite"]\nprecisions = ["float32"]\n[models.net.targets.any.gates]\nlatency = "1000ms"'
    assert build(target).ok
    bundle, report = tmp_path / "build/net/any/net.edge", tmp_path / "build/net/any/report.json"
    bytes_before, machine = bundle.read_bytes(), json.loads(report.read_text())["machine"]
    for file in (tmp_path / ".edgeai/build").glob("compress-*/compress.json"):
        (file.parent / "files.json").unlink()  # else it would be taken for damaged
        file.write_text(file.read_text().replace(machine["os"], "Plan 9").replace('"median": 0', '"median": 7777'))
    other = {**machine, "os": "Plan 9"}
    monkeypatch.setattr("edgeai.builder.plan.describe_machine", lambda: {**machine, "python": "next"})
    (outcome,) = build(target, locked=True).targets
    status = {step.name: (step.status, step.notes) for step in outcome.steps}
    assert outcome.ok
    assert (status["compress"][0], status["bundle"][0]) == ("up to date", "up to date")
    assert status["measure"][0] == "made"
    assert f"os: {other['os']}, here {machine['os']}" in status["measure"][1][0]
    after = json.loads(report.read_text())
    assert after["machine"] == machine
    assert after["notes"][-1] == status["measure"][1][0]
    assert bundle.read_bytes() == bytes_before

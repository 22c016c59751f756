"""Timing a pipeline: on a device and on a workstation, beside one of its stages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeai
import edgeai_runtime
from edgeai.benchmarking.scenario_run import run_model_scenario
from edgeai_converters.pipeline_writer import write_pipeline
from edgeai_runtime.__main__ import main
from edgeai_runtime.device_cli_inputs import recorded_stage_inputs
from edgeai_runtime.manifest import Step

MakeStage = Callable[..., Path]

X = np.array([[5, 6], [7, 8]], np.float32)
WORDS = b"[PAD]\n[UNK]\neven\nodd\n"


@pytest.fixture
def whole(make_stage: MakeStage, tmp_path: Path) -> Path:
    """A sequence whose first stage takes words, which cannot be drawn, and has recorded some."""
    words = Step(op="tokenize", params={"vocabulary": "words.txt", "length": 2})
    golden = {
        "golden/inputs.npz": {"x": np.array(["odd", "even odd"])},
        "golden/outputs.npz": {"source/y": X, "only/y": X},
    }
    cast = Step(op="cast", params={"dtype": "float32"})
    first = make_stage("first", 2, before=[words, cast], golden=golden, assets={"words.txt": WORDS})
    path = tmp_path / "whole.edge"
    write_pipeline(path, {"first": first, "second": make_stage("second", 3)}, kind="sequence")
    return path


def test_a_device_times_a_pipeline_on_what_its_first_stage_recorded(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(whole), "--duration", "0.05", "--batch", "2", "--all-variants", "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert (run["format"], run["delegate"], run["batch"]) == ("pipeline", "fake:cpu", 2)
    assert run["latency_ms"]["median"] > 0
    assert run["outputs_match"] is None


def test_a_workstation_times_a_pipeline_beside_a_stage_of_it(whole: Path, make_stage: MakeStage) -> None:
    report = edgeai.bench([whole, make_stage("alone", 3)], duration_s=0.05)
    pipeline, alone = report.runs
    assert (pipeline.format, pipeline.artifact, pipeline.outputs_match) == ("pipeline", str(whole), None)
    assert alone.format == "onnx"
    assert pipeline.latency_ms.median > alone.latency_ms.median
    assert report.comparisons[0].verdict == "faster"
    assert not report.skipped


def test_parts_that_a_pipeline_has_not_are_named_and_a_long_one_tells_how_far_it_is(whole: Path) -> None:
    labels: list[str] = []
    report = edgeai.bench(
        [whole],
        duration_s=0.05,
        phases=True,
        memory=True,
        sustained_s=0.3,
        on_step=lambda done, total, label: labels.append(label),
    )
    assert [(one.artifact.split(", ")[-1], one.reason.split(";")[0]) for one in report.skipped] == [
        ("phases", "of a pipeline"),
        ("memory", "of a pipeline"),
    ]
    assert report.runs[0].sustained is not None
    assert any(re.fullmatch(r"sustained run of .*, \d of \d s: .* ms", label) for label in labels)


@pytest.mark.parametrize("scenario", ["single_stream", "multi_stream", "server", "offline"])
def test_a_pipeline_runs_in_every_scenario(whole: Path, scenario: Any) -> None:
    with edgeai_runtime.load(whole, threads=2) as model:
        arrays = recorded_stage_inputs(edgeai_runtime.open_bundle(whole), 1)
        assert arrays is not None
        outcome = run_model_scenario(
            model, arrays, scenario=scenario, tier="quick", duration_s=0.1, latency_bound_ms=50.0
        )
    assert outcome.value > 0

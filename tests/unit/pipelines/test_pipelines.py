"""Several models in one bundle, on the fake engine: what they compute, what they check, what they report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_converters.pipeline_writer import write_pipeline
from edgeai_runtime.bundle import open_bundle, verify_bundle
from edgeai_runtime.device_cli_checks import check_delegates
from edgeai_runtime.errors import BundleError, DataError, OutputError, UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Step, TensorSpec
from edgeai_runtime.pipeline import PipelineModel

MakeStage = Callable[..., Path]

BATCH = np.array([[0.9, 0.1], [0.55, 0.45], [0.2, 0.8]], np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "whole.edge"


def opened(path: Path) -> PipelineModel:
    model = load(path)
    assert isinstance(model, PipelineModel)
    return model


def scale(factor: float, offset: float = 0) -> Step:
    return Step(op="scale", params={"factor": factor, "offset": offset})


def test_a_sequence_feeds_each_result_to_the_next(make_stage: MakeStage, path: Path) -> None:
    stages = {"a": make_stage("a", 2, after=[scale(1, 1)]), "b": make_stage("b", 10, before=[scale(1, 3)])}
    write_pipeline(path, stages, kind="sequence")
    with opened(path) as model:
        np.testing.assert_allclose(model(BATCH), 10 * (2 * BATCH + 1 + 3), rtol=1e-6)
        np.testing.assert_allclose(model(BATCH[0]), 10 * (2 * BATCH[0] + 4), rtol=1e-6)
        assert set(model({"x": BATCH})) == {"y"}
        assert model.samples == {"a": 7, "b": 7}


def test_a_sequence_takes_what_its_inputs_say(make_stage: MakeStage, path: Path) -> None:
    stages = {"a": make_stage("a", 2), "b": make_stage("b", 3), "c": make_stage("c", 5)}
    write_pipeline(path, stages, kind="sequence", inputs={"b": {"x": "x"}, "c": {"x": "a/y"}})
    with opened(path) as model:
        np.testing.assert_allclose(model(BATCH), 10 * BATCH, rtol=1e-6)


def test_an_input_that_nothing_gives_is_told_before_anything_is_written(make_stage: MakeStage, path: Path) -> None:
    stages = {"a": make_stage("a"), "b": make_stage("b")}
    with pytest.raises(BundleError, match="nothing gives the input 'x' of stage 'b'") as caught:
        write_pipeline(path, stages, kind="sequence", inputs={"b": {"x": "a/z"}})
    assert "x, a/y" in caught.value.hint
    assert not path.exists()


def test_a_cascade_asks_the_next_one_only_where_the_first_is_unsure(make_stage: MakeStage, path: Path) -> None:
    stages = {"small": make_stage("small"), "big": make_stage("big", 100)}
    write_pipeline(path, stages, kind="cascade", thresholds=[0.7])
    with opened(path) as model:
        np.testing.assert_allclose(model(BATCH), BATCH * np.array([[1], [100], [1]]), rtol=1e-6)
        assert model.samples == {"small": 3, "big": 1}
        np.testing.assert_allclose(model(BATCH[0]), BATCH[0])
        np.testing.assert_allclose(model(BATCH[1]), 100 * BATCH[1], rtol=1e-6)
        assert model.samples == {"small": 5, "big": 2}


@pytest.mark.parametrize(
    ("confidence", "threshold", "asked"),
    [("score", 0.85, 2), ("margin", 0.61, 2), ("margin", 0.05, 0), ("softmax", 0.68, 2)],
)
def test_confidence_is_what_it_is_called(
    make_stage: MakeStage, path: Path, confidence: Any, threshold: float, asked: int
) -> None:
    stages = {"small": make_stage("small"), "big": make_stage("big")}
    write_pipeline(path, stages, kind="cascade", thresholds=[threshold], confidence=confidence)
    with opened(path) as model:
        model(BATCH)
        assert model.samples["big"] == asked


def test_what_is_not_a_number_is_not_sure(make_stage: MakeStage, path: Path) -> None:
    write_pipeline(path, {"a": make_stage("a"), "b": make_stage("b")}, kind="cascade", thresholds=[0.0])
    with opened(path) as model:
        model(np.full((2, 2), np.nan, np.float32))
        assert model.samples == {"a": 2, "b": 2}


def test_a_cascade_of_labels_goes_by_their_scores(make_stage: MakeStage, path: Path) -> None:
    stages = {"a": make_stage("a", after=[Step(op="labels")]), "b": make_stage("b", 100, after=[Step(op="labels")])}
    write_pipeline(path, stages, kind="cascade", thresholds=[0.7])
    with opened(path) as model:
        assert [round(answer[0]["score"], 2) for answer in model(BATCH)] == [0.9, 55.0, 0.8]


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_a_fixed_batch_is_filled_up(make_stage: MakeStage, path: Path, samples: int) -> None:
    stages = {"a": make_stage("a"), "b": make_stage("b", 3, shape=(2, 2))}
    write_pipeline(path, stages, kind="cascade", thresholds=[2.0])
    batch = np.arange(2.0 * samples, dtype=np.float32).reshape(samples, 2) / 10
    with opened(path) as model:
        np.testing.assert_allclose(model(batch), 3 * batch, rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "combine", "expected"),
    [
        ((), "mean", [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]),
        ((3, 1), "mean", [[0.7, 0.3], [0.525, 0.475], [0.35, 0.65]]),
        ((3, 1), "vote", [[0.75, 0.25], [0.75, 0.25], [0.25, 0.75]]),
    ],
)
def test_an_ensemble_is_the_mean_or_the_vote(
    make_stage: MakeStage, path: Path, weights: Any, combine: Any, expected: Any
) -> None:
    flip = [Step(op="channels", params={"order": [1, 0]})]
    stages = {"a": make_stage("a"), "b": make_stage("b", after=flip)}
    write_pipeline(path, stages, kind="ensemble", weights=weights, combine=combine)
    with opened(path) as model:
        np.testing.assert_allclose(model(BATCH), expected, rtol=1e-6)


def test_the_steps_of_the_whole_run_around_all(make_stage: MakeStage, path: Path) -> None:
    write_pipeline(
        path,
        {"a": make_stage("a"), "b": make_stage("b", 3)},
        kind="ensemble",
        preprocessing={"x": [scale(10)]},
        postprocessing={"y": [Step(op="labels")]},
        labels=["cat", "dog"],
    )
    with opened(path) as model:
        assert [answer[0]["label"] for answer in model(BATCH)] == ["cat", "cat", "dog"]
        assert model(BATCH[2])[0]["score"] == pytest.approx(16.0)


def test_every_stage_says_where_it_runs(make_stage: MakeStage, path: Path) -> None:
    write_pipeline(path, {"a": make_stage("a"), "b": make_stage("b")}, kind="sequence")
    with opened(path) as model:
        report = model.placement
        assert (report.engine, report.delegate) == ("fake", "fake:cpu")
        assert {operation.name.partition("/")[0] for operation in report.operations} == {"a", "b"}
        assert [attempt.variant for attempt in report.attempts] == ["a/only", "b/only"]
        assert model.stages["b"].placement.delegate == "fake:cpu"


def test_a_raw_run_has_the_steps_of_the_stages_and_not_those_around_them(make_stage: MakeStage, path: Path) -> None:
    stages = {"a": make_stage("a", 2, after=[scale(1, 1)]), "b": make_stage("b", 3)}
    write_pipeline(path, stages, kind="sequence", preprocessing={"x": [scale(10)]})
    with opened(path) as model:
        np.testing.assert_allclose(model(BATCH), (2 * 10 * BATCH + 1) * 3, rtol=1e-6)
        np.testing.assert_array_equal(model.run_raw(model.preprocess(BATCH))[0], model(BATCH))
        np.testing.assert_allclose(model.run_raw([BATCH])[0], (2 * BATCH + 1) * 3, rtol=1e-6)
        with pytest.raises(DataError):
            model.run_raw([BATCH, BATCH])


def test_a_pipeline_has_no_variant(make_stage: MakeStage, path: Path) -> None:
    write_pipeline(path, {"a": make_stage("a"), "b": make_stage("b")}, kind="sequence")
    with pytest.raises(UsageError, match="is a pipeline"):
        load(path, variant="only")


def test_a_closed_pipeline_closes_its_stages(make_stage: MakeStage, path: Path) -> None:
    write_pipeline(path, {"a": make_stage("a"), "b": make_stage("b")}, kind="sequence")
    model = opened(path)
    model.close()
    for one in (model, model.stages["a"]):
        with pytest.raises(UsageError, match="closed"):
            one(BATCH)


def test_unlike_answers_are_refused(make_stage: MakeStage, path: Path) -> None:
    stages = {"a": make_stage("a"), "b": make_stage("b", after=[Step(op="labels")])}
    write_pipeline(path, stages, kind="cascade", thresholds=[0.7])
    with opened(path) as model, pytest.raises(DataError, match="stage 'b' gives a list"):
        model(BATCH)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "cascade"}, "a cascade of 2 stages has 1 thresholds. Received: 0"),
        ({"kind": "sequence", "thresholds": [1]}, "has 0 thresholds. Received: 1"),
        ({"kind": "sequence", "weights": [1, 2]}, "weights are for an ensemble"),
        ({"kind": "ensemble", "weights": [1]}, "weights are for an ensemble, one per stage"),
        ({"kind": "ensemble", "inputs": {"a": {}}}, "inputs can only be given for the stages of a sequence"),
        (
            {"kind": "sequence", "inputs": {"c": {}}},
            "inputs can only be given for the stages of a sequence. Received: c",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(make_stage: MakeStage, path: Path, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_pipeline(path, {"a": make_stage("a"), "b": make_stage("b")}, **options)


def test_one_stage_is_no_pipeline(make_stage: MakeStage, path: Path) -> None:
    with pytest.raises(UsageError, match="two stages or more"):
        write_pipeline(path, {"a": make_stage("a")}, kind="sequence")


def test_nothing_is_overwritten_unasked(make_stage: MakeStage, path: Path) -> None:
    stages = {"a": make_stage("a"), "b": make_stage("b")}
    write_pipeline(path, stages, kind="sequence")
    with pytest.raises(OutputError, match="exists already"):
        write_pipeline(path, stages, kind="sequence")
    write_pipeline(path, stages, kind="sequence", force=True)


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_stage_is_the_bundle_it_was(make_stage: MakeStage, tmp_path: Path, as_folder: bool) -> None:
    stage = make_stage("a")
    path = tmp_path / "whole"
    write_pipeline(path, {"a": stage, "b": make_stage("b")}, kind="sequence", as_folder=as_folder)
    whole = open_bundle(path)
    assert open_bundle(whole.root / "models" / "a").digest == open_bundle(stage).digest


GOLDEN = {
    "golden/inputs.npz": {"x": BATCH},
    "golden/outputs.npz": {"source/y": 2 * BATCH, "only/y": 2 * BATCH},
}


def test_verifying_covers_every_stage(make_stage: MakeStage, path: Path) -> None:
    stages = {"a": make_stage("a", 2, golden=GOLDEN), "b": make_stage("b", 3, golden=GOLDEN)}
    write_pipeline(path, stages, kind="sequence")
    checks = verify_bundle(path)
    assert all(check.ok for check in checks)
    assert {"a: golden", "b: golden", "a: steps", "b: members"} <= {check.name for check in checks}
    assert [(check.name, check.ok) for check in check_delegates(path).checks] == [
        ("a: golden only on fake:cpu", True),
        ("b: golden only on fake:cpu", False),  # it multiplies by three where two was recorded
    ]


def test_a_damaged_stage_is_found(make_stage: MakeStage, tmp_path: Path) -> None:
    path = tmp_path / "whole"
    write_pipeline(path, {"a": make_stage("a"), "b": make_stage("b")}, kind="sequence", as_folder=True)
    member = path / "models" / "b" / "variants" / "only" / "model.onnx"
    member.write_bytes(member.read_bytes()[::-1])
    assert [check.name for check in verify_bundle(path) if not check.ok] == ["sha256 models/b/variants/only/model.onnx"]
    with pytest.raises(BundleError):
        load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: dataclasses.replace(p, stages=p.stages[:1]), "two stages or more"),
        (lambda p: dataclasses.replace(p, stages=(p.stages[0], p.stages[0])), "two stages are called 'a'"),
        (lambda p: dataclasses.replace(p, kind="cascade"), "every stage but the last has a threshold"),
        (
            lambda p: dataclasses.replace(p, stages=(p.stages[0], dataclasses.replace(p.stages[1], name="../b"))),
            "a stage's name must be",
        ),
        (
            lambda p: dataclasses.replace(p, stages=(p.stages[0], dataclasses.replace(p.stages[1], name="c"))),
            "does not lie in the folder 'models/c/'",
        ),
        (
            lambda p: dataclasses.replace(p, stages=(p.stages[0], dataclasses.replace(p.stages[1], weight=0.0))),
            "a weight must be above zero",
        ),
        (
            lambda p: dataclasses.replace(p, stages=(p.stages[0], dataclasses.replace(p.stages[1], files=()))),
            "has no manifest.json",
        ),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(
    make_stage: MakeStage, path: Path, change: Callable[..., Any], message: str
) -> None:
    from edgeai_runtime.manifest_json import dump_manifest

    write_pipeline(path, {"a": make_stage("a"), "b": make_stage("b")}, kind="sequence")
    manifest = open_bundle(path).manifest
    with pytest.raises(BundleError, match=message):
        dump_manifest(dataclasses.replace(manifest, pipeline=change(manifest.pipeline)))


def test_a_pipeline_has_no_variants_of_its_own(make_stage: MakeStage, path: Path) -> None:
    from edgeai_runtime.manifest_json import dump_manifest

    stage = make_stage("a")
    write_pipeline(path, {"a": stage, "b": make_stage("b")}, kind="sequence")
    manifest = dataclasses.replace(open_bundle(path).manifest, variants=open_bundle(stage).manifest.variants)
    with pytest.raises(BundleError, match="neither variants nor golden"):
        dump_manifest(manifest)


def test_what_older_readers_do_not_know_is_left_out_when_empty(make_stage: MakeStage) -> None:
    from edgeai_runtime.manifest_json import to_json

    assert {"assets", "pipeline"}.isdisjoint(to_json(open_bundle(make_stage("a")).manifest))


def test_stages_of_other_inputs_are_told(make_stage: MakeStage, path: Path) -> None:
    two = (
        TensorSpec(name="y", shape=(None, 2), dtype="float32"),
        TensorSpec(name="z", shape=(None, 2), dtype="float32"),
    )
    stages = {"a": make_stage("a"), "b": make_stage("b")}
    manifest = open_bundle(stages["a"]).manifest
    assert manifest.outputs != two
    renamed = make_stage("c", names=("image", "scores"))
    write_pipeline(path, {"a": stages["a"], "c": renamed}, kind="ensemble")
    with opened(path) as model:
        np.testing.assert_allclose(model(BATCH), BATCH)


def test_a_pipeline_has_a_queue_whose_samples_are_counted(make_stage: MakeStage, path: Path) -> None:
    stages = {"a": make_stage("a", 2), "b": make_stage("b", 10)}
    write_pipeline(path, stages, kind="sequence")
    with opened(path) as model:
        model.open_queue(workers=2)
        for future in [model.submit(BATCH) for _ in range(4)]:
            np.testing.assert_allclose(future.result(30), 20 * BATCH, rtol=1e-6)
        assert model.samples == {"a": 12, "b": 12}

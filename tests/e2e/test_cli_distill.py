"""`edgeai distill`: from two files and samples to a trained student and what the training gave."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import edgeai
from edgeai.cli import main
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_runtime.errors import DataError, ParityError, UsageError

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.onnxruntime, pytest.mark.torch]

_RANDOM = np.random.default_rng(0)
_WEIGHT = _RANDOM.normal(0, 0.3, (16, 32)).astype(np.float32)
_HEAD = _RANDOM.normal(0, 0.3, (32, 4)).astype(np.float32)
_KEPT = 16
_FAST = ("--epochs", "6", "--learning-rate", "0.02", "--batch-size", "32")


def _network(path: Path, width: int, *, x: str = "x", y: str = "scores") -> Path:
    nodes = [
        helper.make_node("MatMul", [x, "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MatMul", ["r", "h"], ["z"]),
        helper.make_node("Softmax", ["z"], [y]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info(y, TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(_WEIGHT[:, :width], "w"), numpy_helper.from_array(_HEAD[:width], "h")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def _samples(path: Path, n: int, seed: int, *, labels: bool = True) -> Path:
    x = np.random.default_rng(seed).normal(0, 1, (n, 16)).astype(np.float32)
    arrays = {"x": x} | ({"y": (np.maximum(x @ _WEIGHT, 0) @ _HEAD).argmax(-1)} if labels else {})
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that keeps what was read of the models for the next test."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Path) -> Path:
    """A folder with a teacher, a student that lost half of its neurons, and samples."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").symlink_to(work)
    _network(tmp_path / "teacher.onnx", 32, x="image", y="probabilities")
    _network(tmp_path / "student.onnx", _KEPT)
    _samples(tmp_path / "train.npz", 512, 1, labels=False)
    _samples(tmp_path / "test.npz", 600, 2)
    return tmp_path


def _command(*more: str, train: str = "train.npz") -> list[str]:
    given = ["student.onnx", "--teacher", "teacher.onnx", "--train-data", train, "--data", "test.npz"]
    return ["distill", *given, "--work", "work", *_FAST, *more]


def _forget_training(files: Path) -> None:
    for folder in (files / "work").glob("distilled-*"):
        shutil.rmtree(folder)


def _run(path: Path, inputs: NDArray[Any]) -> NDArray[Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": inputs})[0])


def test_student_recovers_and_the_document_says_so(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(_command("-o", "taught.onnx", "--json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["metric"], document["teacher_score"]) == ("top1", 1.0)
    assert document["after"]["score"] > document["before"]["score"]
    assert document["gain"]["gain_ci95"][0] > 0
    assert document["gain"]["gain"] == pytest.approx(document["after"]["score"] - document["before"]["score"])
    assert document["training"]["epochs"] == 6
    assert document["data"]["training"] == 512
    samples = np.load(files / "test.npz")
    score = float((_run(files / "taught.onnx", samples["x"]).argmax(1) == samples["y"]).mean())
    assert score == pytest.approx(document["after"]["score"], abs=0.03)  # that is of the certification split alone


def test_same_seed_gives_the_same_file_and_a_rerun_finds_its_steps(files: Path) -> None:
    assert main(_command("-o", "one.onnx")) == 0
    _forget_training(files)
    assert main(_command("-o", "two.onnx")) == 0
    assert (files / "one.onnx").read_bytes() == (files / "two.onnx").read_bytes()
    again = edgeai.distill(
        "student.onnx",
        "teacher.onnx",
        "train.npz",
        "test.npz",
        training=TrainingSpec(epochs=6, learning_rate=0.02, batch_size=32, device="auto"),
        work="work",
    )
    assert again.reused > 0
    assert [file.name for file in (files / "work").glob("training-*")] == []
    assert again.artifact.read_bytes() == (files / "one.onnx").read_bytes()


def test_interrupted_command_goes_on_and_ends_with_the_same_student(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import edgeai_converters.train.course as course

    assert main(_command("-o", "whole.onnx")) == 0
    _forget_training(files)
    save, calls = course.save_checkpoint, iter(range(10))

    def interrupt(*given: Any) -> None:
        save(*given)
        if next(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(course, "save_checkpoint", interrupt)
    assert main(_command("-o", "rest.onnx")) == 130
    assert not (files / "rest.onnx").exists()
    assert main(_command("-o", "rest.onnx")) == 0
    assert len(range(10)) - 1 - next(calls) == 3  # only the passes that were missing: three more
    assert (files / "rest.onnx").read_bytes() == (files / "whole.onnx").read_bytes()


def test_student_as_a_torch_program_computes_what_the_document_says(files: Path) -> None:
    assert main(_command("-o", "taught.pt2")) == 0
    assert main(_command("-o", "taught.onnx")) == 0
    inputs = np.load(files / "test.npz")["x"]
    program = torch.export.load(files / "taught.pt2").module()
    with torch.no_grad():
        found = program(torch.from_numpy(inputs))[0].numpy()
    assert np.allclose(found, _run(files / "taught.onnx", inputs), atol=1e-5)


def test_without_labels_agreement_with_the_teacher_is_told(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _samples(files / "test.npz", 600, 2, labels=False)
    assert main(_command("-o", "taught.onnx", "--augment", "none")) == 0
    captured = capsys.readouterr()
    assert "agreement on" in captured.out
    assert "gained: +" in captured.out
    assert "augmented" not in captured.err


def test_training_data_that_accuracy_is_measured_on_is_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(_command(train="test.npz")) == 1
    assert "also among those that accuracy is measured on" in capsys.readouterr().err
    assert not (files / "student-distilled.onnx").exists()


def test_drop_beyond_the_limit_ends_with_one_and_the_file(files: Path) -> None:
    assert main(_command("--max-drop", "0%", "--epochs", "1", "-o", "taught.onnx")) == 1
    assert (files / "taught.onnx").exists()


def test_teacher_of_another_task_is_wrong_usage(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = onnx.load(files / "teacher.onnx")
    graph.graph.initializer[1].CopyFrom(numpy_helper.from_array(_HEAD[:, :3].copy(), "h"))
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
    onnx.save(graph, files / "teacher.onnx")
    assert main(_command()) == 2
    assert "teacher of the same task" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["-o", "taught.tflite"], "written as .onnx or .pt2"),
        (["--augment", "defualt"], "none, default or module:function"),
        (["--feature", "r"], "takes A=B"),
        (["--feature", "nothing=r"], "no value named 'nothing'"),
        (["--label-weight", "2"], "share between 0 and 1"),
    ],
)
def test_wrong_usage_is_told(files: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(_command(*more)) == 2
    assert message in capsys.readouterr().err


def test_feature_of_the_graph_is_followed(files: Path) -> None:
    _network(files / "teacher.onnx", _KEPT)
    done = edgeai.distill(
        "student.onnx",
        "teacher.onnx",
        "train.npz",
        "test.npz",
        work="work",
        out="taught.onnx",
        features={"z": "z"},
        training=TrainingSpec(epochs=1),
    )
    assert done.training.losses[0] < 1e-4  # the same network: there is nothing to learn


def test_existing_file_is_not_overwritten(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "taught.onnx").write_text("mine")
    assert main(_command("-o", "taught.onnx")) == 1
    assert "--force" in capsys.readouterr().err
    assert (files / "taught.onnx").read_text() == "mine"


def test_program_that_computes_otherwise_is_not_written(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import edgeai_converters.train.write as write

    kept = write.save_twin

    def spoil(twin: Any, model: Any, path: Path) -> None:
        with torch.no_grad():
            next(twin.parameters()).mul_(1.5)
        kept(twin, model, path)

    monkeypatch.setattr(write, "save_twin", spoil)
    with pytest.raises(ParityError):
        edgeai.distill(
            "student.onnx",
            "teacher.onnx",
            "train.npz",
            "test.npz",
            work="work",
            out="taught.pt2",
            training=TrainingSpec(epochs=1),
        )
    assert list(files.glob("*.pt2")) == []


def test_samples_to_judge_on_are_asked_for(files: Path) -> None:
    with pytest.raises(UsageError, match="to search and certify on"):
        edgeai.distill("student.onnx", "teacher.onnx", "train.npz")


def test_labels_out_of_range_are_refused(files: Path) -> None:
    arrays: Mapping[str, NDArray[Any]] = dict(np.load(_samples(files / "train.npz", 512, 1)))
    np.savez(files / "train.npz", x=arrays["x"], y=arrays["y"] + 2)
    with pytest.raises(DataError):
        edgeai.distill("student.onnx", "teacher.onnx", "train.npz", "test.npz", work="work")

"""What `edgeai bench` is asked for, and the runs that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from edgeai.benchmarking.measure import TOGETHER, _groups
from edgeai.benchmarking.run_facts import where_it_ran
from edgeai.benchmarking.spec import BenchSpec
from edgeai.benchmarking.targets import find_targets
from edgeai_runtime.errors import UsageError


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    """Two files whose names say what they are; nothing is loaded here."""
    paths = tmp_path / "a.onnx", tmp_path / "b.tflite"
    for path in paths:
        path.write_bytes(b"\0\0\0\0TFL3")
    return paths


def labels(spec: BenchSpec) -> list[str]:
    return [target.label for target in find_targets(spec)[0]]


def test_each_artifact_is_one_run_by_itself(models: tuple[Path, Path]) -> None:
    assert labels(BenchSpec(paths=models)) == [str(path) for path in models]


def test_one_file_named_twice_is_one_run(models: tuple[Path, Path]) -> None:
    assert labels(BenchSpec(paths=(models[0], models[0]))) == [str(models[0])]


def test_threads_and_batches_are_multiplied_and_told_apart(models: tuple[Path, Path]) -> None:
    found = labels(BenchSpec(paths=models[:1], threads=(1, 2), batches=(1, 8)))
    name = str(models[0])
    assert found == [
        f"{name}, 1 thread, batch 1",
        f"{name}, 1 thread, batch 8",
        f"{name}, 2 threads, batch 1",
        f"{name}, 2 threads, batch 8",
    ]


def test_a_delegate_is_measured_with_the_artifacts_of_its_engine_only(models: tuple[Path, Path]) -> None:
    found = labels(BenchSpec(paths=models, delegates=("litert:xnnpack",)))
    assert found == [f"{models[1]} on litert:xnnpack"]


def test_all_means_what_is_here_and_says_once_why_the_rest_is_not(models: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "c.onnx"
    other.write_bytes(b"\0\0\0\0TFL3")
    targets, skipped = find_targets(BenchSpec(paths=(models[0], other), delegates=("all",)))
    used = {target.delegate for target in targets}
    absent = [each.artifact for each in skipped]
    assert "onnxruntime:cpu" in used
    assert "onnxruntime:tensorrt" in absent
    assert len(absent) == len(set(absent))
    assert not used & set(absent)
    assert all(each.reason for each in skipped)


def test_only_artifacts_of_the_engines_asked_for_are_measured(models: tuple[Path, Path]) -> None:
    assert labels(BenchSpec(paths=models, engines=("litert",))) == [str(models[1])]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"engines": ("openvino",)}, "nothing to measure for openvino"),
        ({"delegates": ("openvino:cpu",)}, "nothing to measure for openvino:cpu"),
    ],
)
def test_when_nothing_is_left_the_error_says_for_what(
    models: tuple[Path, Path], more: dict[str, Sequence[str]], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        find_targets(BenchSpec(paths=models, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"threads": (0,)}, "above 0"),
        ({"batches": (1, -1)}, "above 0"),
        ({"duration_s": 0.0}, "above 0"),
        ({"engines": ("onnx",)}, "no engine 'onnx'"),
        ({"scenarios": ("stream",)}, "no scenario"),
        ({"tier": "slow"}, "no tier"),
        ({"delegates": ("litert:cpu",)}, "no delegate"),
        ({"delegates": ("all", "litert:gpu")}, "no delegate 'all'"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(models: tuple[Path, Path], more: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        BenchSpec(paths=models, **more)  # type: ignore[arg-type]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.onnx"):
        find_targets(BenchSpec(paths=(tmp_path / "missing.onnx",)))


def test_many_runs_are_measured_in_dozens_that_all_begin_with_the_first(models: tuple[Path, Path]) -> None:
    targets, _ = find_targets(BenchSpec(paths=models, threads=tuple(range(1, 16))))
    groups = _groups(targets)
    assert len(targets) == 30
    assert all(group[0] is targets[0] and len(group) <= TOGETHER for group in groups)
    assert [target for group in groups for target in group[1:]] == targets[1:]


def test_one_run_alone_is_a_group() -> None:
    assert [len(group) for group in _groups([object()])] == [1]  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("placement", "device"),
    [
        ({"cpu": 1.0, "gpu": 0.0}, "cpu"),
        ({"cpu": 0.2, "npu": 0.8}, "mixed"),
        ({"cpu": 0.0, "gpu": 0.0}, "unknown"),
        ({"unknown": 1.0}, "unknown"),
    ],
)
def test_a_run_is_called_by_where_it_ran(placement: dict[str, float], device: str) -> None:
    assert where_it_ran(placement) == device


def test_many_runs_of_several_batches_are_each_beside_the_first_of_their_batch(models: tuple[Path, Path]) -> None:
    targets, _ = find_targets(BenchSpec(paths=models, threads=tuple(range(1, 9)), batches=(1, 8)))
    groups = _groups(targets)
    assert len(targets) == 32
    assert [group[0] for group in groups] == [targets[0], targets[0], targets[1], targets[1]]
    assert all(target.batch == group[0].batch for group in groups for target in group)
    assert {target for group in groups for target in group} == set(targets)

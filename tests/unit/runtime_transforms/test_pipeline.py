"""Checking steps and running them one after another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.errors import DataError, UsageError
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.operation import REQUIRED
from edgeai_runtime.transforms.pipeline import apply_steps, axes_added, check_steps, prepare_steps
from edgeai_runtime.transforms.table import OPERATIONS

GOOD: dict[str, dict[str, Any]] = {
    "cast": {"dtype": "float32"},
    "scale": {"factor": 0.5},
    "normalize": {"mean": [1, 2, 3], "std": 2.0},
    "dequantize": {"scale": 0.5, "zero_point": -3},
    "resize": {"height": 4, "width": 6},
    "crop": {"height": 2, "width": 2},
    "channels": {"order": [2, 1, 0]},
    "layout": {"from": "NHWC", "to": "NCHW"},
    "softmax": {},
    "argmax": {"axis": 1},
    "labels": {"top": 2},
    "pad": {"height": 8, "width": 9, "value": 1},
    "expand": {},
    "mono": {},
    "resample": {"from": 8000, "to": 4000},
    "fit_length": {"length": 7},
    "spectrogram": {"frame_length": 16, "hop": 4},
    "mel": {"sample_rate": 8000, "n_mels": 2},
    "log": {"offset": 1},
    "dct": {"keep": 2},
    "log_mel": {"sample_rate": 8000, "frame_length": 16, "hop": 4, "n_mels": 2},
    "mfcc": {"sample_rate": 8000, "frame_length": 16, "hop": 4, "n_mels": 4, "n_mfcc": 2},
    "tokenize": {"vocabulary": "words.txt", "length": 4},
    "sigmoid": {},
    "top_k": {"k": 2},
    "corners": {"from": "cxcywh"},
    "anchor_boxes": {"anchors": "anchors.npy"},
    "grid_boxes": {"height": 16, "width": 32, "strides": [8]},
    "detect": {},
}
SHAPES = {
    "labels": (2, 3),
    "corners": (2, 8, 4),
    "anchor_boxes": (2, 8, 4),
    "grid_boxes": (2, 8, 4),
    "detect": (2, 8, 6),
}
SHAPES |= dict.fromkeys(("resample", "spectrogram", "log_mel", "mfcc"), (2, 64))


@pytest.fixture
def assets(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "words.txt").write_text("[PAD]\n[UNK]\na\nb\n")
    np.save(tmp_path / "anchors.npy", np.ones((8, 4), np.float32))
    return {name: tmp_path / name for name in ("words.txt", "anchors.npy")}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_of_the_table_runs_with_its_parameters(operation: str, assets: dict[str, Path]) -> None:
    shape = SHAPES.get(operation, (2, 5, 4, 3))
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    if OPERATIONS[operation].takes_text:
        array = np.array(["b a", "c"])
    before = array.copy()
    steps = [Step(op=operation, params=GOOD[operation])]
    result = apply_steps(steps, array, assets=assets)
    assert len(result) == 2
    if not OPERATIONS[operation].ends and operation != "argmax":
        assert result.ndim - array.ndim == axes_added(steps)
    np.testing.assert_array_equal(array, before)


def test_a_bundle_s_step_names_no_file_outside_its_assets(assets: dict[str, Path]) -> None:
    step = Step(op="tokenize", params={"vocabulary": str(assets["words.txt"]), "length": 4})
    with pytest.raises(UsageError, match="not among the bundle's assets") as caught:
        prepare_steps([step], assets=assets)
    assert "words.txt, anchors.npy" in caught.value.hint


def test_without_assets_a_step_names_a_path(assets: dict[str, Path]) -> None:
    step = Step(op="tokenize", params={"vocabulary": str(assets["words.txt"]), "length": 4})
    assert apply_steps([step], ["b a c"]).tolist() == [[3, 2, 1, 0]]


def test_text_is_taken_by_the_first_step_only() -> None:
    with pytest.raises(UsageError, match=r"'tokenize' \(step 2\) takes text"):
        check_steps([Step(op="softmax"), Step(op="tokenize", params=GOOD["tokenize"])])


@pytest.mark.parametrize("array", [[1, 2], "text", [["a"]], np.array(["a", None], object)], ids=repr)
def test_what_is_no_list_of_texts_can_not_be_tokenized(array: Any, assets: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="takes a list of texts"):
        apply_steps([Step(op="tokenize", params=GOOD["tokenize"])], array, assets=assets)


@pytest.mark.parametrize("others", [None, {"classes": np.zeros((1, 2, 3))}])
def test_an_output_that_is_not_there_is_named(others: Any) -> None:
    with pytest.raises(DataError, match="takes the output 'scores', which is not there"):
        apply_steps([Step(op="detect", params={"scores": "scores"})], np.zeros((1, 2, 4)), others=others)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_refuses_an_unknown_parameter_with_its_name(operation: str) -> None:
    with pytest.raises(UsageError, match=rf"step 1 of 1, '{operation}': there is no parameter 'colour'"):
        check_steps([Step(op=operation, params={**GOOD[operation], "colour": 1})])


@pytest.mark.parametrize(
    ("operation", "missing"),
    [
        (name, parameter.name)
        for name, operation in OPERATIONS.items()
        for parameter in operation.parameters
        if parameter.default is REQUIRED
    ],
)
def test_a_missing_parameter_is_named(operation: str, missing: str) -> None:
    params = {name: value for name, value in GOOD[operation].items() if name != missing}
    with pytest.raises(UsageError, match=f"{missing!r} is missing") as caught:
        check_steps([Step(op=operation, params=params)])
    assert caught.value.hint.startswith(f"{operation}: ")


@pytest.mark.parametrize(
    ("operation", "nearest"), [("sofmax", "softmax"), ("normalise", "normalize"), ("resise", "resize")]
)
def test_an_unknown_operation_is_an_error_with_the_nearest_name(operation: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=rf"step 2 of 2: there is no operation '{operation}'") as caught:
        check_steps([Step(op="softmax"), Step(op=operation)])
    assert f"{nearest!r}" in caught.value.hint


def test_an_unknown_parameter_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(UsageError) as caught:
        check_steps([Step(op="resize", params={"heigth": 4, "width": 3})])
    assert "'height'" in caught.value.hint


@pytest.mark.parametrize(
    ("operation", "name", "value", "expected"),
    [
        ("cast", "dtype", "float", "one of bool, int8"),
        ("cast", "dtype", ["float32"], "one of"),
        ("scale", "factor", "2", "a finite number"),
        ("scale", "factor", True, "a finite number"),
        ("scale", "factor", float("nan"), "a finite number"),
        ("scale", "factor", 1e300, "a finite number"),
        ("scale", "factor", 10**400, "a finite number"),
        ("scale", "offset", None, "a finite number"),
        ("normalize", "mean", [], "a finite number or a list"),
        ("normalize", "mean", [1, "2"], "a finite number or a list"),
        ("normalize", "std", 0, "a number above zero"),
        ("normalize", "std", [1, -1, 1], "a number above zero"),
        ("normalize", "std", 1e-300, "a number above zero"),
        ("normalize", "axis", 0, "an axis other than 0"),
        ("dequantize", "scale", 0, "a number above zero"),
        ("dequantize", "zero_point", 0.5, "an integer"),
        ("resize", "height", 0, "an integer from 1 to"),
        ("resize", "width", 10**9, "an integer from 1 to"),
        ("resize", "height", 3.0, "an integer from 1 to"),
        ("resize", "method", "cubic", "one of nearest, bilinear"),
        ("resize", "layout", "HWC", "one of NHWC, NCHW"),
        ("channels", "order", 2, "a list of indices"),
        ("channels", "order", [0, -1], "a list of indices"),
        ("layout", "from", "nhwc", "one different capital letter"),
        ("layout", "to", "NCCW", "one different capital letter"),
        ("labels", "top", 0, "an integer above zero"),
        ("resize", "fit", "cover", "one of stretch, inside"),
        ("pad", "value", "grey", "a finite number"),
        ("resample", "to", 0, "a whole number of Hz"),
        ("fit_length", "length", 10**9, "an integer from 1 to"),
        ("spectrogram", "hop", 0, "an integer above zero"),
        ("spectrogram", "fft", -1, "an integer from 0"),
        ("mel", "fmin", -1, "a number from 0"),
        ("tokenize", "vocabulary", "", "a name"),
        ("tokenize", "padding", 3, "text"),
        ("anchor_boxes", "scales", [10, 10], "a list of four numbers"),
        ("grid_boxes", "strides", [], "a list of integers above zero"),
        ("detect", "score", 1.5, "a number from 0 to 1"),
    ],
)
def test_a_senseless_value_is_refused_by_name(operation: str, name: str, value: Any, expected: str) -> None:
    with pytest.raises(UsageError, match=rf"'{operation}': '{name}' must be {expected}.*Received: "):
        check_steps([Step(op=operation, params={**GOOD[operation], name: value})])


@pytest.mark.parametrize(("source", "target"), [("NHWC", "NCW"), ("NHWC", "NCHD"), ("NHWC", "CNHW")])
def test_layouts_must_agree_and_keep_the_samples_first(source: str, target: str) -> None:
    with pytest.raises(UsageError, match=f"{source} and {target}"):
        check_steps([Step(op="layout", params={"from": source, "to": target})])


@pytest.mark.parametrize(
    ("operation", "values", "expected"),
    [
        ("spectrogram", {"fft": 8}, "fft to be at least frame_length"),
        ("mel", {"fmin": 4000}, "fmin < fmax"),
        ("mel", {"fmax": 5000}, "fmax ≤ sample_rate / 2"),
        ("log_mel", {"fmax": 5000}, "fmax ≤ sample_rate / 2"),
        ("mfcc", {"n_mfcc": 5}, "n_mfcc to be at most n_mels"),
        ("tokenize", {"length": 2, "begin": "a", "end": "b"}, "a length above 2"),
    ],
)
def test_parameters_that_do_not_fit_together_are_refused(operation: str, values: Any, expected: str) -> None:
    with pytest.raises(UsageError, match=f"needs .*{expected}"):
        check_steps([Step(op=operation, params={**GOOD[operation], **values})])


def test_nothing_can_follow_labels() -> None:
    with pytest.raises(UsageError, match="nothing can follow 'labels'"):
        check_steps([Step(op="labels"), Step(op="softmax")])


def test_steps_run_in_order() -> None:
    steps = [
        Step(op="scale", params={"factor": 2}),
        Step(op="scale", params={"factor": 1, "offset": 3}),
    ]
    np.testing.assert_array_equal(apply_steps(steps, [[1, 2]]), [[5, 7]])


def test_no_steps_give_the_array_back() -> None:
    array = np.ones((1, 2))
    assert apply_steps([], array) is array


def test_prepared_steps_can_be_run_many_times() -> None:
    run = prepare_steps([Step(op="softmax"), Step(op="labels")], labels=["a", "b"])
    answers = [run(np.array([scores], np.float32))[0][0]["label"] for scores in ([0, 1], [1, 0])]
    assert answers == ["b", "a"]


def test_wrong_steps_are_refused_before_anything_runs() -> None:
    with pytest.raises(UsageError):
        apply_steps([Step(op="softmax"), Step(op="sofmax")], np.zeros((0, 0)))


@pytest.mark.parametrize("array", [["a"], [None], np.array([1 + 2j]), 3.0], ids=repr)
def test_what_is_no_batch_of_numbers_is_a_data_error(array: Any) -> None:
    with pytest.raises(DataError, match="steps work on"):
        apply_steps([Step(op="softmax")], array)


def test_steps_on_numbers_import_neither_sound_nor_text_nor_boxes() -> None:
    code = (
        "import sys; from edgeai_runtime.transforms.parse import parse_steps; "
        "from edgeai_runtime.transforms.pipeline import apply_steps; "
        "apply_steps(parse_steps('scale:2;softmax;labels'), [[1, 2]]); "
        "print([name for name in sys.modules if name.rpartition('.')[2] in ('audio', 'text', 'boxes')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"

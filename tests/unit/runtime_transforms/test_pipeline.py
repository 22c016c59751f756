"""Checking steps and running them one after another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeai_runtime.errors import DataError, UsageError
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.operation import REQUIRED
from edgeai_runtime.transforms.pipeline import apply_steps, check_steps, prepare_steps
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
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_of_the_table_runs_with_its_parameters(operation: str) -> None:
    shape = (2, 3) if operation == "labels" else (2, 5, 4, 3)
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    before = array.copy()
    result = apply_steps([Step(op=operation, params=GOOD[operation])], array)
    assert len(result) == 2
    np.testing.assert_array_equal(array, before)


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
    ],
)
def test_a_senseless_value_is_refused_by_name(operation: str, name: str, value: Any, expected: str) -> None:
    with pytest.raises(UsageError, match=rf"'{operation}': '{name}' must be {expected}.*Received: "):
        check_steps([Step(op=operation, params={**GOOD[operation], name: value})])


@pytest.mark.parametrize(("source", "target"), [("NHWC", "NCW"), ("NHWC", "NCHD"), ("NHWC", "CNHW")])
def test_layouts_must_agree_and_keep_the_samples_first(source: str, target: str) -> None:
    with pytest.raises(UsageError, match=f"{source} and {target}"):
        check_steps([Step(op="layout", params={"from": source, "to": target})])


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

"""Running on the caller's own arrays, tried with the fake engine, which cannot bind and copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.engines.fake import FakeSession
from edgeai_runtime.errors import DataError, UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import TensorSpec

MakeBundle = Callable[..., Path]


def _ones(*shape: int, dtype: str = "float32") -> Any:
    return np.ones(shape, dtype)


def test_results_are_written_into_the_callers_array(make_bundle: MakeBundle) -> None:
    x, y = _ones(3, 2), np.zeros((3, 2), np.float32)
    with load(make_bundle({"net": {"factor": 3}})) as model:
        for value in (1, 2, 5):
            x[:] = value
            model.run_into([x], [y])
            np.testing.assert_array_equal(y, np.full((3, 2), 3 * value))


def test_a_bundle_that_transposes_at_the_boundary_is_followed(make_bundle: MakeBundle) -> None:
    outer = TensorSpec(name="x", shape=(None, 2), dtype="float32", layout="NC")
    inner = TensorSpec(name="x", shape=(None, 2), dtype="float64", layout="NC")
    bundle = make_bundle(
        {"net": {"factor": 2, "inputs": [{"name": "x", "shape": [None, 2], "dtype": "float64"}]}},
        own={"net": {"inputs": (inner,), "outputs": (TensorSpec(name="y", shape=(None, 2), dtype="float64"),)}},
        inputs=(outer,),
    )
    y = np.zeros((1, 2), np.float32)
    with load(bundle) as model:
        for _ in range(3):
            model.run_into([_ones(1, 2)], [y])
    np.testing.assert_array_equal(y, [[2, 2]])


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ([_ones(1, 3)], [_ones(1, 2)], r"'x' wants shape \[n, 2\]. Received: \[1, 3\]"),
        ([_ones(1, 2, dtype="float64")], [_ones(1, 2)], "'x' wants an array of float32. Received: float64"),
        ([[[1.0, 2.0]]], [_ones(1, 2)], "'x' wants an array of float32. Received: list"),
        ([_ones(1, 2)], [_ones(1, 2, dtype="int8")], "'y' wants a writable array of float32. Received: int8"),
        ([_ones(1, 2)], [_ones(2, 2)], r"'y' is \[1, 2\] float32. Received: \[2, 2\] float32"),
        ([_ones(1, 2)], [], "the model has 1 outputs. Received: 0 arrays"),
        ([], [_ones(1, 2)], "the model has 1 inputs"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    make_bundle: MakeBundle, inputs: list[Any], outputs: list[Any], words: str
) -> None:
    with load(make_bundle({"net": {}})) as model, pytest.raises(DataError, match=words):
        model.run_into(inputs, outputs)


def test_an_output_that_is_an_input_is_refused(make_bundle: MakeBundle) -> None:
    x = _ones(1, 2)
    with load(make_bundle({"net": {}})) as model, pytest.raises(DataError, match="'y' shares memory"):
        model.run_into([x], [x])


def test_an_output_that_can_not_be_written_is_refused(make_bundle: MakeBundle) -> None:
    y = _ones(1, 2)
    y.flags.writeable = False
    with load(make_bundle({"net": {}})) as model, pytest.raises(DataError, match="'y' wants a writable array"):
        model.run_into([_ones(1, 2)], [y])


def test_arrays_that_come_again_are_bound_and_only_a_few_sets_are_held(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[Any] = []

    def bind(self: FakeSession, inputs: Any, outputs: Any) -> Callable[[], None]:
        bound.append(inputs)
        return lambda: np.copyto(outputs[0], inputs[0])

    monkeypatch.setattr(FakeSession, "bind", bind, raising=False)
    sets = [(_ones(1, 2) * value, _ones(1, 2)) for value in range(4)]
    with load(make_bundle({"net": {}})) as model:
        for _ in range(5):
            for x, y in sets:
                y[:] = -1
                model.run_into([x], [y])
                np.testing.assert_array_equal(x, y)
        assert len(bound) == len(sets)
        for _ in range(100):
            model.run_into([_ones(1, 2)], [_ones(1, 2)])
        assert len(bound) == len(sets), "arrays that come once are not bound"
        assert len(model._binder._known) == 4  # type: ignore[union-attr]


def test_a_closed_model_writes_nothing(make_bundle: MakeBundle) -> None:
    x, y = _ones(1, 2), _ones(1, 2)
    model = load(make_bundle({"net": {}}))
    for _ in range(3):
        model.run_into([x], [y])
    model.close()
    with pytest.raises(UsageError, match="the model was closed"):
        model.run_into([x], [y])

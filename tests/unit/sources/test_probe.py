"""The inputs a source is tried on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeai_converters.sources.probe import load_arrays, probe_inputs, run_in_pieces, save_arrays
from edgeai_runtime.errors import DataError, UsageError
from edgeai_runtime.manifest import TensorSpec

_SPEC = TensorSpec(name="x", shape=(None, 3), dtype="float32")


def test_without_samples_eight_are_drawn() -> None:
    assert probe_inputs([_SPEC], samples=None, input_shapes={}, seed=0)["x"].shape == (8, 3)


def test_eight_samples_and_four_drawn_are_used() -> None:
    samples = {"x": np.arange(60, dtype=np.float32).reshape(20, 3)}
    probe = probe_inputs([_SPEC], samples=samples, input_shapes={}, seed=0)["x"]
    assert probe.shape == (12, 3)
    assert np.array_equal(probe[:8], samples["x"][:8])


def test_a_free_dimension_takes_the_given_size() -> None:
    spec = TensorSpec(name="x", shape=(None, None, 3), dtype="float32")
    assert probe_inputs([spec], samples=None, input_shapes={"x": (-1, 5, 3)}, seed=0)["x"].shape == (8, 5, 3)


def test_a_fixed_batch_gets_whole_batches() -> None:
    spec = TensorSpec(name="x", shape=(5, 3), dtype="float32")
    samples = {"x": np.zeros((3, 3), np.float32)}
    assert probe_inputs([spec], samples=samples, input_shapes={}, seed=0)["x"].shape == (5, 3)


def test_samples_and_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="'x' takes float32"):
        probe_inputs([_SPEC], samples={"x": np.zeros((2, 4), np.float32)}, input_shapes={}, seed=0)
    with pytest.raises(UsageError, match="no input named 'y'"):
        probe_inputs([_SPEC], samples=None, input_shapes={"y": (1, 3)}, seed=0)


def test_a_model_with_a_fixed_batch_is_called_in_pieces() -> None:
    sizes = []

    def call(feed):  # type: ignore[no-untyped-def]
        sizes.append(len(feed["x"]))
        return [feed["x"] * 2]

    spec = TensorSpec(name="x", shape=(2, 3), dtype="float32")
    (result,) = run_in_pieces([spec], {"x": np.ones((6, 3), np.float32)}, call)
    assert sizes == [2, 2, 2]
    assert result.shape == (6, 3)


def test_arrays_with_any_name_come_back(tmp_path: Path) -> None:
    arrays = {"a/b:0": np.ones(2), "../x": np.zeros((1, 2), np.int8)}
    names = save_arrays(tmp_path / "a.npz", arrays)
    back = load_arrays(tmp_path / "a.npz", names)
    assert list(back) == list(arrays)
    assert back["../x"].dtype == np.int8


def test_first_dimensions_of_several_sizes_are_one_call() -> None:
    specs = [
        TensorSpec(name="x", shape=(12, None, 4), dtype="float32"),
        TensorSpec(name="h", shape=(2, None, 3), dtype="float32"),
    ]
    probe = probe_inputs(specs, samples=None, input_shapes={}, seed=0)
    assert [array.shape for array in probe.values()] == [(12, 16, 4), (2, 16, 3)]
    assert probe_inputs(specs, samples=probe, input_shapes={}, seed=0)["h"].shape == (2, 16, 3)
    fixed = probe_inputs(specs, samples=None, input_shapes={"x": (12, 1, 4), "h": (2, 1, 3)}, seed=0)
    assert [array.shape for array in fixed.values()] == [(12, 1, 4), (2, 1, 3)]

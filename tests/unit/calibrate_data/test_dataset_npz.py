"""Arrays of a `.npz` file become samples of a model, or an error says what to change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeai_converters.calibrate import dataset_npz
from edgeai_converters.calibrate.dataset import open_dataset
from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import TensorSpec

SaveNpz = Callable[..., str]
X = np.arange(48, dtype=np.float32).reshape(12, 4)
Y = np.arange(12) % 3


def test_x_feeds_the_only_input_and_y_gives_the_labels(save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    data = open_dataset(save_npz(x=X, y=Y), inputs=vector_input)
    (batch,) = data.batches(range(12), 12)
    np.testing.assert_array_equal(batch["input"], X)
    np.testing.assert_array_equal(data.labels, Y)


def test_without_y_there_are_no_labels_and_a_note_says_so(save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    data = open_dataset(save_npz(x=X), inputs=vector_input)
    assert data.labels is None
    assert "no labels" in " ".join(data.notes)


def test_arrays_named_like_the_inputs_feed_several_inputs(save_npz: SaveNpz) -> None:
    inputs = [TensorSpec(name=name, shape=(None, 4), dtype="float32") for name in ("left", "right")]
    data = open_dataset(save_npz(right=X + 1, left=X, y=Y), inputs=inputs)
    (batch,) = data.batches([3], 1)
    np.testing.assert_array_equal(batch["left"], X[3:4])
    np.testing.assert_array_equal(batch["right"], X[3:4] + 1)


@pytest.mark.parametrize("selection", ["x_eval,y_eval", "input=x_eval,y=y_eval", "y=y_eval,x=x_eval"])
def test_a_selection_behind_the_file_names_the_arrays(
    save_npz: SaveNpz, vector_input: list[TensorSpec], selection: str
) -> None:
    path = save_npz(x=X, y=Y, x_eval=X[:5] + 9, y_eval=Y[:5])
    data = open_dataset(f"{path}:{selection}", inputs=vector_input)
    assert len(data) == 5
    np.testing.assert_array_equal(next(data.batches([0], 1))["input"], X[:1] + 9)
    np.testing.assert_array_equal(data.labels, Y[:5])


def test_a_key_suffix_prefers_its_own_arrays(save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    path = save_npz(x=X, y=Y, x_calib=X[:3], y_calib=Y[:3])
    assert len(open_dataset(path, inputs=vector_input, key_suffix="calib")) == 3
    assert len(open_dataset(path, inputs=vector_input, key_suffix="other")) == 12


def test_an_array_of_strings_names_the_classes(save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    data = open_dataset(save_npz(x=X, y=Y, labels=np.array(["ant", "bee", "cow"])), inputs=vector_input)
    assert data.class_names == ("ant", "bee", "cow")


def test_labels_given_as_names_become_indices_in_the_order_of_the_class_names(
    save_npz: SaveNpz, vector_input: list[TensorSpec]
) -> None:
    path = save_npz(x=X[:3], y=np.array(["cow", "ant", "cow"]))
    by_sorting = open_dataset(path, inputs=vector_input)
    np.testing.assert_array_equal(by_sorting.labels, [1, 0, 1])
    given = open_dataset(path, inputs=vector_input, class_names=["cow", "bee", "ant"])
    np.testing.assert_array_equal(given.labels, [0, 2, 0])
    with pytest.raises(DataError, match="cow"):
        open_dataset(path, inputs=vector_input, class_names=["ant", "bee"])


def test_a_missing_input_lists_the_arrays_and_the_selection_that_would_do(
    save_npz: SaveNpz, vector_input: list[TensorSpec]
) -> None:
    path = save_npz(x_eval=X, y_eval=Y, x_calib=X)
    with pytest.raises(DataError, match="x_eval, y_eval") as caught:
        open_dataset(path, inputs=vector_input)
    assert f"{path}:x_eval,y_eval" in caught.value.hint


@pytest.mark.parametrize("selection", ["nope,y", "x,y,x", "q=x", "y=y"])
def test_a_selection_that_does_not_fit_is_refused(
    save_npz: SaveNpz, vector_input: list[TensorSpec], selection: str
) -> None:
    with pytest.raises(DataError):
        open_dataset(f"{save_npz(x=X, y=Y)}:{selection}", inputs=vector_input)


def test_arrays_of_different_lengths_are_refused_with_both_lengths(
    save_npz: SaveNpz, vector_input: list[TensorSpec]
) -> None:
    with pytest.raises(DataError, match="input has 12, y has 11"):
        open_dataset(save_npz(x=X, y=Y[:11]), inputs=vector_input)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 truncated"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, vector_input: list[TensorSpec], content: bytes) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.npz .*not a \.npz"):
        open_dataset(str(path), inputs=vector_input)


def test_a_truncated_npz_is_refused(tmp_path: Path, save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    whole = Path(save_npz(x=X, y=Y)).read_bytes()
    path = tmp_path / "short.npz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"short\.npz"):
        open_dataset(str(path), inputs=vector_input)


def test_a_changed_byte_in_an_array_is_found(tmp_path: Path, save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    content = bytearray(Path(save_npz(x=X)).read_bytes())
    content[content.index(X.tobytes()) + 5] ^= 1
    path = tmp_path / "changed.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"array x cannot be read"):
        open_dataset(str(path), inputs=vector_input)


def test_python_objects_are_never_unpickled(tmp_path: Path, vector_input: list[TensorSpec]) -> None:
    path = tmp_path / "objects.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="Python objects"):
        open_dataset(str(path), inputs=vector_input)


def test_a_single_array_file_is_refused(tmp_path: Path, vector_input: list[TensorSpec]) -> None:
    path = tmp_path / "array.npz"
    with path.open("wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match="single array"):
        open_dataset(str(path), inputs=vector_input)


def test_an_empty_data_set_is_refused(save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    with pytest.raises(DataError, match="no samples"):
        open_dataset(save_npz(x=X[:0]), inputs=vector_input)


def test_a_missing_file_is_named(tmp_path: Path, vector_input: list[TensorSpec]) -> None:
    with pytest.raises(DataError, match=r"no file or folder .*gone\.npz"):
        open_dataset(str(tmp_path / "gone.npz"), inputs=vector_input)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_stored_array_is_mapped_and_reads_the_same(
    save_npz: SaveNpz, vector_input: list[TensorSpec], monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    monkeypatch.setattr(dataset_npz, "_MAP_FROM_BYTES", 1)
    path = save_npz(x=np.asarray(X, order=order), y=Y)  # type: ignore[call-overload]
    samples = dataset_npz.read_npz(Path(path), selection=None, inputs=vector_input, key_suffix=None, class_names=())
    assert isinstance(samples.arrays["input"], np.memmap)
    np.testing.assert_array_equal(samples.arrays["input"], X)


def test_scale_and_zero_point_beside_integers_are_told_as_the_steps_to_give(
    save_npz: SaveNpz, vector_input: list[TensorSpec]
) -> None:
    path = save_npz(x=X.astype(np.int8), scale=np.float32(0.5), zero_point=np.int32(3))
    notes = " ".join(open_dataset(path, inputs=vector_input).notes)
    assert "scale:factor=0.5,offset=-1.5" in notes

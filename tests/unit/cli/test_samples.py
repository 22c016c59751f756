"""Reading the input of `run`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeai.cli.samples import read_samples, save_arrays
from edgeai_runtime.errors import DataError


def test_a_npy_file_is_one_array(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 3), np.float32))
    assert np.asarray(read_samples(tmp_path / "x.npy")).shape == (2, 3)


def test_labels_beside_samples_are_left_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.ones((2, 3)), y=np.zeros(2))
    assert np.asarray(read_samples(tmp_path / "d.npz")).shape == (2, 3)


def test_several_arrays_are_kept_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", a=np.ones(2), b=np.zeros(3))
    arrays = read_samples(tmp_path / "d.npz")
    assert isinstance(arrays, dict)
    assert sorted(arrays) == ["a", "b"]


@pytest.mark.parametrize(
    ("mode", "shape"), [("RGB", (1, 5, 4, 3)), ("RGBA", (1, 5, 4, 3)), ("P", (1, 5, 4, 3)), ("L", (1, 5, 4, 1))]
)
def test_an_image_is_a_batch_of_one_in_rgb_or_grey(tmp_path: Path, mode: str, shape: tuple[int, ...]) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new(mode, (4, 5)).save(tmp_path / "image.png")
    pixels = np.asarray(read_samples(tmp_path / "image.png"))
    assert (pixels.shape, pixels.dtype) == (shape, np.uint8)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.png"])
@pytest.mark.parametrize("content", [b"", b"not what the suffix says", b"PK\x03\x04cut", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_a_data_error_that_names_it(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        read_samples(tmp_path / name)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"x\.npy"):
        read_samples(tmp_path / "x.npy")


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("1 2 3")
    with pytest.raises(DataError, match=r"takes a \.npy"):
        read_samples(tmp_path / "x.txt")


def test_outputs_are_saved_whole(tmp_path: Path) -> None:
    save_arrays(tmp_path / "out.npz", {"logits": np.arange(3), "labels": [["a"]]})
    with np.load(tmp_path / "out.npz") as saved:
        assert saved["logits"].tolist() == [0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["out.npz"]

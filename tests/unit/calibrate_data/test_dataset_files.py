"""Folders of images, tables of images and functions become samples too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeai_converters.calibrate.dataset import open_dataset
from edgeai_runtime.errors import DataError, UsageError
from edgeai_runtime.manifest import TensorSpec
from edgeai_runtime.transforms.parse import parse_steps

Image = pytest.importorskip("PIL.Image")

FUNCTIONS = """
import numpy as np
def pair(): return np.ones((5, 4)), np.arange(5)
def alone(): return np.ones((5, 4))
def named(): return {"input": np.ones((5, 4))}, [0, 1, 0, 1, 0]
def broken(): raise RuntimeError("disk on fire")
def text(): return np.array(["a", "b"])
"""


def save_image(path: Path, value: int, *, height: int = 6, width: int = 5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for value, name in enumerate(("dog/b.png", "cat/z.png", "cat/a.png")):
        save_image(tmp_path / "images" / name, value)
    return tmp_path / "images"


def test_class_folders_are_numbered_in_sorted_order(folder: Path, image_input: list[TensorSpec]) -> None:
    data = open_dataset(str(folder), inputs=image_input)
    assert data.class_names == ("cat", "dog")
    np.testing.assert_array_equal(data.labels, [0, 0, 1])
    (batch,) = data.batches([0, 1, 2], 3)
    np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], [2, 1, 0])


def test_a_class_without_images_keeps_its_number_and_is_named(folder: Path, image_input: list[TensorSpec]) -> None:
    (folder / "cow").mkdir()
    data = open_dataset(str(folder), inputs=image_input)
    assert data.class_names == ("cat", "cow", "dog")
    np.testing.assert_array_equal(data.labels, [0, 0, 2])
    assert any("no images of 1 classes: cow" in note for note in data.notes)


def test_given_class_names_decide_the_numbers(folder: Path, image_input: list[TensorSpec]) -> None:
    data = open_dataset(str(folder), inputs=image_input, class_names=("dog", "emu", "cat"))
    np.testing.assert_array_equal(data.labels, [2, 2, 0])


def test_a_list_of_names_in_the_folder_decides_the_numbers(folder: Path, image_input: list[TensorSpec]) -> None:
    (folder / "labels.txt").write_text("dog\ncat\n")
    data = open_dataset(str(folder), inputs=image_input)
    np.testing.assert_array_equal(data.labels, [1, 1, 0])


def test_images_without_class_folders_have_no_labels(tmp_path: Path, image_input: list[TensorSpec]) -> None:
    save_image(tmp_path / "a.png", 1)
    assert open_dataset(str(tmp_path), inputs=image_input).labels is None


def test_images_beside_and_inside_class_folders_are_refused(folder: Path, image_input: list[TensorSpec]) -> None:
    save_image(folder / "loose.png", 1)
    with pytest.raises(DataError, match=r"loose\.png"):
        open_dataset(str(folder), inputs=image_input)


def test_a_folder_without_images_is_refused(tmp_path: Path, image_input: list[TensorSpec]) -> None:
    with pytest.raises(DataError, match="no images"):
        open_dataset(str(tmp_path), inputs=image_input)


def test_a_file_that_is_no_image_is_named(folder: Path, image_input: list[TensorSpec]) -> None:
    (folder / "dog" / "c.png").write_bytes(b"no image")
    data = open_dataset(str(folder), inputs=image_input)
    with pytest.raises(DataError, match=r"c\.png: the image cannot be decoded"):
        list(data.batches(range(4), 4))


def test_a_grey_model_gets_grey_images(folder: Path) -> None:
    inputs = [TensorSpec(name="image", shape=(None, 6, 5, 1), dtype="float32")]
    data = open_dataset(str(folder), inputs=inputs)
    assert next(data.batches([0], 1))["image"].shape == (1, 6, 5, 1)


def test_images_of_different_sizes_are_resized_into_one_batch(folder: Path, image_input: list[TensorSpec]) -> None:
    save_image(folder / "cat" / "b.png", 9, height=12, width=7)
    steps = {"image": parse_steps("resize:height=6,width=5,method=bilinear,layout=NHWC")}
    data = open_dataset(str(folder), inputs=image_input, preprocessing=steps)
    (batch,) = data.batches(range(4), 4)
    assert batch["image"].shape == (4, 6, 5, 3)
    np.testing.assert_allclose(batch["image"][:, 2, 2, 0], [2, 9, 1, 0])
    assert [raw["image"].shape for raw in data.raw_batches(range(4), 4)] == [(1, 6, 5, 3), (1, 12, 7, 3), (2, 6, 5, 3)]


def test_an_image_of_another_size_is_named_with_the_resize_that_mends_it(
    folder: Path, image_input: list[TensorSpec]
) -> None:
    save_image(folder / "cat" / "b.png", 9, height=12, width=7)
    data = open_dataset(str(folder), inputs=image_input)
    with pytest.raises(DataError, match=r"b\.png.*\[12, 7, 3\]") as caught:
        list(data.batches(range(4), 4))
    assert "resize:height=6,width=5" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("table.csv", "file,label\ndog/b.png,1\ncat/a.png,0\n"),
        ("table.csv", "dog/b.png,1\ncat/a.png,0\n"),
        ("table.tsv", "dog/b.png\tdog\ncat/a.png\tcat\n"),
        ("labels.txt", "# images\ndog/b.png 1\n\ncat/a.png 0\n"),
        ("labels.csv", "file;label\ndog/b.png;dog\ncat/a.png;cat\n"),
    ],
)
def test_a_table_beside_the_images_gives_files_and_labels(
    folder: Path, image_input: list[TensorSpec], name: str, text: str
) -> None:
    (folder / name).write_text(text)
    given = folder if name.startswith("labels") else folder / name
    data = open_dataset(str(given), inputs=image_input)
    np.testing.assert_array_equal(data.labels, [1, 0])
    np.testing.assert_array_equal(next(data.batches([0, 1], 2))["image"][:, 0, 0, 0], [0, 2])


def test_a_table_may_hold_targets_that_are_no_classes(folder: Path, image_input: list[TensorSpec]) -> None:
    (folder / "angles.csv").write_text("dog/b.png,1.5\ncat/a.png,-0.25\n")
    np.testing.assert_array_equal(open_dataset(str(folder / "angles.csv"), inputs=image_input).labels, [1.5, -0.25])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gone.png,1\ndog/b.png,1\n", r"1 of 2 files do not exist: .*gone\.png"),
        ("file,label\n", "no rows"),
        ("dog/b.png,1\ncat/a.png\n", "1, 2 columns"),
    ],
)
def test_a_wrong_table_is_refused(folder: Path, image_input: list[TensorSpec], text: str, words: str) -> None:
    (folder / "table.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        open_dataset(str(folder / "table.csv"), inputs=image_input)


def test_images_for_a_model_of_two_inputs_are_refused(folder: Path, image_input: list[TensorSpec]) -> None:
    with pytest.raises(DataError, match="has 2"):
        open_dataset(str(folder), inputs=[*image_input, *image_input])


@pytest.mark.parametrize(("function", "has_labels"), [("pair", True), ("alone", False), ("named", True)])
def test_a_function_in_a_file_gives_samples(
    tmp_path: Path, vector_input: list[TensorSpec], function: str, has_labels: bool
) -> None:
    (tmp_path / "my_data.py").write_text(FUNCTIONS)
    data = open_dataset(f"{tmp_path / 'my_data.py'}:{function}", inputs=vector_input)
    assert len(data) == 5
    assert (data.labels is not None) == has_labels


def test_a_function_in_a_module_of_the_current_folder_gives_samples(
    tmp_path: Path, vector_input: list[TensorSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edgeai_test_data.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    assert len(open_dataset("edgeai_test_data:pair", inputs=vector_input)) == 5


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        ("broken", DataError, "RuntimeError: disk on fire"),
        ("text", DataError, "not numbers"),
        ("absent", UsageError, "no function 'absent'"),
    ],
)
def test_a_function_that_fails_is_reported_in_its_own_words(
    tmp_path: Path, vector_input: list[TensorSpec], function: str, error: type[Exception], words: str
) -> None:
    (tmp_path / "my_data.py").write_text(FUNCTIONS)
    with pytest.raises(error, match=words):
        open_dataset(f"{tmp_path / 'my_data.py'}:{function}", inputs=vector_input)


def test_a_module_that_is_not_there_is_named(vector_input: list[TensorSpec]) -> None:
    with pytest.raises(UsageError, match="no module 'no_such_module_of_mine'"):
        open_dataset("no_such_module_of_mine:load", inputs=vector_input)

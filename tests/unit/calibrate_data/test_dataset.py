"""Samples are prepared and checked for one model, whatever they come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeai_converters.calibrate.dataset import open_dataset
from edgeai_runtime.errors import DataError, UsageError
from edgeai_runtime.manifest import Step, TensorSpec
from edgeai_runtime.transforms.parse import parse_steps

SaveNpz = Callable[..., str]


def test_batches_keep_the_order_asked_for_and_the_last_one_may_be_smaller(
    save_npz: SaveNpz, vector_input: list[TensorSpec]
) -> None:
    x = np.arange(40, dtype=np.float32).reshape(10, 4)
    data = open_dataset(save_npz(x=x), inputs=vector_input)
    batches = [batch["input"] for batch in data.batches([7, 1, 9], 2)]
    assert [len(batch) for batch in batches] == [2, 1]
    np.testing.assert_array_equal(np.concatenate(batches), x[[7, 1, 9]])


def test_preprocessing_runs_on_every_batch_and_raw_batches_are_before_it(
    save_npz: SaveNpz, image_input: list[TensorSpec], random: np.random.Generator
) -> None:
    x = random.integers(0, 256, size=(3, 6, 5, 3), dtype=np.uint8)
    steps = {"image": (Step(op="scale", params={"factor": 1 / 255}),)}
    data = open_dataset(save_npz(x=x), inputs=image_input, preprocessing=steps)
    np.testing.assert_allclose(next(data.batches([0, 1, 2], 3))["image"], x / np.float32(255), rtol=1e-6)
    np.testing.assert_array_equal(next(data.raw_batches([0, 1, 2], 3))["image"], x)


def test_integers_for_a_float_input_are_cast_as_they_are_and_a_note_says_so(
    save_npz: SaveNpz, image_input: list[TensorSpec]
) -> None:
    data = open_dataset(save_npz(x=np.full((2, 6, 5, 3), 200, np.uint8)), inputs=image_input)
    batch = next(data.batches([0], 1))["image"]
    assert batch.dtype == np.float32
    assert (batch == 200).all()
    assert "without scaling" in " ".join(data.notes)
    assert data.preprocessing["image"] == (Step(op="cast", params={"dtype": "float32"}),)


def test_samples_of_the_right_dtype_need_no_step(save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    data = open_dataset(save_npz(x=np.zeros((2, 4), np.float32)), inputs=vector_input)
    assert data.preprocessing == {"input": ()}


@pytest.mark.parametrize(
    ("shape", "wanted", "steps"),
    [
        ((6, 5, 3), (3, 6, 5), "layout:NHWC>NCHW"),
        ((3, 6, 5), (6, 5, 3), "layout:NCHW>NHWC"),
        ((9, 8, 3), (6, 5, 3), "resize:height=6,width=5,method=bilinear,layout=NHWC"),
        ((3, 9, 8), (3, 6, 5), "resize:height=6,width=5,method=bilinear,layout=NCHW"),
        ((9, 8, 3), (3, 6, 5), "resize:height=6,width=5,method=bilinear,layout=NHWC;layout:NHWC>NCHW"),
        ((3, 9, 8), (6, 5, 3), "resize:height=6,width=5,method=bilinear,layout=NCHW;layout:NCHW>NHWC"),
    ],
)
def test_a_wrong_image_shape_names_both_shapes_and_the_preprocessing_that_mends_it(
    save_npz: SaveNpz, shape: tuple[int, ...], wanted: tuple[int, ...], steps: str
) -> None:
    inputs = [TensorSpec(name="image", shape=(None, *wanted), dtype="float32")]
    path = save_npz(x=np.ones((2, *shape), np.float32))
    with pytest.raises(DataError) as caught:
        open_dataset(path, inputs=inputs)
    assert str(list(shape)) in caught.value.message
    assert str(list(wanted)) in caught.value.message
    assert f'"{steps}"' in caught.value.hint
    mended = open_dataset(path, inputs=inputs, preprocessing={"image": parse_steps(steps)})
    assert next(mended.batches([0], 1))["image"].shape == (1, *wanted)


def test_a_flattened_image_is_told_to_be_saved_reshaped(save_npz: SaveNpz, image_input: list[TensorSpec]) -> None:
    with pytest.raises(DataError, match="model takes") as caught:
        open_dataset(save_npz(x=np.ones((2, 90), np.float32)), inputs=image_input)
    assert "[-1, 6, 5, 3]" in caught.value.hint


@pytest.mark.parametrize("wanted", [(28, 28, 1), (1, 28, 28)])
@pytest.mark.parametrize("steps", [(), (Step(op="scale", params={"factor": 0.5}),)])
def test_axes_of_length_one_come_and_go_with_a_note(
    save_npz: SaveNpz, wanted: tuple[int, ...], steps: tuple[Step, ...]
) -> None:
    inputs = [TensorSpec(name="image", shape=(None, *wanted), dtype="float32")]
    data = open_dataset(save_npz(x=np.ones((2, 28, 28), np.float32)), inputs=inputs, preprocessing={"image": steps})
    assert next(data.batches([0, 1], 2))["image"].shape == (2, *wanted)
    assert next(data.raw_batches([0, 1], 2))["image"].shape == (2, *wanted)
    assert "are read as" in " ".join(data.notes)


def test_a_grey_image_without_channel_passes_a_layout_step(save_npz: SaveNpz) -> None:
    inputs = [TensorSpec(name="image", shape=(None, 1, 8, 9), dtype="float32")]
    steps = {"image": parse_steps("layout:NHWC>NCHW")}
    data = open_dataset(save_npz(x=np.ones((2, 8, 9), np.float32)), inputs=inputs, preprocessing=steps)
    assert next(data.batches([0], 1))["image"].shape == (1, 1, 8, 9)


@pytest.mark.parametrize(("bad", "value"), [((2, 5), np.nan), ((0, 3), np.inf)])
def test_nan_and_infinity_are_refused_with_the_numbers_of_the_samples(
    save_npz: SaveNpz, vector_input: list[TensorSpec], bad: tuple[int, ...], value: float
) -> None:
    x = np.zeros((8, 4), np.float32)
    x[list(bad), 1] = value
    path = save_npz(x=x)
    with pytest.raises(DataError, match=f"NaN or infinite .*sample {bad[0]}.*"):  # noqa: PT012  # where it is met varies
        data = open_dataset(path, inputs=vector_input)
        list(data.batches(range(8), 3))


def test_hashing_names_all_samples_with_nan_at_once(save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    x = np.zeros((200, 4), np.float32)
    x[[3, 150], 2] = np.nan
    with pytest.raises(DataError, match=r"2 sample\(s\): sample 3, sample 150"):
        _ = open_dataset(save_npz(x=x), inputs=vector_input).hashes


def test_fractions_never_go_to_an_integer_input(save_npz: SaveNpz) -> None:
    inputs = [TensorSpec(name="ids", shape=(None, 4), dtype="int64")]
    with pytest.raises(DataError, match="float32, the model takes int64"):
        open_dataset(save_npz(x=np.zeros((2, 4), np.float32)), inputs=inputs)


def test_integers_out_of_an_integer_inputs_range_are_refused(save_npz: SaveNpz) -> None:
    inputs = [TensorSpec(name="q", shape=(None, 4), dtype="int8")]
    with pytest.raises(DataError, match=r"go from 200 to 200, the model takes int8 \(-128 to 127\)"):
        open_dataset(save_npz(x=np.full((2, 4), 200, np.uint8)), inputs=inputs)


def test_preprocessing_of_an_unknown_input_is_refused(save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    with pytest.raises(UsageError, match="pixels") as caught:
        open_dataset(save_npz(x=np.zeros((2, 4))), inputs=vector_input, preprocessing={"pixels": ()})
    assert "input" in caught.value.hint


def test_text_of_no_known_kind_is_refused_with_the_kinds(tmp_path: Path, vector_input: list[TensorSpec]) -> None:
    (tmp_path / "data.pt").write_bytes(b"something")
    with pytest.raises(DataError, match=r"data\.pt") as caught:
        open_dataset(str(tmp_path / "data.pt"), inputs=vector_input)
    assert ".npz" in caught.value.hint


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float16, np.float32])
def test_equal_values_hash_alike_in_any_small_dtype(
    save_npz: SaveNpz, vector_input: list[TensorSpec], dtype: type[np.generic]
) -> None:
    x = np.arange(16).reshape(4, 4)
    one = open_dataset(save_npz("a.npz", x=x.astype(np.float32)), inputs=vector_input)
    other = open_dataset(save_npz("b.npz", x=x.astype(dtype)), inputs=vector_input)
    assert one.hashes == other.hashes
    assert len(set(one.hashes)) == 4


def test_axes_of_length_one_play_no_part_in_the_hash(save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    x = np.arange(16, dtype=np.float32).reshape(4, 4)
    one = open_dataset(save_npz("a.npz", x=x), inputs=vector_input)
    other = open_dataset(save_npz("b.npz", x=x[:, None, :]), inputs=vector_input)
    assert one.hashes == other.hashes


def test_the_digest_changes_with_a_value_a_label_and_the_order(
    save_npz: SaveNpz, vector_input: list[TensorSpec]
) -> None:
    x = np.arange(16, dtype=np.float32).reshape(4, 4)
    y = np.arange(4)
    changed = x.copy()
    changed[2, 1] += 1e-4
    files = [(x, y), (changed, y), (x, y[::-1]), (x[::-1], y), (x, None)]
    arrays = [{"x": a} if b is None else {"x": a, "y": b} for a, b in files]
    digests = {open_dataset(save_npz(**some), inputs=vector_input).digest for some in arrays}
    assert len(digests) == 5


def test_the_digest_is_the_same_when_opened_again(save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    path = save_npz(x=np.ones((3, 4)), y=np.arange(3))
    assert open_dataset(path, inputs=vector_input).digest == open_dataset(path, inputs=vector_input).digest


@pytest.mark.parametrize(
    "labels",
    [np.array([0, 2, 1]), np.array([0.0, 2.0, 1.0]), np.array([[0], [2], [1]]), np.eye(3)[[0, 2, 1]]],
    ids=["integers", "whole floats", "column", "one-hot"],
)
def test_class_labels_come_in_several_forms(
    save_npz: SaveNpz, vector_input: list[TensorSpec], labels: np.ndarray
) -> None:
    data = open_dataset(save_npz(x=np.zeros((3, 4)), y=labels), inputs=vector_input)
    indices = data.check_labels(3)
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, [0, 2, 1])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 5, 1], r"out of range, allowed are 0 to 2 .*sample 1 has 5"),
        ([0, -1, 1], r"out of range.*sample 1 has -1"),
        ([0, 0.5, 1], r"not whole numbers: sample 1 has 0\.5"),
        ([0, np.nan, 1], r"not whole numbers: sample 1 has nan"),
        ([[0, 1, 4]] * 3, r"shape \[3, 3\] are not class indices"),
    ],
)
def test_labels_that_are_no_class_indices_are_refused_with_the_samples(
    save_npz: SaveNpz, vector_input: list[TensorSpec], labels: list[float], words: str
) -> None:
    data = open_dataset(save_npz(x=np.zeros((3, 4)), y=np.array(labels)), inputs=vector_input)
    with pytest.raises(DataError, match=words):
        data.check_labels(3)


def test_labels_that_count_from_one_are_recognised(save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    data = open_dataset(save_npz(x=np.zeros((3, 4)), y=np.array([1, 2, 3])), inputs=vector_input)
    with pytest.raises(DataError) as caught:
        data.check_labels(3)
    assert "count from 1" in caught.value.hint


def test_one_output_column_is_a_model_of_two_classes(save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    data = open_dataset(save_npz(x=np.zeros((3, 4)), y=np.array([0, 1, 1])), inputs=vector_input)
    np.testing.assert_array_equal(data.check_labels(1), [0, 1, 1])


def test_checking_labels_that_are_not_there_says_how_to_go_on(
    save_npz: SaveNpz, vector_input: list[TensorSpec]
) -> None:
    data = open_dataset(save_npz(x=np.zeros((3, 4))), inputs=vector_input)
    with pytest.raises(DataError, match="no labels") as caught:
        data.check_labels(3)
    assert "agreement" in caught.value.hint


def test_an_index_beyond_the_data_is_refused(save_npz: SaveNpz, vector_input: list[TensorSpec]) -> None:
    data = open_dataset(save_npz(x=np.zeros((3, 4))), inputs=vector_input)
    with pytest.raises(DataError, match="3 samples"):
        next(data.batches([3], 1))

"""Augmentation: what is chosen for which input, and what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeai_converters.train.augment import form_of, make_augment, mask_spans, mirror, shift
from edgeai_runtime.errors import DataError, UsageError
from edgeai_runtime.manifest import TensorSpec

IMAGE = TensorSpec(name="x", shape=(None, 3, 16, 16), dtype="float32", layout="NCHW")
VECTOR = TensorSpec(name="x", shape=(None, 640), dtype="float32")


def _samples(*shape: int) -> NDArray[np.float32]:
    return np.asarray(np.random.default_rng(0).normal(3, 1, shape), np.float32)


def _random(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("shape", "dtype", "layout", "form"),
    [
        ((None, 3, 32, 32), "float32", "NCHW", "colour_image"),
        ((1, 96, 96, 3), "uint8", None, "colour_image"),
        ((None, 16, 32, 32), "float32", "NCHW", "colour_image"),
        ((None, 1, 28, 28), "float32", None, "grey_image"),
        ((None, 49, 10, 1), "float32", "NHWC", "audio_features"),
        ((None, 100, 40), "float32", None, "audio_features"),
        ((None, None, 40), "float32", None, "audio_features"),
        ((None, 100, 2), "float32", None, None),
        ((None, 100, 40), "int64", None, None),
        ((None, 16, 32, 32), "float32", None, None),
        ((None, 3, None, None), "float32", "NCHW", None),
        ((None, 640), "float32", None, None),
    ],
)
def test_form_of_an_input_is_told_by_its_shape(shape: Any, dtype: str, layout: str | None, form: str | None) -> None:
    assert form_of(TensorSpec(name="x", shape=shape, dtype=dtype, layout=layout)) == form


def test_default_changes_images_alike_under_one_seed() -> None:
    augment, notes = make_augment("default", [IMAGE])
    assert augment is not None
    assert notes == ("x: mirrored, shifted, noise (a colour image)",)
    x = _samples(8, 3, 16, 16)
    first, again, other = (augment({"x": x}, _random(seed))["x"] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (first.shape, first.dtype) == (x.shape, x.dtype)
    assert not np.array_equal(first, x)


def test_other_inputs_stay_as_they_are() -> None:
    tokens = TensorSpec(name="ids", shape=(None, 12), dtype="int64")
    augment, _ = make_augment("default", [IMAGE, tokens])
    assert augment is not None
    ids = np.arange(96).reshape(8, 12)
    assert augment({"x": _samples(8, 3, 16, 16), "ids": ids}, _random())["ids"] is ids


@pytest.mark.parametrize(("text", "told"), [("none", 0), ("default", 1)])
def test_nothing_is_changed_where_nothing_is_to_be(text: str, told: int) -> None:
    augment, notes = make_augment(text, [VECTOR])
    assert augment is None
    assert len(notes) == told


def test_half_of_the_samples_are_mirrored() -> None:
    x = _samples(200, 4, 6)
    changed = (mirror(x, 2, _random()) == x).all((1, 2))
    assert 0.35 < changed.mean() < 0.65
    assert np.array_equal(mirror(x, 2, _random())[~changed], x[~changed, :, ::-1])


def test_shift_moves_each_sample_by_at_most_an_eighth_and_repeats_the_edge() -> None:
    x = np.tile(np.arange(16, dtype=np.float32), (50, 1))
    moved = shift(x, [1], _random())[:, 8] - 8
    assert set(moved) == {-2, -1, 0, 1, 2}
    assert shift(x, [1], _random()).min() == 0
    assert shift(x, [1], _random()).max() == 15


def test_masks_hide_spans_behind_the_mean_and_no_more_than_a_fifth() -> None:
    x = _samples(100, 40, 10)
    hidden = (mask_spans(x, 1, _random()) != x).all(2)
    assert 0 < hidden.mean() < 0.2
    assert hidden.sum(1).max() <= 8
    sample = int(hidden.sum(1).argmax())
    assert np.allclose(mask_spans(x, 1, _random())[sample, hidden[sample]], x[sample].mean(), atol=1e-5)


def test_function_of_the_user_is_run_with_the_generator(tmp_path: Path) -> None:
    augment, notes = make_augment(_function(tmp_path, "return {'x': inputs['x'] + random.normal()}"), [VECTOR])
    assert augment is not None
    x = _samples(4, 640)
    assert augment({"x": x}, _random())["x"] == pytest.approx(x + _random().normal())
    assert augment({"x": x}, _random())["x"].dtype == np.float32
    assert notes[0].startswith("all inputs: ")


@pytest.mark.parametrize(
    ("body", "message"),
    [("return {'x': inputs['x'][:2]}", "must not change shapes"), ("return {}", "failed: KeyError")],
)
def test_function_that_returns_something_else_is_refused(tmp_path: Path, body: str, message: str) -> None:
    augment, _ = make_augment(_function(tmp_path, body), [VECTOR])
    assert augment is not None
    with pytest.raises(DataError, match=message):
        augment({"x": _samples(4, 640)}, _random())


def test_function_can_not_change_the_samples_themselves(tmp_path: Path) -> None:
    augment, _ = make_augment(_function(tmp_path, "inputs['x'][:] = 0; return inputs"), [VECTOR])
    assert augment is not None
    x = _samples(4, 640)
    assert augment({"x": x}, _random())["x"].max() == 0
    assert x.max() > 0


def test_unknown_word_is_refused() -> None:
    with pytest.raises(UsageError, match="none, default or module:function"):
        make_augment("defualt", [IMAGE])


def _function(folder: Path, body: str) -> str:
    file = folder / "mine.py"
    file.write_text(f"def change(inputs, random):\n    {body}\n")
    return f"{file}:change"

"""Resize, crop, channels, layout. Resizing is compared with ONNX Runtime in the integration tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.pipeline import apply_steps


def run(operation: str, array: Any, **params: Any) -> Any:
    return apply_steps([Step(op=operation, params=params)], array)


def row(*values: float, dtype: str = "float32") -> Any:
    return np.array(values, dtype).reshape(1, 1, -1, 1)


@pytest.mark.parametrize(
    ("method", "width", "expected"),
    [
        ("bilinear", 4, [0, 2.5, 7.5, 10]),
        ("bilinear", 1, [5]),
        ("nearest", 4, [0, 0, 10, 10]),
        ("nearest", 1, [10]),
        ("nearest", 3, [0, 10, 10]),
    ],
)
def test_pixel_centres_are_at_halves_and_edges_are_clamped(method: str, width: int, expected: Any) -> None:
    result = run("resize", row(0, 10), height=1, width=width, method=method)
    np.testing.assert_array_equal(result.ravel(), expected)


def test_resizing_integers_rounds_to_the_nearest() -> None:
    result = run("resize", row(0, 255, dtype="uint8"), height=1, width=4)
    assert result.dtype == np.uint8
    assert result.ravel().tolist() == [0, 64, 191, 255]


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_both_layouts_give_the_same_image(method: str) -> None:
    image = np.random.default_rng(0).random((2, 5, 7, 3), np.float32)
    size = {"height": 8, "width": 3, "method": method}
    channels_first = run("resize", image.transpose(0, 3, 1, 2), layout="NCHW", **size)
    assert channels_first.shape == (2, 3, 8, 3)
    np.testing.assert_array_equal(channels_first.transpose(0, 2, 3, 1), run("resize", image, **size))


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", "float64"])
def test_resizing_keeps_the_dtype(method: str, dtype: str) -> None:
    assert run("resize", np.ones((1, 3, 3, 1), dtype), height=5, width=2, method=method).dtype == dtype


@pytest.mark.parametrize(
    ("size", "height", "expected"), [(5, 3, [1, 2, 3]), (5, 2, [1, 2]), (4, 3, [0, 1, 2]), (3, 3, [0, 1, 2])]
)
def test_crop_takes_the_middle(size: int, height: int, expected: list[int]) -> None:
    image = np.arange(size).reshape(1, size, 1, 1)
    assert run("crop", image, height=height, width=1).ravel().tolist() == expected


def test_crop_follows_the_layout() -> None:
    assert run("crop", np.zeros((2, 3, 6, 8)), height=4, width=5, layout="NCHW").shape == (2, 3, 4, 5)


def test_crop_refuses_images_that_are_too_small() -> None:
    with pytest.raises(DataError, match="4×9 cannot be cut out of images of 6×8"):
        run("crop", np.zeros((2, 6, 8, 3)), height=4, width=9)


@pytest.mark.parametrize("operation", ["resize", "crop"])
def test_images_have_four_axes(operation: str) -> None:
    with pytest.raises(DataError, match=rf"{operation}: images are NHWC with four axes.*\(6, 8, 3\)"):
        run(operation, np.zeros((6, 8, 3)), height=4, width=4)


def test_an_image_without_pixels_can_not_be_resized() -> None:
    with pytest.raises(DataError, match="no pixels"):
        run("resize", np.zeros((1, 0, 8, 3)), height=4, width=4)


@pytest.mark.parametrize(
    ("order", "axis", "expected"), [([2, 1, 0], -1, [3, 2, 1]), ([0, 0], -1, [1, 1]), ([1], 1, [2])]
)
def test_channels_are_reordered_picked_and_repeated(order: list[int], axis: int, expected: list[int]) -> None:
    assert run("channels", np.array([[1, 2, 3]]), order=order, axis=axis).tolist() == [expected]


def test_a_channel_that_is_not_there_is_a_data_error() -> None:
    with pytest.raises(DataError, match=r"order \[3\] names a channel"):
        run("channels", np.array([[1, 2, 3]]), order=[3])


def test_layout_moves_the_axes_and_gives_contiguous_memory() -> None:
    image = np.arange(24).reshape(1, 2, 3, 4)
    result = run("layout", image, **{"from": "NHWC", "to": "NCHW"})
    np.testing.assert_array_equal(result, np.moveaxis(image, 3, 1))
    assert result.flags.c_contiguous


def test_layout_refuses_another_number_of_axes() -> None:
    with pytest.raises(DataError, match=r"NHWC has 4 axes, the array has shape \(2, 3\)"):
        run("layout", np.zeros((2, 3)), **{"from": "NHWC", "to": "NCHW"})


@pytest.mark.parametrize(
    ("place", "value", "expected"), [("middle", 7, [7, 1, 2, 7, 7]), ("start", 0, [1, 2, 0, 0, 0])]
)
def test_pad_puts_the_image_into_a_larger_one(place: str, value: float, expected: list[int]) -> None:
    result = run("pad", row(1, 2, dtype="uint8"), height=1, width=5, place=place, value=value)
    assert result.ravel().tolist() == expected
    assert result.dtype == np.uint8


def test_pad_follows_the_layout_and_refuses_larger_images() -> None:
    assert run("pad", np.zeros((2, 3, 6, 8)), height=7, width=9, layout="NCHW").shape == (2, 3, 7, 9)
    with pytest.raises(DataError, match="does not fit into 7×7"):
        run("pad", np.zeros((2, 6, 8, 3)), height=7, width=7)


@pytest.mark.parametrize(("size", "expected"), [((100, 100), (75, 100)), ((30, 100), (30, 40)), ((3, 4), (3, 4))])
def test_an_image_inside_keeps_its_proportions(size: tuple[int, int], expected: tuple[int, int]) -> None:
    result = run("resize", np.ones((1, 3, 4, 1)), height=size[0], width=size[1], fit="inside")
    assert result.shape[1:3] == expected


@pytest.mark.parametrize(("axis", "shape"), [(-1, (2, 3, 4, 1)), (1, (2, 1, 3, 4)), (-2, (2, 3, 1, 4))])
def test_expand_adds_an_axis(axis: int, shape: tuple[int, ...]) -> None:
    assert run("expand", np.zeros((2, 3, 4)), axis=axis).shape == shape


def test_expand_refuses_the_samples_axis() -> None:
    with pytest.raises(DataError, match="cannot be put at -4"):
        run("expand", np.zeros((2, 3, 4)), axis=-4)

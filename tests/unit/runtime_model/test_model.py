"""What a loaded model promises, tried with bundles on the fake engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.engines.fake import write_fake_model
from edgeai_runtime.errors import BundleError, DataError, EngineError, ModelError, UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Quantization, Step, TensorSpec

MakeBundle = Callable[..., Path]


def _spec(name: str, shape: tuple[int | None, ...], dtype: str = "float32", **more: Any) -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype=dtype, **more)


def test_one_array_in_gives_one_array_out(make_bundle: MakeBundle) -> None:
    with load(make_bundle({"net": {"factor": 3}})) as model:
        result = model(np.ones((4, 2), np.float32))

    np.testing.assert_array_equal(result, np.full((4, 2), 3, np.float32))


def test_a_dict_in_gives_a_dict_out(make_bundle: MakeBundle) -> None:
    with load(make_bundle({"net": {}})) as model:
        assert set(model({"x": np.ones((1, 2), np.float32)})) == {"y"}


def test_a_single_sample_gets_a_batch_axis_and_loses_it_again(make_bundle: MakeBundle) -> None:
    with load(make_bundle({"net": {}})) as model:
        assert model(np.ones(2, np.float32)).shape == (2,)


def test_the_second_call_with_another_shape_is_checked_again(make_bundle: MakeBundle) -> None:
    with load(make_bundle({"net": {}})) as model:
        model(np.ones((1, 2), np.float32))
        with pytest.raises(DataError, match=r"'x' wants shape \[n, 2\]. Received: \[1, 3\]"):
            model(np.ones((1, 3), np.float32))


@pytest.mark.parametrize("dtype", ["float64", "float16", "uint8", "int64", "bool"])
def test_narrower_and_wider_numbers_are_cast_to_a_float_input(make_bundle: MakeBundle, dtype: str) -> None:
    with load(make_bundle({"net": {}})) as model:
        for _ in range(2):  # the quick way must not take what the careful way casts
            result = model(np.ones((1, 2), dtype))
            assert result.dtype == np.float32


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.ones((1, 2), complex), "'x' wants float32. Received: complex128"),
        (np.ones((1, 3), np.float32), r"wants shape \[n, 2\]. Received: \[1, 3\]"),
        (np.ones((1, 1, 2), np.float32), r"Received: \[1, 1, 2\]"),
        (np.ones((0, 2), np.float32), "'x' is empty"),
        ({"X": np.ones((1, 2), np.float32)}, "no input 'X'"),
        ({}, "x are missing"),
        ({"x": np.ones((1, 2)), "z": np.ones(1)}, "no input 'z'"),
        ([[1.0], [1.0, 2.0]], "cannot be made an array|wants numbers"),
        (None, "wants numbers"),
        ("image.png", "Received"),
    ],
)
def test_input_that_does_not_fit_is_an_error_that_names_the_tensor(
    make_bundle: MakeBundle, value: Any, words: str
) -> None:
    with load(make_bundle({"net": {}})) as model, pytest.raises(DataError, match=words):
        model(value)


def test_a_float_array_is_not_silently_cast_to_integers(make_bundle: MakeBundle) -> None:
    x = _spec("x", (None, 2), "int64")
    path = make_bundle(
        {"net": {"inputs": [{"name": "x", "shape": [None, 2], "dtype": "int64"}]}},
        own={"net": {"inputs": (x,), "outputs": (_spec("y", (None, 2), "int64"),)}},
        inputs=(x,),
        outputs=(_spec("y", (None, 2), "int64"),),
    )
    with load(path) as model:
        assert model([[1, 2]]).dtype == np.int64
        with pytest.raises(DataError, match="wants int64"):
            model(np.ones((1, 2), np.float32))


def test_several_inputs_need_a_dict(make_bundle: MakeBundle) -> None:
    inputs = (_spec("a", (None, 2)), _spec("b", (None, 2)))
    tensors = [{"name": name, "shape": [None, 2]} for name in "ab"]
    path = make_bundle({"net": {"inputs": tensors}}, own={"net": {"inputs": inputs}}, inputs=inputs)

    with load(path) as model, pytest.raises(DataError, match="2 inputs: a, b"):
        model(np.ones((1, 2), np.float32))


def test_a_variant_with_other_dtype_layout_and_order_looks_like_the_manifest_says(make_bundle: MakeBundle) -> None:
    fine = Quantization(scale=0.5, zero_point=-3)
    outer_in = (_spec("scale", (None, 1)), _spec("image", (None, 3, 4, 5), layout="NCHW"))
    outer_out = (_spec("y", (None, 3, 4, 5), layout="NCHW"),)
    own = {
        "inputs": (
            _spec("scale:0", (None, 1)),
            _spec("image:0", (None, 4, 5, 3), "int8", layout="NHWC", quantization=fine),
        ),
        "outputs": (_spec("y", (None, 4, 5, 3), "int8", layout="NHWC", quantization=fine),),
    }
    tensors = [
        {"name": "image:0", "shape": [None, 4, 5, 3], "dtype": "int8"},
        {"name": "scale:0", "shape": [None, 1], "dtype": "float32"},
    ]
    path = make_bundle({"net": {"inputs": tensors}}, own={"net": own}, inputs=outer_in, outputs=outer_out)
    image = np.random.default_rng(0).uniform(-10, 10, (2, 3, 4, 5)).astype(np.float32)

    with load(path) as model:
        result = model({"image": image, "scale": np.ones((2, 1), np.float32)})["y"]

    assert result.shape == (2, 3, 4, 5)
    np.testing.assert_allclose(result, image, atol=fine.scale / 2)


def test_values_outside_the_quantized_range_saturate_and_do_not_wrap(make_bundle: MakeBundle) -> None:
    own_x = _spec("x", (None, 2), "int8", quantization=Quantization(scale=1.0, zero_point=0))
    own_y = _spec("y", (None, 2), "int8", quantization=Quantization(scale=1.0, zero_point=0))
    path = make_bundle(
        {"net": {"inputs": [{"name": "x", "shape": [None, 2], "dtype": "int8"}]}},
        own={"net": {"inputs": (own_x,), "outputs": (own_y,)}},
    )
    with load(path) as model:
        np.testing.assert_array_equal(model(np.array([[1e6, -1e6]], np.float32)), [[127, -128]])


def test_steps_of_the_manifest_run_around_the_model_and_not_around_run_raw(make_bundle: MakeBundle) -> None:
    steps = {"x": (Step(op="cast", params={"dtype": "float32"}), Step(op="scale", params={"factor": 2.0}))}
    after = {"y": (Step(op="argmax"),)}
    with load(make_bundle({"net": {}}, preprocessing=steps, postprocessing=after)) as model:
        assert model(np.array([[1, 5], [5, 1]], np.uint8)).tolist() == [1, 0]
        assert model(np.array([1, 5], np.uint8)) == 1
        raw = model.run_raw(model.preprocess(np.array([[1, 5]], np.uint8)))

    np.testing.assert_array_equal(raw[0], [[2.0, 10.0]])


def test_run_raw_refuses_the_wrong_number_of_arrays(make_bundle: MakeBundle) -> None:
    with load(make_bundle({"net": {}})) as model:
        model.run_raw([np.ones((1, 2), np.float32)])
        with pytest.raises(DataError, match="1 inputs"):
            model.run_raw([np.ones((1, 2), np.float32)] * 2)
        with pytest.raises(DataError, match="1 inputs"):
            model.run_raw([])


def test_the_first_variant_that_loads_is_used_and_the_others_are_reported(make_bundle: MakeBundle) -> None:
    path = make_bundle({"broken": {"on_open": "raise"}, "good": {}})

    with load(path) as model:
        assert model.variant is not None
        assert model.variant.id == "good"
        assert "as it was told to" in model.placement.attempts[0].reason


def test_a_variant_can_be_asked_for_by_id(make_bundle: MakeBundle) -> None:
    path = make_bundle({"one": {"factor": 1}, "two": {"factor": 2}})

    with load(path, variant="two") as model:
        assert model(np.ones((1, 2), np.float32))[0, 0] == 2
    with pytest.raises(UsageError, match="no variant 'three'"):
        load(path, variant="three")


def test_when_no_variant_loads_the_error_lists_each(make_bundle: MakeBundle) -> None:
    with pytest.raises(EngineError, match=r"none of the variants(.|\n)*fake:cpu"):
        load(make_bundle({"one": {"on_open": "raise"}, "two": {"on_open": "raise"}}))


def test_a_manifest_that_does_not_fit_its_artifact_is_a_bundle_error(make_bundle: MakeBundle) -> None:
    tensors = [{"name": name, "shape": [None, 2]} for name in "pq"]

    with pytest.raises(BundleError, match="the artifact has p, q"):
        load(make_bundle({"net": {"inputs": tensors}}))


def test_a_closed_model_says_so(make_bundle: MakeBundle) -> None:
    model = load(make_bundle({"net": {}}))
    model(np.ones((1, 2), np.float32))
    model.close()
    model.close()

    with pytest.raises(UsageError, match="closed"):
        model(np.ones((1, 2), np.float32))


def test_senseless_threads_and_variants_of_bare_files_are_wrong_usage(make_bundle: MakeBundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="threads is at least 1"):
        load(make_bundle({"net": {}}), threads=0)
    with pytest.raises(UsageError, match="bare artifact"):
        load(write_fake_model(tmp_path / "a.onnx"), variant="int8")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.tflite", b"", "is empty"),
        ("empty.onnx", b"", "is empty"),
        ("page.onnx", b"<!DOCTYPE html><html>", "an HTML page"),
        ("wrong.tflite", b"PK\x03\x04rest of a zip", "a zip archive"),
        ("wrong.xml", b"\x1c\0\0\0TFL3....", "a TFLite model"),
        ("alone.xml", b"<?xml version='1.0'?><net/>", "no alone.bin beside it"),
        ("model.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    ],
)
def test_a_file_of_another_kind_is_recognised_without_an_engine(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(ModelError, match=words):
        load(path, isolate=False)


def test_a_missing_file_and_a_plain_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no file"):
        load(tmp_path / "none.tflite")
    with pytest.raises(ModelError, match="is a folder"):
        load(tmp_path)

"""Sound: resampling, spectrograms, mel filters and cepstra against scipy; TensorFlow and torch are in integration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.signal

from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.audio import mel_filters
from edgeai_runtime.transforms.pipeline import apply_steps

RTOL = 1e-5  # float32 against float64
SLANEY_MELS = {0: 0.0, 500: 7.5, 1000: 15.0, 6400: 42.0}
"""Frequencies in Hz whose mel is given by the scale's definition: 15 at 1000 Hz, 27 steps more per factor 6.4."""


def run(operation: str, array: Any, **params: Any) -> Any:
    return apply_steps([Step(op=operation, params=params)], array)


def noise(*shape: int, dtype: str = "float32") -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def test_mono_is_the_mean_of_the_channels() -> None:
    np.testing.assert_allclose(run("mono", np.array([[[1, 3], [5, 6]]], np.int16)), [[2, 5.5]])


@pytest.mark.parametrize("rates", [(44100, 16000), (8000, 16000), (48000, 16000), (16000, 16000), (5, 7), (3, 1)])
@pytest.mark.parametrize("samples", [1, 2, 50, 1001])
def test_resampling_is_that_of_scipy(rates: tuple[int, int], samples: int) -> None:
    source, target = rates
    sound = noise(2, samples, dtype="float64")
    expected = scipy.signal.resample_poly(sound, target, source, axis=1)
    np.testing.assert_allclose(run("resample", sound, **{"from": source, "to": target}), expected, atol=1e-12)


@pytest.mark.parametrize(("length", "expected"), [(2, [1, 2]), (3, [1, 2, 3]), (5, [1, 2, 3, -7, -7])])
def test_the_length_is_made_fit_at_the_end(length: int, expected: list[int]) -> None:
    result = run("fit_length", np.array([[1, 2, 3]], np.int16), length=length, value=-7)
    assert result.tolist() == [expected]
    assert result.dtype == np.int16


@pytest.mark.parametrize("window", ["hann", "hamming", "ones"])
@pytest.mark.parametrize(("frame_length", "hop", "fft"), [(64, 16, 64), (50, 20, 64), (50, 60, 0), (65, 7, 0)])
@pytest.mark.parametrize("power", [1, 2])
def test_a_spectrogram_is_the_transform_of_each_frame(
    window: str, frame_length: int, hop: int, fft: int, power: float
) -> None:
    sound = noise(2, 300)
    result = run("spectrogram", sound, frame_length=frame_length, hop=hop, fft=fft, window=window, power=power)
    shape = scipy.signal.get_window("boxcar" if window == "ones" else window, frame_length)
    starts = range(0, 300 - frame_length + 1, hop)
    size = fft or (64 if frame_length <= 64 else 128)
    expected = np.stack(
        [np.abs(scipy.fft.rfft(sound[:, i : i + frame_length] * shape, n=size)) ** power for i in starts], 1
    )
    np.testing.assert_allclose(result, expected, rtol=RTOL, atol=1e-4)
    assert result.dtype == np.float32


@pytest.mark.parametrize("norm", ["ortho", "htk"])
def test_the_cosine_transform_is_that_of_scipy(norm: str) -> None:
    values = noise(2, 3, 20)
    expected = scipy.fft.dct(values, type=2, norm="ortho")[..., :7]
    if norm == "htk":
        expected[..., 0] *= np.sqrt(2)
    np.testing.assert_allclose(run("dct", values, keep=7, norm=norm), expected, atol=1e-5)


@pytest.mark.parametrize(("base", "expected"), [("e", np.log(4)), ("ten", np.log10(4)), ("db", 10 * np.log10(4))])
def test_the_logarithm_is_taken_after_the_offset(base: str, expected: float) -> None:
    np.testing.assert_allclose(run("log", [[3.0]], offset=1, base=base), [[expected]])


def test_zero_has_no_logarithm() -> None:
    with pytest.raises(DataError, match="no logarithm"):
        run("log", np.zeros((1, 2)), offset=0)


@pytest.mark.parametrize("low", [0, 500])
@pytest.mark.parametrize("high", [1000, 6400])
def test_slaney_corners_are_where_the_scale_says(low: int, high: int) -> None:
    filters = mel_filters(12801, 12800, 1, low, high, "slaney", "hz", "none")[:, 0]
    mel = (SLANEY_MELS[low] + SLANEY_MELS[high]) / 2
    middle = mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)
    assert filters.argmax() / 2 == pytest.approx(middle, abs=0.5)
    assert np.flatnonzero(filters)[[0, -1]] / 2 == pytest.approx([low, high], abs=0.6)


def test_slaney_filters_have_the_same_area() -> None:
    filters = mel_filters(4097, 16000, 20, 100, 7000, "slaney", "hz", "slaney")
    np.testing.assert_allclose(filters.sum(axis=0) * (8000 / 4096), 1, rtol=1e-2)


@pytest.mark.parametrize("last", ["log_mel", "mfcc"])
def test_the_short_forms_are_the_long_ones(last: str) -> None:
    sound = noise(2, 800)
    frames = {"frame_length": 100, "hop": 40, "fft": 128, "window": "hamming", "power": 1, "centre": "reflect"}
    bands = {"sample_rate": 8000, "n_mels": 12, "fmin": 50, "fmax": 3000, "scale": "slaney", "norm": "slaney"}
    steps = [
        Step(op="spectrogram", params=frames),
        Step(op="mel", params=bands),
        Step(op="log", params={"offset": 0.01, "base": "db"}),
        *([Step(op="dct", params={"keep": 5, "norm": "htk"})] if last == "mfcc" else []),
    ]
    extra = {"n_mfcc": 5, "dct_norm": "htk"} if last == "mfcc" else {}
    short = run(last, sound, **frames, **bands, offset=0.01, base="db", **extra)
    np.testing.assert_array_equal(short, apply_steps(steps, sound))


@pytest.mark.parametrize(
    ("operation", "shape", "message"),
    [
        ("spectrogram", (2, 9), "9 samples are less than one frame of 10"),
        ("spectrogram", (2, 9, 2), r"sounds are \[n, samples\]"),
        ("mel", (2, 9), r"a spectrogram is \[n, frames, bins\]"),
        ("dct", (2, 9), "10 coefficients cannot be had of 9 values"),
        ("resample", (2, 0), r"sounds are \[n, samples\]"),
    ],
)
def test_what_does_not_fit_is_refused(operation: str, shape: tuple[int, ...], message: str) -> None:
    params: dict[str, Any] = {
        "spectrogram": {"frame_length": 10, "hop": 5},
        "mel": {"sample_rate": 8000},
        "dct": {"keep": 10},
        "resample": {"from": 2, "to": 1},
    }[operation]
    with pytest.raises(DataError, match=message):
        run(operation, np.ones(shape), **params)

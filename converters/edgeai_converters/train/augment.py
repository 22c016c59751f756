"""Augmentation: samples changed a little in each step, so that more can be learned from as many.

What suits is chosen by an input's form: images are shifted and get a little noise, those in colour are mirrored too;
audio features lose spans of time and of frequency (SpecAugment, Park et al. 2019, arXiv:1904.08779, section 2, without
the warp of time). Vectors, tokens and images whose axes are not known stay as they are. Under one generator the result
is always the same.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.calibrate.dataset_function import load_function
from edgeai_converters.train.loop import Augment
from edgeai_runtime.errors import DataError, UsageError
from edgeai_runtime.manifest import TensorSpec

Form = Literal["colour_image", "grey_image", "audio_features"]

_SHIFT = 8
"""Images are shifted by up to this part of their size: 4 of 32 pixels, as He et al. 2016 (arXiv:1512.03385) did."""

_NOISE = 0.02
"""Standard deviation of the noise, as a share of the samples' own."""

_MASK = 5
"""Masks of time and of frequency take up to this part of the axis each; there are two of either."""

_LEAST_IMAGE, _LEAST_TIME, _LEAST_FREQUENCIES = 8, 16, 8
_CHANNELS = (1, 3, 4)


def make_augment(text: str, inputs: Sequence[TensorSpec]) -> tuple[Augment | None, tuple[str, ...]]:
    """Return the augmentation that a user asks for, and what it does to which input, in words.

    Args:
        text: `none`, `default`, or `module:function` (or `file.py:function`): it takes prepared inputs by name,
            `[n, …]`, and a `numpy.random.Generator`, and returns as many of the same shapes and types.
        inputs: the model's inputs.

    Raises:
        UsageError: an unknown word, or a function that is not there.

    Example:
        >>> image = TensorSpec(name="x", shape=(None, 3, 32, 32), dtype="float32", layout="NCHW")
        >>> make_augment("default", [image])[1]
        ('x: mirrored, shifted, noise (a colour image)',)
    """
    if text == "none":
        return None, ()
    if text != "default":
        if ":" not in text:
            raise UsageError(f"Augmentation is none, default or module:function. Received: {text!r}")
        return _checked(load_function(text), text), (f"all inputs: {text}",)
    forms = {spec.name: form for spec in inputs if (form := form_of(spec)) is not None}
    if not forms:
        return None, ("no input has the form of an image or of audio features: nothing is augmented",)
    specs = {spec.name: spec for spec in inputs}

    def run(arrays: Mapping[str, NDArray[Any]], random: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        return {
            name: _change(array, specs[name], forms[name], random) if name in forms else array
            for name, array in arrays.items()
        }

    return run, tuple(f"{name}: {_WORDS[form]}" for name, form in forms.items())


_WORDS: dict[Form, str] = {
    "colour_image": "mirrored, shifted, noise (a colour image)",
    "grey_image": "shifted, noise (a grey image)",
    "audio_features": "spans of time and frequency masked (audio features)",
}


def form_of(spec: TensorSpec) -> Form | None:
    """Return what an input seems to be, by shape, type and layout.

    Grey images are not mirrored: they are digits and letters as often as not. One channel on a grid that is far from
    square is taken for a spectrogram, and so is a sequence of vectors.
    """
    axes = _axes(spec)
    sizes = None if axes is None else (spec.shape[axes[0]], spec.shape[axes[1]])
    if len(spec.shape) == 3 and spec.dtype.startswith("float"):
        _, time, frequencies = spec.shape
        known = (time is None or time >= _LEAST_TIME) and (
            frequencies is not None and frequencies >= _LEAST_FREQUENCIES
        )
        return "audio_features" if known else None
    if axes is None or sizes is None or None in sizes:
        return None
    height, width = (size or 0 for size in sizes)
    channels = spec.shape[6 - sum(axes)]
    if channels == 1 and max(height, width) >= 1.5 * min(height, width):
        is_float = spec.dtype.startswith("float")
        return "audio_features" if is_float and max(height, width) >= _LEAST_TIME else None
    if min(height, width) < _LEAST_IMAGE:
        return None
    return "grey_image" if channels == 1 else "colour_image"


def mirror(array: NDArray[Any], axis: int, random: np.random.Generator) -> NDArray[Any]:
    """Return samples `[n, …]`, about half of them reversed along an axis."""
    chosen = (random.random(len(array)) < 0.5).reshape(-1, *[1] * (array.ndim - 1))
    return np.where(chosen, np.flip(array, axis), array)


def shift(array: NDArray[Any], axes: Sequence[int], random: np.random.Generator) -> NDArray[Any]:
    """Return samples `[n, …]`, each moved along the axes by up to an eighth; what comes in repeats the edge."""
    for axis in axes:
        size = array.shape[axis]
        offsets = random.integers(-(size // _SHIFT), size // _SHIFT + 1, len(array))
        places = np.clip(np.arange(size) + offsets[:, None], 0, size - 1)
        form = [len(array), *[1] * (array.ndim - 1)]
        form[axis] = size
        array = np.take_along_axis(array, places.reshape(form), axis)
    return array


def add_noise(array: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """Return floats with noise of 2 % of their standard deviation; integers as they are."""
    if array.dtype.kind != "f":
        return array
    noise = random.standard_normal(array.shape, dtype=np.float32) * (_NOISE * float(array.std()))
    return np.asarray(array + noise, dtype=array.dtype)


def mask_spans(array: NDArray[Any], axis: int, random: np.random.Generator) -> NDArray[Any]:
    """Return samples `[n, …]` with two spans of an axis each, of up to a fifth together, set to the sample's mean."""
    size, n = array.shape[axis], len(array)
    means = array.reshape(n, -1).mean(1).astype(array.dtype).reshape(-1, *[1] * (array.ndim - 1))
    form = [n, *[1] * (array.ndim - 1)]
    form[axis] = size
    for _ in range(2):
        lengths = random.integers(0, size // (2 * _MASK) + 1, n)[:, None]
        starts = (random.random((n, 1)) * (size - lengths + 1)).astype(np.int64)
        places = np.arange(size)
        hidden = (places >= starts) & (places < starts + lengths)
        array = np.where(hidden.reshape(form), means, array)
    return array


def _change(array: NDArray[Any], spec: TensorSpec, form: Form, random: np.random.Generator) -> NDArray[Any]:
    axes = _axes(spec) or (1, 2)
    if form == "audio_features":
        for axis in axes:
            array = mask_spans(array, axis, random)
        return array
    if form == "colour_image":
        array = mirror(array, axes[1], random)
    return add_noise(shift(array, axes, random), random)


def _axes(spec: TensorSpec) -> tuple[int, int] | None:
    """Return the axes of height and width; `None` where they cannot be determined."""
    if len(spec.shape) != 4:
        return None
    if spec.layout in ("NHWC", "NCHW"):
        return (1, 2) if spec.layout == "NHWC" else (2, 3)
    last, first = spec.shape[3] in _CHANNELS, spec.shape[1] in _CHANNELS
    if last == first:
        return None
    return (1, 2) if last else (2, 3)


def _checked(function: Any, text: str) -> Augment:
    """Return the user's function, its results checked and its words kept off stdout."""

    def run(arrays: Mapping[str, NDArray[Any]], random: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        given = {name: array.copy() for name, array in arrays.items()}
        try:
            with contextlib.redirect_stdout(sys.stderr):
                returned = function(given, random)
            made = {name: np.asarray(returned[name]) for name in arrays}
        except Exception as error:  # the user's code may raise anything; its own words are what helps
            raise DataError(f"The augmentation {text} failed: {type(error).__name__}: {error}", hint=_HINT) from error
        for name, array in arrays.items():
            if made[name].shape != array.shape:
                raise DataError(
                    f"The augmentation {text} must not change shapes: {name!r} had {list(array.shape)}. "
                    f"Received: {list(made[name].shape)}",
                    hint=_HINT,
                )
        return {name: made[name].astype(array.dtype, copy=False) for name, array in arrays.items()}

    return run


_HINT = "It takes (inputs by name, a numpy.random.Generator) and returns inputs by name of the same shapes."

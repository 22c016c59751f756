"""The operations that steps can name. A new one is a function and a line here.

Every operation takes a batch [n, …]; what it does to shapes and dtypes is in the docstring of its function.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from edgeai_runtime.manifest_checks import DTYPES
from edgeai_runtime.transforms import image, numeric, scores
from edgeai_runtime.transforms.operation import (
    Operation,
    Parameter,
    count,
    count_or_zero,
    counts,
    features_fit,
    filled_word,
    four_numbers,
    frames_fit,
    indices,
    inner_axis,
    integer,
    layout_name,
    least_number,
    mels_fit,
    number,
    numbers,
    one_of,
    positive_number,
    positive_numbers,
    sample_count,
    sample_rate,
    share,
    side,
    tokens_fit,
    word,
)


def _later(module: str, function: str) -> Callable[..., Any]:
    """Return a function that is imported when it is first called: most models need neither sound, text nor boxes."""

    def call(*arguments: Any, **named: Any) -> Any:
        return getattr(importlib.import_module(f"edgeai_runtime.transforms.{module}"), function)(*arguments, **named)

    return call


_AXIS = Parameter(name="axis", check=inner_axis, default=-1)
_HEIGHT = Parameter(name="height", check=side)
_WIDTH = Parameter(name="width", check=side)
_LAYOUT = Parameter(name="layout", check=one_of(*image.IMAGE_LAYOUTS), default="NHWC")
_OFFSET = Parameter(name="offset", check=least_number, default=1e-6)
_BASE = Parameter(name="base", check=one_of("e", "ten", "db"), default="e")
_SPECTROGRAM = (
    Parameter(name="frame_length", check=side),
    Parameter(name="hop", check=count),
    Parameter(name="fft", check=count_or_zero, default=0),
    Parameter(name="window", check=one_of("hann", "hamming", "ones"), default="hann"),
    Parameter(name="power", check=positive_number, default=2),
    Parameter(name="centre", check=one_of("none", "reflect"), default="none"),
)
_MEL = (
    Parameter(name="sample_rate", check=positive_number),
    Parameter(name="n_mels", check=side, default=40),
    Parameter(name="fmin", check=least_number, default=0),
    Parameter(name="fmax", check=least_number, default=0),
    Parameter(name="scale", check=one_of("htk", "slaney"), default="htk"),
    Parameter(name="triangles", check=one_of("mel", "hz"), default="mel"),
    Parameter(name="norm", check=one_of("none", "slaney"), default="none"),
)
_DCT_NORM = one_of("ortho", "htk")
_LOG_MEL = (_MEL[0], *_SPECTROGRAM, *_MEL[1:], _OFFSET, _BASE)

OPERATIONS: dict[str, Operation] = {
    "cast": Operation(run=numeric.cast, parameters=(Parameter(name="dtype", check=one_of(*DTYPES)),)),
    "scale": Operation(
        run=numeric.scale,
        parameters=(Parameter(name="factor", check=number), Parameter(name="offset", check=number, default=0)),
    ),
    "normalize": Operation(
        run=numeric.normalize,
        parameters=(Parameter(name="mean", check=numbers), Parameter(name="std", check=positive_numbers), _AXIS),
    ),
    "dequantize": Operation(
        run=numeric.dequantize,
        parameters=(
            Parameter(name="scale", check=positive_number),
            Parameter(name="zero_point", check=integer, default=0),
        ),
    ),
    "resize": Operation(
        run=image.resize,
        parameters=(
            _HEIGHT,
            _WIDTH,
            Parameter(name="method", check=one_of("nearest", "bilinear", "antialias"), default="bilinear"),
            _LAYOUT,
            Parameter(name="fit", check=one_of("stretch", "inside"), default="stretch"),
        ),
    ),
    "crop": Operation(run=image.crop, parameters=(_HEIGHT, _WIDTH, _LAYOUT)),
    "pad": Operation(
        run=image.pad,
        parameters=(
            _HEIGHT,
            _WIDTH,
            Parameter(name="value", check=number, default=0),
            _LAYOUT,
            Parameter(name="place", check=one_of("middle", "start"), default="middle"),
        ),
    ),
    "channels": Operation(run=image.channels, parameters=(Parameter(name="order", check=indices), _AXIS)),
    "layout": Operation(
        run=image.layout,
        parameters=(
            Parameter(name="from", check=layout_name, argument="source"),
            Parameter(name="to", check=layout_name, argument="target"),
        ),
        together=image.check_layouts,
    ),
    "expand": Operation(run=image.expand, parameters=(_AXIS,), adds_axes=1),
    "mono": Operation(run=_later("audio", "mono"), parameters=(_AXIS,), adds_axes=-1),
    "resample": Operation(
        run=_later("audio", "resample"),
        parameters=(
            Parameter(name="from", check=sample_rate, argument="source"),
            Parameter(name="to", check=sample_rate, argument="target"),
        ),
    ),
    "fit_length": Operation(
        run=_later("audio", "fit_length"),
        parameters=(
            Parameter(name="length", check=sample_count),
            _AXIS,
            Parameter(name="value", check=number, default=0),
        ),
    ),
    "spectrogram": Operation(
        run=_later("audio", "spectrogram"), parameters=_SPECTROGRAM, together=frames_fit, adds_axes=1
    ),
    "mel": Operation(run=_later("audio", "mel"), parameters=_MEL, together=mels_fit),
    "log": Operation(run=_later("audio", "log"), parameters=(_OFFSET, _BASE)),
    "dct": Operation(
        run=_later("audio", "dct"),
        parameters=(Parameter(name="keep", check=count), Parameter(name="norm", check=_DCT_NORM, default="ortho")),
    ),
    "log_mel": Operation(run=_later("audio", "log_mel"), parameters=_LOG_MEL, together=features_fit, adds_axes=1),
    "mfcc": Operation(
        run=_later("audio", "mfcc"),
        parameters=(
            *_LOG_MEL,
            Parameter(name="n_mfcc", check=side, default=13),
            Parameter(name="dct_norm", check=_DCT_NORM, default="ortho"),
        ),
        together=features_fit,
        adds_axes=1,
    ),
    "tokenize": Operation(
        run=_later("text", "tokenize"),
        parameters=(
            Parameter(name="vocabulary", check=filled_word, read=_later("text", "read_vocabulary")),
            Parameter(name="length", check=side),
            Parameter(name="method", check=one_of("word", "wordpiece"), default="word"),
            Parameter(name="case", check=one_of("lower", "keep"), default="lower"),
            Parameter(name="accents", check=one_of("keep", "strip"), default="keep"),
            Parameter(name="punctuation", check=one_of("split", "strip", "keep"), default="split"),
            Parameter(name="unknown", check=filled_word, default="[UNK]"),
            Parameter(name="padding", check=word, default="[PAD]"),
            Parameter(name="begin", check=word, default=""),
            Parameter(name="end", check=word, default=""),
            Parameter(name="give", check=one_of("ids", "mask", "types"), default="ids"),
            Parameter(name="dtype", check=one_of("int32", "int64"), default="int32"),
        ),
        together=tokens_fit,
        takes_text=True,
        adds_axes=1,
    ),
    "softmax": Operation(run=scores.softmax, parameters=(_AXIS,)),
    "sigmoid": Operation(run=scores.sigmoid),
    "top_k": Operation(
        run=scores.top_k,
        parameters=(
            Parameter(name="k", check=count, default=5),
            Parameter(name="give", check=one_of("indices", "values"), default="indices"),
        ),
    ),
    "argmax": Operation(run=scores.argmax, parameters=(_AXIS,)),
    "labels": Operation(
        run=scores.labels,
        parameters=(Parameter(name="top", check=count, default=1),),
        takes_labels=True,
        ends=True,
    ),
    "corners": Operation(
        run=_later("boxes", "corners"),
        parameters=(
            Parameter(name="from", check=one_of("xyxy", "yxyx", "xywh", "cxcywh", "cycxhw"), argument="source"),
        ),
    ),
    "anchor_boxes": Operation(
        run=_later("boxes", "anchor_boxes"),
        parameters=(
            Parameter(name="anchors", check=filled_word, read=_later("boxes", "read_anchors")),
            Parameter(name="scales", check=four_numbers, default=(10, 10, 5, 5)),
            Parameter(name="form", check=one_of("cycxhw", "cxcywh"), default="cycxhw"),
        ),
    ),
    "grid_boxes": Operation(
        run=_later("boxes", "grid_boxes"),
        parameters=(
            _HEIGHT,
            _WIDTH,
            Parameter(name="strides", check=counts, default=(8, 16, 32)),
            Parameter(name="decode", check=one_of("centre", "sides"), default="centre"),
        ),
    ),
    "detect": Operation(
        run=_later("boxes", "detect"),
        parameters=(
            Parameter(name="scores", check=word, default="", is_output=True),
            Parameter(name="objectness", check=one_of("no", "yes"), default="no"),
            Parameter(name="classes", check=one_of("best", "all"), default="best"),
            Parameter(name="background", check=integer, default=-1),
            Parameter(name="score", check=share, default=0.5),
            Parameter(name="iou", check=share, default=0.5),
            Parameter(name="top", check=count, default=100),
        ),
        takes_labels=True,
        ends=True,
    ),
}

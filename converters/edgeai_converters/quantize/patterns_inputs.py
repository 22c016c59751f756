"""Patterns of the data: features of unlike scale, channels that say nothing, and steps that do not match the model.

Whether preprocessing is right cannot be read off a graph whose normalizations are folded away. With labels it can be
tried: the float graph is run with the usual other steps, and what scores far better was probably meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.patterns import Pattern, Planned

FEW_STEPS_PER_DEVIATION = 8.0
"""Stored steps per standard deviation that most features of an input must have: rounding is then below 4 %."""

FEW_CHANNELS = 4
"""Channels of an image at its input: grey, colours, colours and transparency."""

MOST_IMAGE_CHANNELS = 16
"""Size up to which an axis is taken for the channels of an image or a signal, each of which must say something."""

NEAR_CHANCE = 0.15
"""Score above that of guessing, or as much as guessing scores, up to which a model is said to guess."""

BETTER = 0.1
"""Score that other preprocessing must gain to be called the right one: 10 points."""

LEAST_SAMPLES = 24
"""Samples below which a score, or predictions that are all the same, say nothing."""

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

Arrays = Mapping[str, NDArray[Any]]
Score = Callable[[Mapping[str, NDArray[Any]]], float]


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """Other preprocessing: `(x · factor + offset − mean) / std`, with channels reversed or not.

    Attributes:
        words: what it does, for people.
        steps: the same in the compact form of steps.
    """

    words: str
    steps: str
    factor: float = 1.0
    offset: float = 0.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    reverse: bool = False

    def apply(self, array: NDArray[Any], axis: int | None) -> NDArray[np.float32]:
        """Return the array after these steps; `axis` is that of the three colours."""
        made = array * np.float32(self.factor) + np.float32(self.offset)
        if axis is not None:
            shape = [3 if i == axis else 1 for i in range(array.ndim)]
            made = np.flip(made, axis) if self.reverse else made
            if self.mean:
                made = (made - np.reshape(self.mean, shape)) / np.reshape(self.std, shape)
        return np.ascontiguousarray(made, np.float32)


def check_inputs(planned: Planned, samples: Arrays) -> list[Pattern]:
    """Return what the samples themselves show: unlike features, and channels that are the same everywhere.

    Args:
        planned: the graph and its plan.
        samples: prepared inputs by name, `[n, …]`.
    """
    found: list[Pattern] = []
    for value in planned.model.graph.inputs:
        name = str(value.name)
        array = samples.get(name)
        if array is None or array.dtype.kind != "f" or array.ndim < 2 or not array.size:
            continue
        found += _constant_channels(name, array)
        found += _unlike_features(planned, name, array)
    return found


def check_preprocessing(model: ir.Model, samples: Arrays, score: Score | None, *, threads: int = 1) -> list[Pattern]:
    """Return a pattern when other preprocessing scores far better, when the model guesses, or knows one class only.

    Only models with one floating-point input are tried.

    Args:
        model: the float graph.
        samples: prepared inputs by name, `[n, …]`.
        score: gives the outputs of the float graph on these samples a score from 0 to 1; `None` without labels.
        threads: threads inside an operation.
    """
    floats = [name for name, array in samples.items() if array.dtype.kind == "f"]
    if len(floats) != 1 or len(samples[floats[0]]) < LEAST_SAMPLES:
        return []
    name, array = floats[0], samples[floats[0]]
    runner = GraphRunner(model, threads=threads)
    outputs = runner.run(samples)
    if score is None:
        return _collapsed(name, next(iter(outputs.values())))
    now = score(outputs)
    axis = _colour_axis(array)
    best, most = None, now
    for other in alternatives(array, colours=axis is not None):
        reached = score(runner.run({**samples, name: other.apply(array, axis)}))
        if reached > most:
            best, most = other, reached
    guessing = _at_chance(name, most, next(iter(outputs.values())))
    if best is None or guessing or most < now + BETTER:
        return guessing
    steps = best.steps.format(axis=axis)
    return [
        Pattern(
            name="preprocessing",
            node=name,
            why=f"the float source scores {now:.1%} on these samples, and {most:.1%} after {best.words}",
            fix=f"add the steps that the model was trained with: --preprocess {steps!r} after those of today",
            remedy={"op": "preprocess", "steps": steps},
        )
    ]


def alternatives(array: NDArray[Any], *, colours: bool) -> list[Alternative]:
    """Return other usual preprocessing of samples with the range that these have."""
    low, high = float(array.min()), float(array.max())
    if high > 16 and low >= -1:
        to_unit, shift = 1 / 255, 0.0
    elif low >= -1e-3 and high <= 1.001:
        to_unit, shift = 1.0, 0.0
    elif low >= -1.001 and high <= 1.001:
        to_unit, shift = 0.5, 0.5
    else:
        return [_alternative(None, reverse=True)] if colours else []
    found = [] if to_unit == 1.0 else [_Scaling("bringing 0 … 1", to_unit, shift)]
    if shift == 0.0:
        found.append(_Scaling("bringing -1 … 1", 2 * to_unit, -1.0))
    if high <= 16:
        found.append(_Scaling("bringing 0 … 255", 255 * to_unit, 255 * shift))
    if not colours:
        return [_alternative(each, reverse=False) for each in found]
    found.append(_Scaling("ImageNet's mean and deviation", to_unit, shift, normalize=True))
    made = [_alternative(each, reverse=reverse) for reverse in (False, True) for each in found]
    return [_alternative(None, reverse=True), *made]


class _Scaling(NamedTuple):
    words: str
    factor: float
    offset: float
    normalize: bool = False


def _alternative(scaling: _Scaling | None, *, reverse: bool) -> Alternative:
    words = [] if scaling is None else [scaling.words]
    steps = [] if scaling is None else [f"scale:factor={scaling.factor:.8g},offset={scaling.offset:g}"]
    if reverse:
        words.append("reversing the colours")
        steps.insert(0, "channels:order=[2,1,0],axis={axis}")
    normalize = scaling is not None and scaling.normalize
    if normalize:
        steps.append(f"normalize:mean={_list(_IMAGENET_MEAN)},std={_list(_IMAGENET_STD)},axis={{axis}}")
    return Alternative(
        words=" and ".join(words),
        steps=";".join(steps),
        factor=1.0 if scaling is None else scaling.factor,
        offset=0.0 if scaling is None else scaling.offset,
        mean=_IMAGENET_MEAN if normalize else (),
        std=_IMAGENET_STD if normalize else (),
        reverse=reverse,
    )


def _constant_channels(name: str, array: NDArray[Any]) -> list[Pattern]:
    for axis in _channel_axes(array):
        if array.ndim < 3 or not 1 < array.shape[axis] <= MOST_IMAGE_CHANNELS or len(array) < 2:
            continue
        others = tuple(i for i in range(array.ndim) if i != axis)
        same = np.flatnonzero(array.max(axis=others) == array.min(axis=others))
        if same.size:
            which = ", ".join(str(i) for i in same[:4])
            return [
                Pattern(
                    name="constant_channel",
                    node=name,
                    why=f"channel {which} of the input (axis {axis}) has the same value in all samples",
                    fix="look at the data and at the preprocessing: a channel may be lost on the way",
                )
            ]
    return []


def _unlike_features(planned: Planned, name: str, array: NDArray[Any]) -> list[Pattern]:
    step = planned.step(name)
    if step is None:
        return []
    worst: tuple[float, int, float] | None = None
    for axis in {1, array.ndim - 1}:
        others = tuple(i for i in range(array.ndim) if i != axis)
        deviation = array.std(axis=others, dtype=np.float64)
        alive = deviation[deviation > 0]
        if array.shape[axis] < 2 or not alive.size:
            continue
        steps = float(np.median(alive)) / step
        if worst is None or steps < worst[0]:
            worst = (steps, axis, float(alive.max() / np.median(alive)))
    if worst is None or worst[0] >= FEW_STEPS_PER_DEVIATION:
        return []
    steps, axis, ratio = worst
    return [
        Pattern(
            name="unlike_features",
            node=name,
            why=f"along axis {axis} the largest feature varies {ratio:.0f} times as much as the median one; "
            f"{steps:.1f} stored steps per standard deviation are left for half of them",
            fix="compute the first layer in float, or bring the features to one scale before the model",
            remedy={"op": "exclude", "nodes": _readers(planned, name)},
        )
    ]


def _readers(planned: Planned, name: str) -> list[str]:
    keys: list[str] = []
    for unit in planned.readers.get(name, ()):
        keys.append(unit.key)
        if unit.moves:
            keys += [key for output in unit.outputs for key in _readers(planned, output)]
    return list(dict.fromkeys(keys))


def _collapsed(name: str, scores: NDArray[Any]) -> list[Pattern]:
    if scores.ndim != 2 or scores.shape[1] < 3 or len(np.unique(scores.argmax(axis=1))) > 1:
        return []
    return [
        Pattern(
            name="preprocessing",
            node=name,
            why=f"the float source gives all {len(scores)} samples the same class",
            fix="look at the preprocessing, and give labels: other usual steps are then tried",
        )
    ]


def _at_chance(name: str, score: float, scores: NDArray[Any]) -> list[Pattern]:
    classes = scores.shape[-1]
    if scores.ndim != 2 or classes < 3 or score > 1 / classes + min(1 / classes, NEAR_CHANCE):
        return []
    return [
        Pattern(
            name="preprocessing",
            node=name,
            why=f"the float source scores {score:.1%} at best, about what guessing among {classes} classes gives, "
            "and no usual preprocessing helps",
            fix="look at the preprocessing and at the order of the labels",
        )
    ]


def _colour_axis(array: NDArray[Any]) -> int | None:
    if array.ndim != 4:
        return None
    return next((axis for axis in (3, 1) if array.shape[axis] == 3), None)


def _list(values: Sequence[float]) -> str:
    return "[" + ",".join(f"{value:g}" for value in values) + "]"


def _channel_axes(array: NDArray[Any]) -> list[int]:
    """Return the axes that may be the channels: the second and the last, but of an image those with few entries.

    A column of pixels at the border may well be the same in all images.
    """
    axes = sorted({1, array.ndim - 1})
    few = [axis for axis in axes if array.shape[axis] <= FEW_CHANNELS]
    return few if array.ndim == 4 and few else axes

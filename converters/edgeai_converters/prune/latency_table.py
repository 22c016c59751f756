"""A table of layer timings in the target engine, and what it says of a network with other widths.

As NetAdapt's look-up tables (Yang et al. 2018, arXiv:1804.03230, section 3.3): each layer is timed alone at a grid of
channels in and out, so that stairs in the width are seen and not assumed. Two departures: layers are timed along fine
lines besides, and the sum is held against whole networks of a few widths, measured beside them: what is not in a layer
(residual sums, pooling, the call itself) and what a layer costs less inside a network is fitted to those.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.optimize

from edgeai_converters.prune.layer_artifacts import Layer, Precision, Signature
from edgeai_converters.prune.widths_axes import Axes, AxisWidth, Widths, elements
from edgeai_runtime.manifest import Format

Point = tuple[int, int]
"""Channels in and out."""

DENSITIES = ((8, 16), (8, 8), (4, 16), (4, 8), (4, 4))
"""Steps of a grid and of fine lines, the densest first: how many parts the whole width is cut into."""

_FITS = 12
_DRAWN = 0.2
_OUTLYING = 0.05
"""A network whose time is predicted wrong by more than this share counts less in the fit."""

_MOST_REACHABLE = 32
"""Most widths of an axis that several groups share that are timed one by one."""


@dataclass(frozen=True, kw_only=True)
class TimedLayer:
    """A layer and where it was timed.

    Attributes:
        layer: the layer.
        inputs, outputs: channels of the grid, ascending.
        fine_inputs: channels in that are timed with all channels out.
        fine_outputs: channels out that are timed with all channels in.
    """

    layer: Layer
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    fine_inputs: tuple[int, ...]
    fine_outputs: tuple[int, ...]

    @property
    def points(self) -> set[Point]:
        """All points at which it is timed."""
        if self.is_depthwise:
            multiplier = self.layer.signature.multiplier
            return {(width, width * multiplier) for width in self.fine_inputs}
        whole_in, whole_out = self.inputs[-1], self.outputs[-1]
        grid = {(a, b) for a in self.inputs for b in self.outputs}
        return grid | {(a, whole_out) for a in self.fine_inputs} | {(whole_in, b) for b in self.fine_outputs}

    @property
    def is_depthwise(self) -> bool:
        """Whether channels in and out are the same ones."""
        return self.layer.signature.groups == 0

    def time(self, times: Mapping[Point, float], inputs: int, outputs: int) -> float:
        """Return the time at any channels: bilinear in the grid, times what the fine lines say between its points.

        What an odd width costs more is paid once: the greater of the two surcharges counts.
        """
        if self.is_depthwise:
            return _along({a: times[a, b] for a, b in self.points}, inputs)
        by_inputs = self._between(times, {a: (a, self.outputs[-1]) for a in self.fine_inputs}, inputs)
        by_outputs = self._between(times, {b: (self.inputs[-1], b) for b in self.fine_outputs}, outputs)
        both = max(by_inputs, by_outputs) if min(by_inputs, by_outputs) > 1 else by_inputs * by_outputs
        return self._grid(times, inputs, outputs) * both

    def _between(self, times: Mapping[Point, float], line: Mapping[int, Point], place: int) -> float:
        """Return what a fine line says at a place, over what the grid says there."""
        return _along({at: times[point] / max(self._grid(times, *point), 1e-9) for at, point in line.items()}, place)

    def _grid(self, times: Mapping[Point, float], inputs: int, outputs: int) -> float:
        return _along({a: _along({b: times[a, b] for b in self.outputs}, outputs) for a in self.inputs}, inputs)


def grid_of(layer: Layer, *, grid: int, fine: int) -> TimedLayer:
    """Return where a layer is to be timed.

    Args:
        layer: the layer.
        grid: steps of the grid: its groups have the same share of their channels at each.
        fine: steps of the fine lines; an axis that several groups share is timed at every width they make together.
    """
    unit = max(1, layer.signature.groups)

    def even(axis: AxisWidth, steps: int) -> set[int]:
        return {axis.at_share(step / steps) for step in range(1, steps + 1)} | {axis.whole}

    def between(axis: AxisWidth) -> set[int]:
        made = axis.reachable(grid) if len(axis.terms) > 1 else set()
        return even(axis, grid) | (made if made and len(made) <= _MOST_REACHABLE else even(axis, fine))

    def rounded(widths: set[int]) -> tuple[int, ...]:
        return tuple(sorted({-(-width // unit) * unit for width in widths}))

    return TimedLayer(
        layer=layer,
        inputs=rounded(even(layer.inputs, grid)),
        outputs=rounded(even(layer.outputs, grid)),
        fine_inputs=rounded(between(layer.inputs)),
        fine_outputs=rounded(between(layer.outputs)),
    )


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A whole network that was measured beside the layers.

    Attributes:
        widths: its widths.
        ms: its latency.
    """

    widths: Mapping[str, int]
    ms: float


@dataclass(frozen=True, kw_only=True)
class LatencyTable:
    """What layers take in an engine, and what follows for whole networks.

    Attributes:
        format, precision, threads: what was timed.
        layers: the layers, in the order of the graph.
        times: signature → (channels in, channels out) → milliseconds, without the call of the engine.
        call_ms: a call of the engine with next to nothing to do.
        others: values that the other operations read and write, as axes, with how often.
        anchors: whole networks; the first is the whole one.
        scale: what a layer's own time counts inside a network.
        other_ms: per element of `others`, in milliseconds.
        fixed_ms: what does not depend on widths.
    """

    format: Format
    precision: Precision
    threads: int
    layers: tuple[TimedLayer, ...]
    times: Mapping[str, Mapping[Point, float]]
    call_ms: float
    others: tuple[tuple[Axes, int], ...]
    anchors: tuple[Anchor, ...]
    scale: float = 1.0
    other_ms: float = 0.0
    fixed_ms: float = 0.0

    def layer_ms(self, widths: Widths) -> dict[str, float]:
        """Return layer → its own time with these widths, for people to read."""
        return {timed.layer.name: self._layer(timed, widths) for timed in self.layers}

    def predict_ms(self, widths: Widths) -> float:
        """Return the latency of a network with these widths; groups that are not named are whole."""
        own = sum(self._layer(timed, widths) for timed in self.layers)
        return self.scale * own + self.other_ms * self.other_elements(widths) + self.fixed_ms

    def predict_ratio(self, widths: Widths) -> float:
        """Return the latency with these widths as a share of the whole network's."""
        return self.predict_ms(widths) / max(self.predict_ms({}), 1e-9)

    def other_elements(self, widths: Widths) -> int:
        """Return how many elements the other operations read and write."""
        return sum(count * elements(axes, widths) for axes, count in self.others)

    def error(self) -> float:
        """Return the largest error of `predict_ms` on the anchors, as a share of what was measured."""
        return max((abs(self.predict_ms(each.widths) / each.ms - 1) for each in self.anchors), default=0.0)

    def _layer(self, timed: TimedLayer, widths: Widths) -> float:
        layer = timed.layer
        text, inputs, outputs = layer.signature.text, layer.inputs.at(widths), layer.outputs.at(widths)
        key = (timed.layer.name, inputs, outputs)
        if key not in self._seen:
            self._seen[key] = timed.time(self.times[text], inputs, outputs)
        return self._seen[key]

    @cached_property
    def _seen(self) -> dict[tuple[str, int, int], float]:
        """Times of layers that were asked for: a search asks for the same ones again and again."""
        return {}

    def to_json(self) -> dict[str, Any]:
        """Return the table as plain data."""
        return {
            "format": self.format,
            "precision": self.precision,
            "threads": self.threads,
            "layers": [_layer_to_json(timed) for timed in self.layers],
            "times": {
                text: [[*point, ms] for point, ms in sorted(times.items())] for text, times in self.times.items()
            },
            "call_ms": self.call_ms,
            "others": [{"axes": [axis.to_json() for axis in axes], "count": count} for axes, count in self.others],
            "anchors": [{"widths": dict(anchor.widths), "ms": anchor.ms} for anchor in self.anchors],
            "scale": self.scale,
            "other_ms": self.other_ms,
            "fixed_ms": self.fixed_ms,
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> LatencyTable:
        """Return the table that `to_json` wrote."""
        return LatencyTable(
            **{
                **document,
                "layers": tuple(map(_layer_from_json, document["layers"])),
                "times": {
                    text: {(int(a), int(b)): float(ms) for a, b, ms in rows} for text, rows in document["times"].items()
                },
                "others": tuple(
                    (tuple(map(AxisWidth.from_json, each["axes"])), int(each["count"])) for each in document["others"]
                ),
                "anchors": tuple(Anchor(widths=each["widths"], ms=each["ms"]) for each in document["anchors"]),
            }
        )


def fit_network(table: LatencyTable) -> tuple[float, float, float]:
    """Return (scale, other_ms, fixed_ms) that bring `predict_ms` nearest to the anchors, as shares of each.

    Least squares with numbers that are not negative, `scale` drawn to 1 a little, so that few anchors
    do not swing it. Reweighted (Huber): a network that a busy machine held up counts little.
    """
    bare = replace(table, scale=1.0, other_ms=0.0, fixed_ms=0.0)
    own = np.asarray([bare.predict_ms(anchor.widths) for anchor in table.anchors])
    others = np.asarray([float(bare.other_elements(anchor.widths)) for anchor in table.anchors])
    measured = np.asarray([anchor.ms for anchor in table.anchors])
    unit = max(float(others.max(initial=0.0)), 1.0)
    parts = np.stack([own, others / unit, np.ones_like(own)], axis=1)
    draw = _DRAWN
    counts, found = np.ones_like(own), np.asarray([1.0, 0.0, 0.0])
    for _ in range(_FITS):
        left = np.concatenate([parts * (counts / measured)[:, None], [[draw, 0.0, 0.0]]])
        found, _ = scipy.optimize.nnls(left, np.append(counts, draw))
        off = np.abs(np.log(np.maximum(parts @ found, 1e-9) / measured))
        counts = np.sqrt(np.minimum(1.0, _OUTLYING / np.maximum(off, 1e-9)))
    return float(found[0]), float(found[1] / unit), float(found[2])


def _along(known: Mapping[int, float], place: int) -> float:
    """Return the value at a place between known ones, linearly; outside, that of the nearest."""
    at = sorted(known)
    if place <= at[0]:
        return known[at[0]]
    if place >= at[-1]:
        return known[at[-1]]
    right = bisect_left(at, place)
    low, high = at[right - 1], at[right]
    return known[low] + (known[high] - known[low]) * (place - low) / (high - low)


def _layer_to_json(timed: TimedLayer) -> dict[str, Any]:
    signature = timed.layer.signature
    return {
        "name": timed.layer.name,
        "signature": {**vars(signature), "attributes": [list(pair) for pair in signature.attributes]},
        "inputs": timed.layer.inputs.to_json(),
        "outputs": timed.layer.outputs.to_json(),
        "grid": [timed.inputs, timed.outputs, timed.fine_inputs, timed.fine_outputs],
    }


def _layer_from_json(document: Mapping[str, Any]) -> TimedLayer:
    note = document["signature"]
    attributes = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in note["attributes"])
    signature = Signature(
        **{**note, "shape": tuple(note["shape"]), "kernel": tuple(note["kernel"]), "attributes": attributes}
    )
    inputs, outputs, fine_inputs, fine_outputs = (tuple(map(int, each)) for each in document["grid"])
    layer = Layer(
        name=document["name"],
        signature=signature,
        inputs=AxisWidth.from_json(document["inputs"]),
        outputs=AxisWidth.from_json(document["outputs"]),
    )
    return TimedLayer(layer=layer, inputs=inputs, outputs=outputs, fine_inputs=fine_inputs, fine_outputs=fine_outputs)

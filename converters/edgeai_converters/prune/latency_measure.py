"""Measuring: the table of layer timings of a graph, and whole networks of given widths beside each other.

Nothing of it depends on what the weights are worth, so artifacts have random weights or invented ranges, and a table is
kept for a graph's shapes: fine-tuning does not age it.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.table import emit
from edgeai_converters.graph.edit import constant_of
from edgeai_converters.graph.shapes import fix_batch, static_shape
from edgeai_converters.progress import OnStep
from edgeai_converters.prune.groups import ChannelGroup, prunable
from edgeai_converters.prune.latency_table import (
    DENSITIES,
    Anchor,
    LatencyTable,
    Point,
    TimedLayer,
    fit_network,
    grid_of,
)
from edgeai_converters.prune.layer_artifacts import (
    Precision,
    Signature,
    find_layers,
    folded_nodes,
    in_precision,
    write_layer,
)
from edgeai_converters.prune.layer_timing import BUDGET_S, time_artifacts
from edgeai_converters.prune.slice import slice_channels
from edgeai_converters.prune.widths_axes import Axes, GraphAxes, Widths, candidate_widths, width_at
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of
from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.errors import UnsupportedOperationError, UsageError
from edgeai_runtime.manifest import Format

_FILE = "times.json"
_CALL = "call"
_CALL_SHARE = 0.95
"""Of a call of the engine, so much is taken off a layer's time: not all, for the least layer takes some time."""
_MOST_POINTS = 480
"""Most artifacts of layers; with more, the fine lines get coarser, then the grid."""

_ANCHOR_SHARES = (1.0, 0.75, 0.5, 0.25)
_TILED_SHARES = (0.5, 0.25)
_TILE = 16
"""Kernels that compute 16 channels at a time are at their best in networks whose widths are multiples of 16."""

_DRAWN_ANCHORS = 2
_FREE = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Constant", "Shape", "Cast")
"""Operations that cost nothing in any engine, or next to it."""


@dataclass(frozen=True, kw_only=True)
class _Target:
    """Where and how is timed."""

    format: Format
    precision: Precision
    threads: int
    seed: int
    budget_s: float

    def key(self) -> dict[str, Any]:
        """Return all that times depend on besides what is timed."""
        return {**asdict(self), "machine": describe_machine(), "tools": tool_versions()}


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What is timed."""

    layers: tuple[TimedLayer, ...]
    others: tuple[tuple[Axes, int], ...]
    anchors: tuple[dict[str, int], ...]


def measure_latency_table(
    model: ir.Model,
    groups: Sequence[ChannelGroup],
    *,
    format: Format,
    precision: Precision,
    threads: int,
    work: WorkFolder,
    on_step: OnStep | None = None,
    seed: int = 0,
    budget_s: float = BUDGET_S,
) -> LatencyTable:
    """Time the layers of a graph, and some whole networks, in the engine of a format on this machine.

    Kept in the work folder by the graph's shapes, the versions of the engines and the machine.

    Args:
        model: the float graph, simplified; not changed. Batch 1 is timed.
        groups: its groups (`find_groups`).
        format: the format, and so the engine.
        precision: `float32`, or `int8` in the engine's scheme.
        threads: most threads used.
        work: where finished steps are kept.
        on_step: progress.
        seed: of weights, inputs, drawn widths and the order of runs.
        budget_s: how long is measured; making and loading come on top.

    Raises:
        UsageError: the graph has free axes besides the batch, or none of its channels can be cut.
        UnsupportedOperationError: the format cannot hold the network.
        EngineError: the engine crashed.
    """
    tell = on_step or (lambda done, total, label: None)
    if not prunable(groups):
        raise UsageError("No channel of this model can be cut: there is nothing to time.")
    target = _Target(format=format, precision=precision, threads=threads, seed=seed, budget_s=budget_s)
    fixed = fix_batch(model, 1)
    asked = _what_to_time(fixed, groups, seed)

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="edgeai-layers-") as made:
            tell(0, 2, f"writing {len(asked.layers)} layers of different widths")
            layers = _write_layers(asked, target, Path(made))
            files = {f"{number}": path for number, path in enumerate(layers.values())}
            files |= _write_networks(fixed, groups, asked.anchors, target, Path(made))
            files[_CALL] = _write_call(target, Path(made))
            tell(1, 2, f"timing {len(files)} artifacts")
            found = time_artifacts(files, Path(made), threads=threads, seed=seed, budget_s=budget_s)
        times = {key: found[f"{number}"] for number, key in enumerate(layers)}
        (folder / _FILE).write_text(json.dumps(_table(asked, target, times, found).to_json()))

    grids = [[each.layer.signature.text, sorted(each.points)] for each in asked.layers]
    key = {"shapes": shapes_digest(fixed), "grids": digest_of(grids), "networks": asked.anchors, **target.key()}
    step = work.step("latency-table", key, make)
    return LatencyTable.from_json(json.loads((step / _FILE).read_text()))


def measure_networks(
    model: ir.Model,
    groups: Sequence[ChannelGroup],
    networks: Mapping[str, Widths],
    *,
    format: Format,
    precision: Precision,
    threads: int,
    work: WorkFolder,
    seed: int = 0,
    budget_s: float = 4.0,
) -> dict[str, float]:
    """Cut channels to given widths, whichever channels, and time the networks beside each other and the whole one.

    Args:
        model, groups, format, precision, threads, work, seed, budget_s: as `measure_latency_table`.
        networks: widths by name.

    Returns:
        Latency as a share of the whole network's, by name.

    Raises:
        UsageError: no such group, or a width that is not between 1 and its size.
        EngineError: the engine crashed.
    """
    target = _Target(format=format, precision=precision, threads=threads, seed=seed, budget_s=budget_s)
    fixed = fix_batch(model, 1)
    listed = {name: dict(widths) for name, widths in networks.items()}

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="edgeai-networks-") as made:
            files = _write_networks(fixed, groups, ({}, *listed.values()), target, Path(made))
            times = time_artifacts(files, Path(made), threads=threads, seed=seed, budget_s=budget_s)
        whole, *others = times.values()
        (folder / _FILE).write_text(json.dumps({name: ms / whole for name, ms in zip(listed, others, strict=True)}))

    step = work.step("network-times", {"shapes": shapes_digest(fixed), "networks": listed, **target.key()}, make)
    found: dict[str, float] = json.loads((step / _FILE).read_text())
    return found


def shapes_digest(model: ir.Model) -> str:
    """Return the digest of what a graph computes with, but for the values of its weights."""
    names = [value for node in model.graph for value in (*node.inputs, *node.outputs) if value is not None]
    constants = {str(value.name): array for value in names if (array := constant_of(value)) is not None}
    return digest_of(
        {
            "nodes": [
                [node.op_type, node.domain, [value and value.name for value in node.inputs], _plain_attributes(node)]
                for node in model.graph
            ],
            "shapes": {str(value.name): static_shape(value) for value in names},
            "integers": {name: array.tolist() for name, array in constants.items() if array.dtype.kind in "iub"},
        }
    )


def _plain_attributes(node: ir.Node) -> list[str]:
    return sorted(f"{name}={attribute.value}" for name, attribute in node.attributes.items())


def _what_to_time(model: ir.Model, groups: Sequence[ChannelGroup], seed: int) -> _Asked:
    axes = GraphAxes(model, groups)
    free = [value.name for node in model.graph for value in node.outputs if axes.of(value) is None]
    if free:
        raise UsageError(
            f"The shape of {free[0]!r} is not known: only static shapes can be timed.",
            hint="Say the sizes of the inputs (--input-shape).",
        )
    layers = find_layers(model, axes)
    folded = {other for node in layers for other in folded_nodes(node)}
    others = [node for node in model.graph if node not in layers and node not in folded and node.op_type not in _FREE]
    for grid, fine in DENSITIES:
        timed = tuple(grid_of(layer, grid=grid, fine=fine) for layer in layers.values())
        points = {(each.layer.signature.text, *point) for each in timed for point in each.points}
        if len(points) <= _MOST_POINTS:
            break
    return _Asked(
        layers=timed,
        others=_count_values(others, axes),
        anchors=_anchor_widths(prunable(groups), seed),
    )


def _count_values(nodes: Sequence[ir.Node], axes: GraphAxes) -> tuple[tuple[Axes, int], ...]:
    found: Counter[Axes] = Counter()
    for node in nodes:
        for value in (*node.inputs, *node.outputs):
            shape = axes.of(value)
            if value is not None and value.const_value is None and shape is not None:
                found[shape] += 1
    return tuple(found.items())


def _anchor_widths(groups: Sequence[ChannelGroup], seed: int) -> tuple[dict[str, int], ...]:
    """Return the widths of whole networks: the same share everywhere, in multiples of a tile, and some drawn ones."""
    random = np.random.default_rng(seed)
    even = [{group.id: width_at(group.size, share) for group in groups} for share in _ANCHOR_SHARES]
    tiled = [
        {group.id: min(group.size, max(1, round(group.size * share / _TILE)) * _TILE) for group in groups}
        for share in _TILED_SHARES
    ]
    drawn = [
        {group.id: int(random.choice(candidate_widths(group.size))) for group in groups} for _ in range(_DRAWN_ANCHORS)
    ]
    every = {tuple(widths.values()): widths for widths in (*even, *tiled, *drawn)}
    return tuple(every.values())


def _write_layers(asked: _Asked, target: _Target, folder: Path) -> dict[tuple[str, Point], Path]:
    """Write every point of every signature once; a signature that the format cannot hold is left out."""
    signatures: dict[str, tuple[Signature, set[Point]]] = {}
    for timed in asked.layers:
        signature = timed.layer.signature
        signatures.setdefault(signature.text, (signature, set()))[1].update(timed.points)
    found: dict[tuple[str, Point], Path] = {}
    for number, (text, (signature, points)) in enumerate(signatures.items()):
        try:
            for point in sorted(points):
                stem = f"layer{number}-{point[0]}-{point[1]}"
                found[text, point] = _write_layer(signature, point, target, folder, stem)
        except UnsupportedOperationError:
            found = {key: path for key, path in found.items() if key[0] != text}
    return found


def _write_layer(signature: Signature, point: Point, target: _Target, folder: Path, stem: str) -> Path:
    format, precision = target.format, target.precision
    return write_layer(
        signature, *point, format=format, precision=precision, folder=folder, stem=stem, seed=target.seed
    ).path


def _write_call(target: _Target, folder: Path) -> Path:
    """Write an artifact with next to nothing to compute."""
    return _write_layer(Signature(op="Gemm", shape=(1, 0)), (1, 1), replace(target, precision="float32"), folder, _CALL)


def _write_networks(
    model: ir.Model, groups: Sequence[ChannelGroup], networks: Sequence[Widths], target: _Target, folder: Path
) -> dict[str, Path]:
    """Write whole networks of given widths; return `network0`, `network1` … → file."""
    sizes = {group.id: group.size for group in prunable(groups)}
    found = {}
    for number, widths in enumerate(networks):
        wrong = [group for group, width in widths.items() if not 0 < width <= sizes.get(group, 0)]
        if wrong:
            raise UsageError(f"Group {wrong[0]!r} cannot be {widths[wrong[0]]} wide.")
        cut = {group: range(width, sizes[group]) for group, width in widths.items()}
        smaller = in_precision(slice_channels(model, cut, groups=groups)[0], target.format, target.precision)
        name = f"network{number}"
        found[name] = emit(smaller, target.format, folder, stem=name).path
    return found


def _table(
    asked: _Asked, target: _Target, layers: Mapping[tuple[str, Point], float], found: Mapping[str, float]
) -> LatencyTable:
    call = min(found[_CALL], *layers.values())
    times: dict[str, dict[Point, float]] = {}
    for (text, point), ms in layers.items():
        times.setdefault(text, {})[point] = ms - _CALL_SHARE * call
    table = LatencyTable(
        format=target.format,
        precision=target.precision,
        threads=target.threads,
        layers=tuple(each for each in asked.layers if each.layer.signature.text in times),
        times=times,
        call_ms=call,
        others=asked.others,
        anchors=tuple(Anchor(widths=widths, ms=found[f"network{i}"]) for i, widths in enumerate(asked.anchors)),
    )
    scale, other, fixed = fit_network(table)
    return replace(table, scale=scale, other_ms=other, fixed_ms=fixed)

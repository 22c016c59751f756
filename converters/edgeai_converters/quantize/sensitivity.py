"""How much error each quantized operation makes: alone, and with everything before it quantized.

For every unit of a plan its result is computed from float inputs that were rounded on the way in, with its stored
weights, and rounded on the way out; the difference to the float result is added to the float graph at that place, and
what arrives at the outputs is the error that the unit causes *alone*. All differences come from one pass of one
session, and a few more sessions (`STAGES`: the later the unit, the less of the graph is run) take them in one at a
time: no session is built per unit. The error that *reaches* a unit is read from the fully quantized graph.

This is a simulation: a guide for a search and for people, never a result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.progress import OnStep
from edgeai_converters.quantize.affine import LIMITS, dequantize_array, quantize_array
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.output_parts import OutputPart, output_parts
from edgeai_converters.quantize.plan import QuantizationPlan, TensorQuantization
from edgeai_converters.quantize.plan_units import PlannedUnit, planned_units
from edgeai_converters.quantize.sensitivity_graphs import (
    change_name,
    cut_at_stored_values,
    fed_name,
    raw_names,
    with_changes,
)

PIECE_BYTES = 128 * 2**20
"""Bytes of inner values held at a time, where the graph's batch can be cut."""

MOST_UNITS = 96
"""Units whose error is followed to the outputs; of a larger graph those with the largest error in place."""

STAGES = 4
"""Sessions that take differences in, each over less of the graph than the one before."""

_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The error of one unit. Errors are root mean squares, relative to that of the float values.

    Attributes:
        node: key of the unit's operator.
        op_type: its type.
        output: name of the value it hands out.
        alone: error of the graph's outputs when only this unit is quantized, averaged over the outputs and over the
            parts of a concatenated output; `None` if it was not followed there, because its error in place is among
            the smallest of a large graph.
        reaching: error of its result when everything is quantized.
        in_place: error of its result when only this unit is quantized.
        input_rounding: error of the values it reads, by rounding alone; of the worst of them.
        weight_rounding: error of its weights by rounding; 0 without weights.
        output_rounding: error of its result by rounding; 0 where it hands out floats.
    """

    node: str
    op_type: str
    output: str
    alone: float | None
    reaching: float
    in_place: float
    input_rounding: float
    weight_rounding: float
    output_rounding: float


def measure_sensitivity(
    model: ir.Model,
    plan: QuantizationPlan,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    *,
    threads: int = 1,
    most_units: int = MOST_UNITS,
    on_step: OnStep | None = None,
) -> tuple[Sensitivity, ...]:
    """Return the error of every unit of the plan, the one that harms the outputs most first.

    Units that only move values are left out: they round nothing anew.

    Args:
        model: the float graph.
        plan: what is stored in integers.
        batches: input arrays by name; read once, one piece held at a time. 16 to 32 samples suffice.
        threads: threads inside an operation.
        most_units: units followed to the outputs.
        on_step: called after each unit of each piece; the total grows with the pieces seen.
    """
    units = [unit for unit in planned_units(model, plan) if not unit.moves and unit.outputs]
    if not units:
        return ()
    bench = _Bench(model, plan, units, threads)
    followed: list[PlannedUnit] | None = None
    done = 0
    for piece in _pieces(model, batches, bench.captured):
        changes = bench.differences(piece)
        if followed is None:
            ranked = sorted(units, key=lambda unit: bench.error("in_place", unit.key), reverse=True)
            followed = ranked[:most_units]
        for unit in followed:
            bench.follow(piece, unit, changes[unit.key])
            done += 1
            if on_step is not None:
                on_step(done, done + len(followed), f"sensitivity of {unit.key}")
    chosen = {unit.key for unit in followed or ()}
    found = [bench.result(unit, followed=unit.key in chosen) for unit in units]
    return tuple(sorted(found, key=lambda one: (-(one.alone or 0.0), -one.in_place)))


class _Bench:
    """The sessions of one measurement, and the squared errors summed up so far."""

    def __init__(self, model: ir.Model, plan: QuantizationPlan, units: Sequence[PlannedUnit], threads: int) -> None:
        self._plan = plan
        self._units = units
        results = [name for unit in units for name in unit.outputs]
        self._parts: tuple[OutputPart, ...] = output_parts(model)
        self._stages, read = _make_stages(model, units, threads)
        inputs = {str(value.name) for value in model.graph.inputs}
        outputs = [part.output for part in self._parts]
        names = [name for name in dict.fromkeys([*plan.activations, *results, *read, *outputs]) if name not in inputs]
        self.captured = _values(model, names)
        self._float = GraphRunner(model, outputs=names, threads=threads)
        quantized, _ = insert_qdq(model, plan)
        raw = raw_names(quantized, plan)
        self._raw = {name: raw.get(name, name) for name in results}
        self._whole = GraphRunner(quantized, outputs=list(self._raw.values()), threads=threads)
        self._apart = GraphRunner(cut_at_stored_values(quantized, plan, list(self._raw.values())), threads=threads)
        self._outputs = [str(value.name) for value in model.graph.outputs]
        self._sums: dict[tuple[str, str], tuple[float, float]] = {}
        self._weights = {unit.key: _weight_rounding(model, plan, unit) for unit in units}
        self._values: dict[str, NDArray[Any]] = {}

    def differences(self, piece: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, NDArray[Any]]]:
        """Return, per unit, what quantizing it alone changes in its results; count the errors in place."""
        values = {**piece, **self._float.run(piece)}
        self._values = values
        for name, quantization in self._plan.activations.items():
            rounded = _round(values[name], quantization)
            self._add("rounding", name, rounded, values[name])
        whole = self._whole.run(piece)
        apart = self._apart.run({**piece, **{fed_name(name): values[name] for name in self._plan.activations}})
        changes: dict[str, dict[str, NDArray[Any]]] = {}
        for unit in self._units:
            changes[unit.key] = {}
            for name in unit.outputs:
                stored = self._plan.activations.get(name)
                alone, arrived = apart[self._raw[name]], whole[self._raw[name]]
                if stored is not None:
                    alone, arrived = _round(alone, stored), _round(arrived, stored)
                self._add("in_place", unit.key, alone, values[name])
                self._add("reaching", unit.key, arrived, values[name])
                with np.errstate(invalid="ignore"):  # a mask of -inf stays what it is
                    changes[unit.key][name] = np.where(np.isinf(values[name]), 0, alone - values[name])
        return changes

    def follow(self, piece: Mapping[str, NDArray[Any]], unit: PlannedUnit, changes: Mapping[str, Any]) -> None:
        """Add a unit's differences to the float graph and count what arrives at the outputs."""
        stage = self._stages[unit.key]
        zero = np.zeros((), np.float32)
        feed = {change_name(name): changes.get(name, zero) for name in stage.changes}
        feed |= {fed_name(name): self._values[name] for name in stage.read}
        found = dict(zip(self._outputs, stage.runner.run({**piece, **feed}).values(), strict=True))
        for i, part in enumerate(self._parts):
            self._add(f"output {i}", unit.key, part.cut(found[part.output]), part.cut(self._values[part.output]))

    def error(self, kind: str, key: str) -> float:
        """Return the relative error counted so far."""
        distance, power = self._sums.get((kind, key), (0.0, 0.0))
        return sqrt(distance / max(power, _TINY))

    def result(self, unit: PlannedUnit, *, followed: bool) -> Sensitivity:
        shares = [self.error(f"output {i}", unit.key) ** 2 for i in range(len(self._parts))]
        return Sensitivity(
            node=unit.key,
            op_type=unit.op_type,
            output=unit.outputs[0],
            alone=sqrt(sum(shares) / max(len(shares), 1)) if followed else None,
            reaching=self.error("reaching", unit.key),
            in_place=self.error("in_place", unit.key),
            input_rounding=max((self.error("rounding", name) for name in unit.reads), default=0.0),
            weight_rounding=self._weights[unit.key],
            output_rounding=max((self.error("rounding", name) for name in unit.outputs), default=0.0),
        )

    def _add(self, kind: str, key: str, found: NDArray[Any], wanted: NDArray[Any]) -> None:
        distance, power = self._sums.get((kind, key), (0.0, 0.0))
        with np.errstate(over="ignore", invalid="ignore"):
            gap, flat = (found - wanted).ravel(), wanted.ravel()
            more, whole = float(np.dot(gap, gap)), float(np.dot(flat, flat))
        if not np.isfinite(more + whole):  # masks: the square of the least float32 is no float32, that of -inf nothing
            gap, flat = (np.where(np.isfinite(one), one, 0).astype(np.float64) for one in (gap, flat))
            more, whole = float(np.dot(gap, gap)), float(np.dot(flat, flat))
        self._sums[kind, key] = (distance + more, power + whole)


@dataclass(frozen=True, kw_only=True)
class _Stage:
    """The end of the float graph that takes in differences of some units, and what it is fed."""

    runner: GraphRunner
    changes: tuple[str, ...]
    read: tuple[str, ...]


def _make_stages(
    model: ir.Model, units: Sequence[PlannedUnit], threads: int
) -> tuple[dict[str, _Stage], tuple[str, ...]]:
    """Return the stage of each unit, by key, and the names of all values that stages are fed."""
    position = {node: i for i, node in enumerate(model.graph)}
    each = max(1, -(-len(units) // STAGES))
    stages: dict[str, _Stage] = {}
    for start in range(0, len(units), each):
        members = units[start : start + each]
        changes = tuple(name for unit in members for name in unit.outputs)
        ending, read = with_changes(model, changes, first=position[members[0].nodes[0]])
        stage = _Stage(runner=GraphRunner(ending, threads=threads), changes=changes, read=read)
        stages |= dict.fromkeys((unit.key for unit in members), stage)
    return stages, tuple(dict.fromkeys(name for stage in stages.values() for name in stage.read))


def _pieces(
    model: ir.Model, batches: Iterable[Mapping[str, NDArray[Any]]], captured: Sequence[ir.Value]
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Yield the batches, cut to `PIECE_BYTES` of inner values where the batch is a free dimension of every input."""
    sizes = {value.shape[0] if value.shape else 0 for value in model.graph.inputs}
    fixed = [size for size in sizes if isinstance(size, int)]
    each = sum(_bytes_of(value) for value in captured)
    most = 1 if fixed == [1] else max(1, PIECE_BYTES // max(each, 1))
    for batch in batches:
        counts = {array.shape[0] if array.ndim else 0 for array in batch.values()}
        if (fixed and fixed != [1]) or len(counts) != 1 or (n := counts.pop()) <= most:
            yield batch
            continue
        for start in range(0, n, most):
            yield {name: array[start : start + most] for name, array in batch.items()}


def _values(model: ir.Model, names: Iterable[str]) -> list[ir.Value]:
    known = ir.convenience.create_value_mapping(model.graph)
    return [known[name] for name in names]


def _bytes_of(value: ir.Value) -> int:
    """Return the bytes of one sample; free dimensions count as 1."""
    return 4 * prod(size for size in value.shape.dims if isinstance(size, int)) if value.shape else 2**20


def _round(values: NDArray[Any], quantization: TensorQuantization) -> NDArray[Any]:
    """Return the real values after storing them, float32."""
    if quantization.axis is not None:
        return dequantize_array(quantize_array(values, quantization), quantization).astype(np.float32)
    low, high = LIMITS[quantization.dtype]
    scale, zero_point = np.float32(quantization.scale[0]), quantization.zero_point[0]
    stored = values / scale
    np.rint(stored, out=stored)
    np.clip(stored, low - zero_point, high - zero_point, out=stored)
    stored *= scale
    return np.asarray(stored)


def _weight_rounding(model: ir.Model, plan: QuantizationPlan, unit: PlannedUnit) -> float:
    quantization = plan.weights.get(unit.weight or "")
    if unit.weight is None or quantization is None:
        return 0.0
    constant = model.graph.initializers[unit.weight].const_value
    assert constant is not None
    real = constant.numpy().astype(np.float64)
    gap = dequantize_array(quantize_array(real, quantization), quantization) - real
    return sqrt(float(np.square(gap).sum()) / max(float(np.square(real).sum()), _TINY))

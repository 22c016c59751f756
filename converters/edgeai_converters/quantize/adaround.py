"""A repair: round each weight up or down so that the layer's output stays, not the weight itself.

AdaRound of Nagel et al. 2020 (arXiv:2004.10568): layer by layer, the choice between the two neighbours of each weight
is relaxed to a rectified sigmoid (equations 22, 23), pushed to 0 or 1 by a regularizer (equation 24), and found by
minimising the error of the layer's output behind its activation, with the inputs that the layers already rounded hand
it (equation 25). Where we depart: a layer is a matrix product over rows (one row per place of a map), so a step costs
one small product whatever the size of the maps; a choice that does not beat rounding to nearest on rows it was not
found on is dropped; so is the whole, if the graph's outputs do not gain. Activations are not quantized meanwhile.
Transposed convolutions and weights that several nodes share are rounded to nearest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.progress import OnStep
from edgeai_converters.quantize.adaround_layer import Layer, choose_rounding
from edgeai_converters.quantize.affine import dequantize_array, quantize_array
from edgeai_converters.quantize.layer_rows import RowReader, row_reader
from edgeai_converters.quantize.plan import QuantizationPlan, TensorQuantization
from edgeai_converters.quantize.units import node_keys
from edgeai_converters.train.torch_threads import torch_threads

SAMPLES = 128
"""Samples that are kept; further ones are not read."""

SAMPLE_BYTES = 64 * 2**20
"""Bytes of samples that are kept."""

ROW_BYTES = 96 * 2**20
"""Bytes of rows of one layer that are kept."""

ROWS = 4096
"""Rows of one layer that are kept at most."""

_PIECE = 8  # samples run at a time: what bounds the memory of inner values


def round_weights(
    model: ir.Model,
    plan: QuantizationPlan,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    *,
    iterations: int = 500,
    seed: int = 0,
    threads: int = 1,
    on_step: OnStep | None = None,
) -> tuple[ir.Model, bool]:
    """Return a copy of the float graph whose weights lie on the plan's grid, chosen for the layers' outputs.

    `insert_qdq` with the same plan stores exactly these weights. Deterministic under a seed. Needs PyTorch. Held at a
    time: at most `SAMPLES` samples (`SAMPLE_BYTES`), `ROW_BYTES` of one layer's rows, the inner values of 8 samples.

    Args:
        model: the float graph; not changed.
        plan: what will be stored how.
        batches: calibration samples by input name, `[n, …]`; read until enough are kept.
        iterations: steps of the optimizer per layer.
        seed: of everything that draws.
        threads: that PyTorch uses meanwhile; the products are small, and more threads rarely help.
        on_step: called before each layer.

    Returns:
        The graph, and whether it differs from rounding to nearest; if not, the graph given.
    """
    samples = _keep(batches)
    rounded, nearest = model.clone(), model.clone()
    layers = list(_planned_layers(rounded, plan))
    changed = False
    for done, (node, key, stored) in enumerate(layers):
        if on_step is not None:
            on_step(done, len(layers), f"rounding {key}")
        reader = row_reader(node)
        weight = _constant(node, 1)
        plain = _on_grid(weight, stored)
        found = None
        if samples and reader is not None and len(_value(node, 1).uses()) == 1:
            random = np.random.default_rng([seed, done])
            layer = _read_layer(model, rounded, node, reader, stored, samples, random)
            with torch_threads(threads):
                found = choose_rounding(layer, iterations=iterations, seed=seed + done)
        better = plain if found is None else reader.weight_of(found, weight.shape) if reader is not None else plain
        _set(rounded, node, better)
        _set(nearest, node, plain)
        changed |= found is not None
    if not changed or _output_error(model, rounded, samples) > _output_error(model, nearest, samples):
        return model, False
    return rounded, True


def _planned_layers(model: ir.Model, plan: QuantizationPlan) -> Iterator[tuple[ir.Node, str, TensorQuantization]]:
    """Yield the nodes whose weights the plan stores in 8 bits or less, in the graph's order."""
    for node, key in node_keys(model).items():
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or key in plan.float_nodes:
            continue
        weight = node.inputs[1]
        stored = plan.weights.get(str(weight.name)) if weight is not None and weight.const_value is not None else None
        if stored is not None and stored.dtype != "int32":
            yield node, key, stored


def _read_layer(
    model: ir.Model,
    rounded: ir.Model,
    node: ir.Node,
    reader: RowReader,
    stored: TensorQuantization,
    samples: Mapping[str, NDArray[Any]],
    random: np.random.Generator,
) -> Layer:
    """Read the layer's inputs, as the float graph and as the rounded one hands them over, at the same drawn places."""
    weight = _constant(node, 1)
    scale = np.broadcast_to(_scale(stored, weight.ndim), weight.shape)
    matrix = reader.matrix_of(weight)
    source = str(_value(node, 0).name)
    n = len(next(iter(samples.values())))
    wanted = int(min(ROWS, max(256, ROW_BYTES // (2 * 4 * matrix.shape[0] * matrix.shape[2]))))
    runners = [GraphRunner(one, outputs=[source]) for one in (model, rounded)]
    rows: list[list[NDArray[np.float32]]] = [[], []]
    for start in range(0, n, _PIECE):
        part = {name: array[start : start + _PIECE] for name, array in samples.items()}
        first = len(next(iter(part.values())))
        places = random.random(-(-wanted * first // n))
        for found, runner in zip(rows, runners, strict=True):
            found.append(reader.rows(runner.run(part)[source], places))
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    low, high = _clamp(node)
    return Layer(
        wanted=np.concatenate(rows[0]),
        given=np.concatenate(rows[1]),
        weight=matrix,
        scale=reader.matrix_of(scale),
        bias=None if bias is None or bias.const_value is None else bias.const_value.numpy(),
        limit=max(1, int(np.rint(np.abs(weight / scale).max(initial=0.0)))),
        low=low,
        high=high,
    )


def _keep(batches: Iterable[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    kept: list[Mapping[str, NDArray[Any]]] = []
    count = size = 0
    for batch in batches:
        n = len(next(iter(batch.values())))
        each = max(1, sum(array.nbytes for array in batch.values()) // n)
        take = min(n, SAMPLES - count, max(0, SAMPLE_BYTES - size) // each if kept else n)
        if take <= 0:
            break
        kept.append({name: np.array(array[:take]) for name, array in batch.items()})
        count, size = count + take, size + take * each
    return {name: np.concatenate([batch[name] for batch in kept]) for name in kept[0]} if kept else {}


def _output_error(reference: ir.Model, model: ir.Model, samples: Mapping[str, NDArray[Any]]) -> float:
    """Return the squared error of the outputs, each as a share of its own square."""
    n = len(next(iter(samples.values())))
    runners = GraphRunner(reference), GraphRunner(model)
    error: dict[str, float] = {}
    power: dict[str, float] = {}
    for start in range(0, n, _PIECE):
        part = {name: array[start : start + _PIECE] for name, array in samples.items()}
        wanted, found = (runner.run(part) for runner in runners)
        for name, array in wanted.items():
            if array.dtype.kind == "f":
                error[name] = error.get(name, 0.0) + float(np.square(found[name] - array, dtype=np.float64).sum())
                power[name] = power.get(name, 0.0) + float(np.square(array, dtype=np.float64).sum())
    return sum(total / (power[name] or 1.0) for name, total in error.items())


def _clamp(node: ir.Node) -> tuple[float | None, float | None]:
    """Return the bounds of the Relu or Clip that alone reads the layer, else `None` twice."""
    uses = node.outputs[0].uses()
    reader = next(iter(uses)).node if len(uses) == 1 and not node.outputs[0].is_graph_output() else None
    if reader is not None and reader.op_type == "Relu":
        return 0.0, None
    if reader is None or reader.op_type != "Clip":
        return None, None
    bounds: Sequence[ir.Value | None] = (*reader.inputs[1:3], None, None)
    if any(bound is not None and bound.const_value is None for bound in bounds):
        return None, None
    low, high = (
        None if one is None or one.const_value is None else float(one.const_value.numpy()) for one in bounds[:2]
    )
    return low, high


def _scale(stored: TensorQuantization, rank: int) -> NDArray[np.float64]:
    shape = () if stored.axis is None else tuple(-1 if i == stored.axis else 1 for i in range(rank))
    return np.asarray(stored.scale, np.float64).reshape(shape)


def _on_grid(weight: NDArray[Any], stored: TensorQuantization) -> NDArray[np.float32]:
    return dequantize_array(quantize_array(weight, stored), stored).astype(np.float32)


def _value(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None
    return value


def _constant(node: ir.Node, index: int) -> NDArray[Any]:
    tensor = _value(node, index).const_value
    assert tensor is not None
    return tensor.numpy()


def _set(model: ir.Model, node: ir.Node, weight: NDArray[np.float32]) -> None:
    name = str(_value(node, 1).name)
    model.graph.initializers[name].const_value = ir.tensor(np.ascontiguousarray(weight), name=name)

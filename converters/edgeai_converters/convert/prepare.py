"""A source as the simplified graph in the shapes and layout asked for, with answers to hold artifacts against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.calibrate.dataset import open_dataset
from edgeai_converters.convert.dequantized import carry_hint, to_float
from edgeai_converters.convert.gates import SIMPLIFY_TOLERANCE
from edgeai_converters.convert.kept_import import import_kept
from edgeai_converters.graph.boundary import input_specs
from edgeai_converters.graph.boundary_layout import LayoutChange, change_layout, note_layouts
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import require_parity
from edgeai_converters.graph.shapes import batch_shapes, fix_batch
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.spec import ConvertSpec
from edgeai_converters.workfolder import WorkFolder

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays = dict[str, "NDArray[Any]"]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A source that is ready to be written.

    Attributes:
        model: the simplified float graph, its boundary as asked for.
        inputs: probe inputs in that layout, by name, `[n, …]`.
        reference: the source's answers to them, in that layout.
        change: what was done for the layout.
        route: the steps to the graph.
        passes: the passes that simplified it.
        notes: what a user should know.
        dequantized: whether the source was quantized.
    """

    model: ir.Model
    inputs: Arrays
    reference: Arrays
    change: LayoutChange
    route: tuple[str, ...]
    passes: tuple[str, ...]
    notes: tuple[str, ...]
    dequantized: bool = False


def prepare_source(
    spec: ConvertSpec, source: Path | object, *, way: str | None, workdir: Path, work: WorkFolder | None = None
) -> Prepared:
    """Bring the source to the simplified graph by one way, with the answers of its own engine.

    Args:
        spec: what is asked for.
        source: its file, or a live model in place of it.
        way: name of the way to the graph; `None` for all in turn.
        workdir: an existing folder.
        work: where imports are kept for the next format; `None` keeps none.

    Raises:
        ModelError: the source cannot be read.
        ParityError: the graph, or the simplified graph, does not compute what the source computes.
        UsageError: shapes that do not fit.
    """
    shapes = {name: tuple(shape) for name, shape in spec.input_shapes.items()}
    imported = import_kept(source, work, workdir=workdir, input_shapes=shapes, seed=spec.seed, way=way)
    inner = {} if spec.batch is None else _inner_batch(imported.model, spec.batch)
    if inner:  # the first axis counts no samples: the source itself is tried with the batch
        shapes |= {name: _merged(shapes.get(name), shape) for name, shape in inner.items()}
        imported = import_kept(source, work, workdir=workdir, input_shapes=shapes, seed=spec.seed, way=way)
    before = imported.model
    imported, dequantized = to_float(imported)
    hint = carry_hint(source, before, spec.format) if dequantized else ""
    graph = imported.model if spec.batch is None else fix_batch(imported.model, spec.batch)
    inputs, reference = imported.probe_inputs, imported.probe_outputs
    if spec.batch is not None and not inner:
        inputs, reference = _in_batches(inputs, spec.batch), _in_batches(reference, spec.batch)
    model, passes = simplify(graph)
    exact = GraphRunner(graph).run(inputs)
    require_parity(
        exact,
        GraphRunner(model).run(inputs),
        what="graph → simplify",
        max_rel=SIMPLIFY_TOLERANCE.max_rel,
        min_cosine=SIMPLIFY_TOLERANCE.min_cosine,
    )
    if dequantized:  # the graph computes what the source cannot repeat
        reference = {name: exact[name] for name in reference}
    inputs, reference = _with_samples(spec, model, inputs, reference)
    note_layouts(model)
    change = LayoutChange(inputs={}, outputs={})
    if spec.layout is not None:
        model, change = change_layout(model, spec.layout)
        model, more = simplify(model)
        passes = list(dict.fromkeys([*passes, *more]))
    return Prepared(
        model=model,
        inputs=change.apply(inputs),
        reference=change.apply(reference, outputs=True),
        change=change,
        route=imported.route,
        passes=tuple(passes),
        notes=(*imported.notes, *([hint] if hint else []), *change.notes),
        dequantized=dequantized,
    )


def _inner_batch(model: ir.Model, batch: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes that fix the batch where it is not the first axis of all inputs; none where it is."""
    shapes = batch_shapes(model, batch)
    return shapes if any(batch in shape[1:] for shape in shapes.values()) else {}


def _merged(given: tuple[int, ...] | None, batch: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape a user gave, with the batch where he left it free."""
    return tuple(old if old > 0 else new for old, new in zip(given or (-1,) * len(batch), batch, strict=True))


def _in_batches(arrays: Mapping[str, NDArray[Any]], size: int) -> Arrays:
    """Repeat or cut samples to a multiple of the batch size."""
    n = max((array.shape[0] for array in arrays.values() if array.ndim), default=1)
    index = np.arange(max(size, n - n % size)) % n
    return {name: array[index] if array.ndim and array.shape[0] == n else array for name, array in arrays.items()}


def _with_samples(
    spec: ConvertSpec, model: ir.Model, inputs: Mapping[str, NDArray[Any]], reference: Mapping[str, NDArray[Any]]
) -> tuple[Arrays, Arrays]:
    """Add the user's samples to the probes; their reference is the graph, which the source's engine has confirmed."""
    if spec.samples is None:
        return dict(inputs), dict(reference)
    dataset = open_dataset(spec.samples, inputs=input_specs(model))
    count = min(len(dataset), 8)
    if spec.batch is not None:
        count -= count % spec.batch
    if count == 0:
        return dict(inputs), dict(reference)
    samples = next(iter(dataset.batches(np.arange(count), count)))
    outputs = GraphRunner(model).run(samples)
    return (
        {name: np.concatenate([array, samples[name]]) for name, array in inputs.items()},
        {name: np.concatenate([array, outputs[name]]) for name, array in reference.items()},
    )

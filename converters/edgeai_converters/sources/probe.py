"""The inputs a source is tried on, and their way to a child process and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_converters.graph.boundary import check_inputs, draw_inputs
from edgeai_converters.sources.symbolic_sizes import FREE_SIZE, Dim, choose_sizes
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLES = 8
DRAWN_BESIDE_SAMPLES = 4
BATCH_OF_ONE_CALL = 2

Arrays = dict[str, "NDArray[Any]"]


def probe_inputs(
    specs: Sequence[TensorSpec],
    *,
    samples: Mapping[str, NDArray[Any]] | None,
    input_shapes: Mapping[str, Sequence[int]],
    seed: int,
) -> Arrays:
    """Return the inputs to try a source on, `[n, …]` by input name: up to 8 samples and some drawn, or 8 drawn.

    Where the first dimensions are fixed to different sizes they do not count samples (time steps, layers of a cache):
    then the inputs of one call are drawn.

    Args:
        specs: the inputs of the source.
        samples: arrays `[n, …]` that are ready for the model, by input name.
        input_shapes: fixed shapes by input name; only what is free in `specs` is taken from them.
        seed: seed of the draw.

    Raises:
        DataError: samples that do not fit the inputs.
        UsageError: a shape for an input that is not there, or of another rank.
    """
    specs = [_with_shape(spec, input_shapes) for spec in specs]
    for name in input_shapes:
        if name not in {spec.name for spec in specs}:
            names = ", ".join(spec.name for spec in specs)
            raise UsageError(f"The model has no input named {name!r}.", hint=f"Its inputs: {names}.")
    if not _per_sample(specs):
        return _one_call(specs, samples=samples, seed=seed)
    if samples is None:
        drawn = draw_inputs(specs, n=SAMPLES, seed=seed)
        return _whole_batches(specs, drawn)
    check_inputs(specs, samples, where="samples")
    arrays = {spec.name: np.asarray(samples[spec.name])[:SAMPLES] for spec in specs}
    beside = [replace(spec, shape=(None, *arrays[spec.name].shape[1:])) if spec.shape else spec for spec in specs]
    drawn = draw_inputs(beside, n=DRAWN_BESIDE_SAMPLES, seed=seed)
    joined = {n: np.concatenate([array, drawn[n]]) if array.ndim else array for n, array in arrays.items()}
    return _whole_batches(specs, joined)


def probe_linked_inputs(
    specs: Sequence[TensorSpec],
    *,
    dims: Mapping[str, Sequence[Dim]],
    limits: Mapping[str, tuple[int, int]],
    samples: Mapping[str, NDArray[Any]] | None,
    input_shapes: Mapping[str, Sequence[int]],
    seed: int,
) -> tuple[Arrays, bool]:
    """Return inputs as `probe_inputs` does, for a source that tells which of its free dimensions hang together.

    Args:
        specs: the inputs of the source.
        dims: their dimensions by input name; equal names are equal sizes.
        limits: least and largest size by name.
        samples: arrays that are ready for the model, by input name.
        input_shapes: fixed shapes by input name.
        seed: seed of the draw.

    Returns:
        The inputs, and whether their first dimension counts samples. Where it does not for all inputs (states of a
        recurrent layer), they are one call's inputs, with a batch of 2.
    """
    unknown = [name for name in input_shapes if name not in dims]
    if unknown:
        raise UsageError(f"The model has no input named {unknown[0]!r}.", hint=f"Its inputs: {', '.join(dims)}.")
    given = {**{name: array.shape for name, array in (samples or {}).items() if name in dims}, **input_shapes}
    sampled = {name: (-1, *array.shape[1:]) for name, array in (samples or {}).items() if name in dims}
    sizes = choose_sizes(dims, given={**sampled, **input_shapes}, limits=limits, batch=SAMPLES)
    if sizes.per_sample:
        inner = {name: (-1, *shape[1:]) for name, shape in sizes.shapes.items() if shape}
        return probe_inputs(specs, samples=samples, input_shapes={**inner, **input_shapes}, seed=seed), True
    if samples is not None:
        check_inputs(specs, samples, where="samples")
        return {spec.name: np.asarray(samples[spec.name]) for spec in specs}, False
    shapes = choose_sizes(dims, given=given, limits=limits, batch=BATCH_OF_ONE_CALL).shapes
    return _one_call([replace(spec, shape=shapes[spec.name]) for spec in specs], samples=None, seed=seed), False


def _per_sample(specs: Sequence[TensorSpec]) -> bool:
    """Say whether the first dimensions may count samples: those that are fixed are of one size."""
    return len({spec.shape[0] for spec in specs if spec.shape and spec.shape[0] is not None}) <= 1


def _one_call(specs: Sequence[TensorSpec], *, samples: Mapping[str, NDArray[Any]] | None, seed: int) -> Arrays:
    """Return the inputs of one call, as they are; what is free besides gets one size in all inputs."""
    if samples is not None:
        check_inputs(specs, samples, where="samples")
        return {spec.name: np.asarray(samples[spec.name]) for spec in specs}
    drawn: Arrays = {}
    for number, spec in enumerate(specs):
        first = spec.shape[0] if spec.shape else 1
        drawn.update(draw_inputs([spec], n=FREE_SIZE if first is None else first, seed=seed + number))
    return drawn


def run_in_pieces(
    specs: Sequence[TensorSpec],
    inputs: Mapping[str, NDArray[Any]],
    call: Callable[[Mapping[str, NDArray[Any]]], list[NDArray[Any]]],
) -> list[NDArray[Any]]:
    """Call a model on all samples, in pieces where it has fixed its batch size, and join the outputs.

    Args:
        specs: the model's inputs.
        inputs: `[n, …]` by name, `n` a multiple of the batch size.
        call: takes arrays by name in the order of `specs` and returns the outputs in order.
    """
    feed = {spec.name: inputs[spec.name] for spec in specs}
    sizes = {spec.shape[0] for spec in specs if spec.shape and spec.shape[0] is not None}
    n = max((array.shape[0] for array in feed.values() if array.ndim), default=1)
    if len(sizes) != 1 or sizes == {n}:
        return call(feed)
    size = next(iter(sizes)) or 1
    pieces = [
        call({name: array[start : start + size] if array.ndim else array for name, array in feed.items()})
        for start in range(0, n, size)
    ]
    return [np.concatenate(parts) if parts[0].ndim else parts[0] for parts in zip(*pieces, strict=True)]


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """Write arrays as `.npz` under numbers, since names may hold `/`; return the names in order."""
    numbered: dict[str, Any] = {f"a{i}": array for i, array in enumerate(arrays.values())}
    np.savez(path, **numbered)
    return list(arrays)


def load_arrays(path: Path, names: Sequence[str]) -> Arrays:
    """Read what `save_arrays` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[f"a{i}"] for i, name in enumerate(names)}


def _with_shape(spec: TensorSpec, shapes: Mapping[str, Sequence[int]]) -> TensorSpec:
    wanted = shapes.get(spec.name)
    if wanted is None:
        return spec
    if len(wanted) != len(spec.shape):
        raise UsageError(
            f"Input {spec.name!r} has {len(spec.shape)} dimensions {list(spec.shape)}. Received: {list(wanted)}."
        )
    shape = tuple(
        old if old is not None else (new if new > 0 else None) for old, new in zip(spec.shape, wanted, strict=True)
    )
    return replace(spec, shape=shape)


def _whole_batches(specs: Sequence[TensorSpec], arrays: Arrays) -> Arrays:
    """Cut or repeat the samples to a multiple of a batch size that the model has fixed."""
    sizes = [spec.shape[0] for spec in specs if spec.shape and spec.shape[0] is not None]
    size = max(sizes, default=1)
    if size <= 1:
        return arrays
    counts = {array.shape[0] for array in arrays.values() if array.ndim}
    n = min(counts, default=size)
    index = np.arange(max(size, n - n % size)) % n
    return {name: array[index] if array.ndim else array for name, array in arrays.items()}

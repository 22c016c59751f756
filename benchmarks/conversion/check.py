"""Run an artifact on stored inputs and hold it against stored outputs: `python -m conversion.check ARTIFACT PROBE`.

The stored outputs are the framework's own, taken when the family was saved. This is no part of edgeai's own gate and
shares nothing with it but the runtime. Prints one JSON document.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import edgeai_runtime
from edgeai_runtime.manifest import TensorSpec


def check(artifact: Path, probe: Path) -> dict[str, Any]:
    """Return the largest difference of any output as a share of its largest value, and what became of free axes."""
    with np.load(probe, allow_pickle=False) as stored:
        inputs = {name[3:]: stored[name] for name in stored.files if name.startswith("in_")}
        wanted = {name[4:]: stored[name] for name in stored.files if name.startswith("out_")}
    with edgeai_runtime.load(artifact, threads=1) as model:
        tried = orders([spec.shape for spec in model.inputs], _names(model.inputs), inputs)
        errors = min(
            (_errors(model, inputs, order, wanted) for order in tried),
            key=lambda differences: max(differences.values()),
        )
        free = any(None in spec.shape for spec in model.inputs)
    return {
        "max_rel": max(errors.values()),
        "outputs": errors,
        "free_axes": free,
        "names_kept": {spec.name for spec in model.inputs} == set(inputs),
        "output_names_kept": {spec.name for spec in model.outputs} == set(wanted),
    }


def orders(
    shapes: Sequence[Sequence[int | None]], names: Sequence[str], arrays: Mapping[str, Any]
) -> list[tuple[str, ...]]:
    """Return the stored name of each tensor: by name when all names are known, else every order whose shapes fit.

    A source that lost the names in its own framework says nothing of the order; the best of them is taken then.

    Raises:
        LookupError: nothing fits.
    """
    if set(names) == set(arrays):
        return [tuple(names)]
    found = [order for order in itertools.permutations(arrays) if _all_fit(shapes, order, arrays)]
    if len(shapes) != len(arrays) or not found:
        raise LookupError(f"shapes {[tuple(shape) for shape in shapes]} fit none of {list(arrays)}")
    return found


def _errors(model: Any, inputs: Mapping[str, Any], order: Sequence[str], wanted: Mapping[str, Any]) -> dict[str, float]:
    """Run the model on inputs in this order; return the difference of each output."""
    feeds = [inputs[name].astype(spec.dtype, copy=False) for name, spec in zip(order, model.inputs, strict=True)]
    outputs = _run(model, feeds)
    tried = orders([np.shape(output) for output in outputs], _names(model.outputs), wanted)
    return min(
        ({n: _difference(one, wanted[n]) for n, one in zip(names, outputs, strict=True)} for names in tried),
        key=lambda differences: max(differences.values()),
    )


def _names(specs: Sequence[TensorSpec]) -> list[str]:
    return [spec.name for spec in specs]


def _difference(output: Any, reference: Any) -> float:
    """Return the largest difference as a share of the largest value."""
    wide = reference.astype(np.float64)
    return float(np.abs(np.asarray(output, np.float64) - wide).max() / max(np.abs(wide).max(), 1e-6))


def _all_fit(shapes: Sequence[Sequence[int | None]], order: Sequence[str], arrays: Mapping[str, Any]) -> bool:
    return len(shapes) == len(order) and all(
        _fits(shape, arrays[name].shape) for shape, name in zip(shapes, order, strict=True)
    )


def _fits(shape: Sequence[int | None], wanted: Sequence[int]) -> bool:
    """Say whether an array fits a shape; the first axis may be a batch that was fixed to 1."""
    if len(shape) != len(wanted):
        return False
    return all(a is None or a == b or (i == 0 and a == 1) for i, (a, b) in enumerate(zip(shape, wanted, strict=True)))


def _run(model: Any, feeds: list[Any]) -> list[Any]:
    """Run at once, or sample by sample where the batch is fixed to 1."""
    sizes = [spec.shape[0] if spec.shape else None for spec in model.inputs]
    count = max((len(feed) for feed in feeds if feed.ndim), default=1)
    if count > 1 and all(size == 1 for size in sizes):
        parts = [model.run_raw([feed[i : i + 1] for feed in feeds]) for i in range(count)]
        return [np.concatenate(group) for group in zip(*parts, strict=True)]
    return list(model.run_raw(feeds))


if __name__ == "__main__":
    print(json.dumps(check(Path(sys.argv[1]), Path(sys.argv[2]))))

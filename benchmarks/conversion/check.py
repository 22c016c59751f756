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
        order = match(model.inputs, inputs)
        feeds = [inputs[name].astype(spec.dtype, copy=False) for name, spec in zip(order, model.inputs, strict=True)]
        outputs = _run(model, feeds)
        names = match(model.outputs, wanted, arrays=outputs)
        free = any(None in spec.shape for spec in model.inputs)
    errors = {}
    for name, output in zip(names, outputs, strict=True):
        reference = wanted[name].astype(np.float64)
        difference = np.abs(np.asarray(output, np.float64) - reference).max()
        errors[name] = float(difference / max(np.abs(reference).max(), 1e-6))
    return {
        "max_rel": max(errors.values()),
        "outputs": errors,
        "free_axes": free,
        "names_kept": {spec.name for spec in model.inputs} == set(inputs),
        "output_names_kept": {spec.name for spec in model.outputs} == set(wanted),
    }


def match(specs: Sequence[TensorSpec], arrays_by_name: Mapping[str, Any], *, arrays: Sequence[Any] = ()) -> list[str]:
    """Return the stored name of each tensor: by name when all names are known, else by order, else by shape.

    Raises:
        LookupError: nothing fits.
    """
    if len(specs) != len(arrays_by_name):
        raise LookupError(f"{len(specs)} tensors, {len(arrays_by_name)} wanted")
    if all(spec.name in arrays_by_name for spec in specs):
        return [spec.name for spec in specs]
    shapes = [np.shape(array) for array in arrays] or [spec.shape for spec in specs]
    for order in itertools.permutations(arrays_by_name):  # the order as stored comes first
        if all(_fits(shape, arrays_by_name[name].shape) for shape, name in zip(shapes, order, strict=True)):
            return list(order)
    told = {spec.name: spec.shape for spec in specs}
    raise LookupError(f"tensors {told} fit none of { {name: array.shape for name, array in arrays_by_name.items()} }")


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

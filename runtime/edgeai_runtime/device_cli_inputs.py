"""What the device's command line feeds a model: an `.npz` or `.npy` file, or drawn values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_runtime.bundle import Bundle, open_bundle
from edgeai_runtime.errors import DataError, UsageError
from edgeai_runtime.manifest import TensorSpec
from edgeai_runtime.manifest_checks import stage_folder


def read_inputs(path: Path, names: Sequence[str]) -> Any:
    """Return what `Model.__call__` takes: one array from an `.npy`, or from an `.npz` a dict by input name.

    An `.npz` with one array, or with one called `x`, serves a model with one input whatever its name is.

    Raises:
        DataError: the file is missing, damaged, or holds Python objects.
        UsageError: it is neither `.npy` nor `.npz`.
    """
    if path.suffix not in (".npy", ".npz"):
        raise UsageError(f"inputs are read from .npy or .npz files. Received: {path}")
    try:
        content = np.load(path, allow_pickle=False)
        if path.suffix == ".npy":
            return content
        with content:
            arrays = {name: content[name] for name in content.files}
    except FileNotFoundError:
        raise DataError(f"there is no file {path}", hint="check the path") from None
    except Exception as error:  # numpy and zipfile raise many kinds for damaged files
        raise DataError(f"{path} cannot be read: {error}", hint="write it with numpy.savez, without objects") from error
    if len(names) == 1 and names[0] not in arrays:
        if "x" in arrays:
            return arrays["x"]
        if len(arrays) == 1:
            return next(iter(arrays.values()))
    return {name: arrays[name] for name in names if name in arrays}


def recorded_stage_inputs(bundle: Bundle, count: int) -> list[Any] | None:
    """Return at most `count` golden inputs of a pipeline's first stage: what `run_raw` of the pipeline takes.

    `None` where there are none, or where the first stage does not take all that the pipeline does.
    """
    pipeline = bundle.manifest.pipeline
    if pipeline is None:
        return None
    first = open_bundle(bundle.root / stage_folder(pipeline.stages[0]))
    specs = first.manifest.inputs
    if not first.manifest.golden or len(specs) != len(bundle.manifest.inputs):
        return None
    recorded = first.golden_inputs()
    return [recorded[spec.name][:count] for spec in specs]


def draw_inputs(specs: Sequence[TensorSpec], *, batch: int = 1, seed: int = 0) -> list[Any]:
    """Return drawn arrays for `run_raw`: floats from 0 to 1, 8-bit integers over their range, zeros for the others.

    Wider integers are often indices, and zero is an index that every table has. The first free dimension is `batch`,
    further ones are 1.
    """
    generator = np.random.default_rng(seed)
    arrays = []
    for spec in specs:
        shape = [size or (batch if axis == 0 else 1) for axis, size in enumerate(spec.shape)]
        dtype = np.dtype(spec.dtype)
        if dtype.kind == "f":
            arrays.append(generator.random(shape).astype(dtype))
        elif dtype.itemsize == 1 and dtype.kind in "iu":
            limits = np.iinfo(dtype)
            arrays.append(generator.integers(limits.min, limits.max, size=shape, endpoint=True).astype(dtype))
        else:
            arrays.append(np.zeros(shape, dtype))
    return arrays

"""Writing a trained graph for people to keep: as ONNX, or as a PyTorch program that can be trained on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.emit.onnx import emit_onnx
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import require_parity
from edgeai_converters.require import require
from edgeai_converters.train.twin import make_twin, save_twin

_MAX_REL, _MIN_COSINE = 1e-3, 0.9999
"""What PyTorch may compute otherwise than ONNX Runtime: rounding, over all layers."""

Batch = Mapping[str, NDArray[Any]]


def write_trained(
    model: ir.Model, target: Path, batches: Iterable[Batch], *, threads: int = 1
) -> dict[str, NDArray[Any]]:
    """Write a float graph to `target` and return its outputs in ONNX Runtime, `[n, …]` by name, over all batches.

    Args:
        model: the graph.
        target: `.onnx`, which is then the file that is run; or `.pt2`, which is loaded again and held against the
            graph on the first batch before it appears.
        batches: prepared inputs by name.
        threads: threads inside an operation.

    Raises:
        ParityError: the PyTorch program does not compute what the graph computes; nothing is written.
    """
    if target.suffix == ".onnx":
        emit_onnx(model, target.parent, stem=target.stem)
        runner = GraphRunner(target, threads=threads)
    else:
        runner = GraphRunner(model, threads=threads)
        found = iter(batches)
        first = next(found)
        batches = chain([first], found)
        _write_program(model, target, first, runner.run(first))
    parts = [runner.run(batch) for batch in batches]
    return {str(value.name): np.concatenate([part[str(value.name)] for part in parts]) for value in model.graph.outputs}


def _write_program(model: ir.Model, target: Path, inputs: Batch, wanted: Batch) -> None:
    torch = require("torch", extra="torch")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.stem}-") as folder:
        made = Path(folder) / target.name
        save_twin(make_twin(model), model, made)
        program = torch.export.load(made).module()
        names = [str(value.name) for value in model.graph.inputs]
        with torch.no_grad():
            outputs = program(*(torch.from_numpy(np.array(inputs[name])) for name in names))
        found = {str(value.name): one.numpy() for value, one in zip(model.graph.outputs, outputs, strict=True)}
        require_parity(wanted, found, what="graph → PyTorch program", max_rel=_MAX_REL, min_cosine=_MIN_COSINE)
        made.replace(target)

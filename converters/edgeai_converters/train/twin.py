"""The trainable twin: a graph as a PyTorch module, trained, and its weights put back into the graph.

Every operator is computed by one function of `ops/`, so a Keras, TFLite or ONNX model trains like one of PyTorch.
BatchNormalization was folded when the graph was simplified: train with a low rate, or distil.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.shapes import shape_of
from edgeai_converters.require import require
from edgeai_converters.train.ops.view import Tensor
from edgeai_converters.train.parameters import trained_constants
from edgeai_converters.train.twin_module import twin_class
from edgeai_runtime.errors import ModelError


class Twin(Protocol):
    """A `torch.nn.Module` that computes what a graph computes, with whatever else a module offers."""

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]

    @property
    def weights(self) -> dict[str, Tensor]:
        """The parameters by the name of the graph's value."""
        ...

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs, in order, of the inputs, in order: `[n, …]` each.

        A graph of a fixed batch size computes any multiple of it, sample by sample in one pass.
        """
        ...

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the outputs by name of inputs by name."""
        ...

    def parameters(self) -> Iterator[Tensor]:
        """Yield the parameters."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return parameters and buffers by PyTorch's names (letters, digits and underscores)."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Take over what `state_dict` returned."""
        ...

    def to(self, device: Any) -> Any:
        """Move to a device."""
        ...


def make_twin(model: ir.Model, *, trained: Collection[str] | None = None) -> Twin:
    """Return the graph as a module of PyTorch.

    Args:
        model: the float graph, simplified, shapes inferred; not changed. Q/DQ graphs work too: rounding then hands
            its gradient straight through.
        trained: names of constants that become parameters; by default those that are weights by their use
            (`trained_constants`). The others become buffers.

    Raises:
        UnsupportedOperationError: an operator that the twin does not have; the message names the node.
        MissingEngineError: PyTorch is not installed.
    """
    names = trained_constants(model) if trained is None else trained
    unknown = [name for name in names if name not in model.graph.initializers]
    if unknown:
        raise ModelError(f"The graph has no constant named {unknown[0]!r} to train.")
    twin: Twin = twin_class()(model, frozenset(names))
    return twin


def run_twin(twin: Twin, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Compute the outputs of arrays by name, without gradients."""
    torch = require("torch", extra="torch")
    with torch.no_grad():
        outputs = twin.run({name: torch.from_numpy(np.array(inputs[name])) for name in twin.input_names})
    return {name: tensor.cpu().numpy() for name, tensor in outputs.items()}


def write_back(twin: Twin, model: ir.Model) -> ir.Model:
    """Return a copy of the graph with the twin's weights in place of its own; `model` is not changed.

    Raises:
        ModelError: a weight of the twin is no constant of the graph, or has another shape.
    """
    model = model.clone()
    for name, tensor in twin.weights.items():
        value = model.graph.initializers.get(name)
        if value is None or value.const_value is None:
            raise ModelError(f"The graph has no constant named {name!r}: the twin was made from another graph.")
        old = value.const_value.numpy()
        array = tensor.detach().cpu().numpy().astype(old.dtype)
        if array.shape != old.shape:
            raise ModelError(f"{name!r} has shape {list(old.shape)} in the graph. Received: {list(array.shape)}")
        value.const_value = ir.tensor(array.copy(), name=name)
    return model


def digest_of_graph(model: ir.Model) -> str:
    """Return the SHA-256 of a graph with its constants."""
    return sha256(ir.to_proto(model).SerializeToString(deterministic=True)).hexdigest()


def save_twin(twin: Twin, model: ir.Model, path: Path) -> None:
    """Write the twin as a PyTorch program (`.pt2`), which needs nothing of this package to be loaded and run.

    Inputs and outputs are positional, in the graph's order. Free first axes stay free, other free axes are fixed to a
    size that is only drawn (16).

    Args:
        twin: the twin.
        model: the graph it was made from: tells shapes and types of inputs.
        path: the file to write; it appears complete or not at all.
    """
    torch = require("torch", extra="torch")
    batch = torch.export.Dim("batch", min=1)
    samples, free = [], []
    for value in model.graph.inputs:
        shape = shape_of(value) or ()
        is_free = bool(shape) and not isinstance(shape[0], int)
        sizes = [size if isinstance(size, int) else (2 if i == 0 else 16) for i, size in enumerate(shape)]
        dtype = (value.dtype or ir.DataType.FLOAT).numpy()
        samples.append(torch.from_numpy(np.zeros(sizes, dtype)))
        free.append({0: batch} if is_free else {})
    program = torch.export.export(twin, tuple(samples), dynamic_shapes=(tuple(free),), strict=False)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".pt2")
    os.close(handle)
    try:
        torch.export.save(program, name)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)

"""The class of the trainable twin, made when it is first asked for: it derives from a class of PyTorch."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.free_names import take_name
from edgeai_converters.graph.shapes import shape_of
from edgeai_converters.require import require
from edgeai_converters.train.ops.view import Tensor
from edgeai_converters.train.twin_steps import make_steps
from edgeai_runtime.errors import DataError


@functools.cache
def twin_class() -> Any:
    """Return the class; see `twin.Twin` for what it promises."""
    torch = require("torch", extra="torch")

    class GraphTwin(torch.nn.Module):  # type: ignore[misc, name-defined]
        """A graph as a module: `forward` takes its inputs in order, returns its outputs in order."""

        def __init__(self, model: ir.Model, trained: Collection[str]) -> None:
            super().__init__()
            self.input_names = tuple(str(value.name) for value in model.graph.inputs)
            self.output_names = tuple(str(value.name) for value in model.graph.outputs)
            self._steps = make_steps(model, torch)
            self._sizes = _fixed_sizes(model)
            self._attributes: dict[str, str] = {}
            needed = {name for step in self._steps for name in step.reads} | {*self.output_names, *trained}
            taken: set[str] = set(dir(self))
            for name, value in model.graph.initializers.items():
                if name not in needed or value.const_value is None:
                    continue
                attribute = self._attributes[name] = _attribute_name(name, taken)
                tensor = torch.from_numpy(np.array(value.const_value.numpy()))  # a copy
                if name in trained:
                    self.register_parameter(attribute, torch.nn.Parameter(tensor))
                else:
                    self.register_buffer(attribute, tensor)
            self._trained = tuple(name for name in self._attributes if name in trained)

        @property
        def weights(self) -> dict[str, Tensor]:
            """The parameters by the name of the graph's value."""
            return {name: getattr(self, self._attributes[name]) for name in self._trained}

        def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
            """Compute the outputs; a graph of fixed batch is run over the samples in pieces of that size."""
            if len(inputs) != len(self.input_names):
                raise DataError(f"The twin has {len(self.input_names)} inputs. Received: {len(inputs)}")
            pieces = self._pieces(inputs)
            if pieces is None:
                return self._run(*inputs)
            cut = [tensor.reshape(pieces, -1, *tensor.shape[1:]) for tensor in inputs]
            outputs = torch.func.vmap(self._run)(*cut)
            return tuple(tensor.reshape(-1, *tensor.shape[2:]) if tensor.ndim > 1 else tensor for tensor in outputs)

        def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            """Compute the outputs by name of inputs by name."""
            missing = [name for name in self.input_names if name not in inputs]
            if missing:
                raise DataError(f"No tensor for the input {missing[0]!r}. Received: {', '.join(inputs) or 'nothing'}.")
            outputs = self(*(inputs[name] for name in self.input_names))
            return dict(zip(self.output_names, outputs, strict=True))

        def _pieces(self, inputs: Iterable[Tensor]) -> int | None:
            """Return how many pieces the samples make, when they are more than the graph takes at once."""
            fixed = {size for size in self._sizes if size is not None}
            if len(fixed) != 1:  # a free batch must not be looked at: the exporter would take it for fixed
                return None
            counts = {int(tensor.shape[0]) for tensor in inputs if tensor.ndim}
            if len(counts) != 1 or counts == fixed:
                return None
            (count,), (size,) = counts, fixed
            if count % size:
                raise DataError(f"The graph takes {size} samples at a time. Received: {count}")
            return count // size

        def _run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
            values: dict[str, Any] = {name: getattr(self, attribute) for name, attribute in self._attributes.items()}
            values.update(zip(self.input_names, inputs, strict=True))
            for step in self._steps:
                made = step.run(*(None if name is None else values[name] for name in step.reads))
                results = zip(step.makes, made if isinstance(made, tuple) else (made,), strict=False)
                values.update((name, value) for name, value in results if name is not None)
                for name in step.forgets:
                    values.pop(name, None)
            return tuple(values[name] for name in self.output_names)

    return GraphTwin


def _fixed_sizes(model: ir.Model) -> list[int | None]:
    """Return the first size of every input that has one; `None` where it is free."""
    shapes = [shape_of(value) for value in model.graph.inputs]
    return [shape[0] if isinstance(shape[0], int) else None for shape in shapes if shape]


def _attribute_name(name: str, taken: set[str]) -> str:
    """Return a name that PyTorch accepts for a parameter: no dots, not empty, not taken."""
    stem = re.sub(r"\W", "_", name) or "constant"
    stem = f"value_{stem}" if stem[0].isdigit() or stem[0] == "_" else stem
    return take_name(stem, taken)

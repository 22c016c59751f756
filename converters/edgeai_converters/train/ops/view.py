"""What the function of an operator sees of its node, and what it gives back.

The function of an operator is called once per node, when the twin is made: it reads attributes and the constants that
are settings (axes, sizes, pads), and returns `run`, which is called in every forward pass with one argument per input
of the node. An input that was read with `constant` or `integers` arrives as `None`: it is a setting, not data.
PyTorch comes in as `view.torch`, so that no module of this folder imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.shapes import Dim, shape_of
from edgeai_runtime.errors import UnsupportedOperationError

Tensor = Any
"""A `torch.Tensor`."""

Run = Callable[..., Any]
"""Tensors in, one per input of the node (`None` for absent ones); a tensor out, or a tuple of them."""


@dataclass(kw_only=True)
class NodeView:
    """A node of the graph, as its operator's function reads it.

    Attributes:
        torch: the module `torch`.
        node: the node.
        key: its name, for messages.
        settings: positions of inputs that were read as settings.
    """

    torch: Any
    node: ir.Node
    key: str
    settings: set[int] = field(default_factory=set)

    @property
    def op_type(self) -> str:
        """The operator."""
        return self.node.op_type

    def has(self, index: int) -> bool:
        """Tell whether the input at `index` is given."""
        return index < len(self.node.inputs) and self.node.inputs[index] is not None

    def is_constant(self, index: int) -> bool:
        """Tell whether the input at `index` is given and is a constant."""
        value = self.node.inputs[index] if self.has(index) else None
        return value is not None and value.const_value is not None

    def constant(self, index: int) -> NDArray[Any] | None:
        """Return a constant input as a setting; `None` when it is absent.

        Raises:
            UnsupportedOperationError: it is computed in the graph.
        """
        if not self.has(index):
            return None
        if not self.is_constant(index):
            raise self.unsupported(f"its input {index} is computed in the graph")
        self.settings.add(index)
        value = self.node.inputs[index]
        assert value is not None
        assert value.const_value is not None
        return value.const_value.numpy()

    def integers(self, index: int) -> list[int] | None:
        """Return a constant input as a list of integers; `None` when it is absent."""
        array = self.constant(index)
        return None if array is None else [int(item) for item in array.reshape(-1)]

    def sizes(self, index: int) -> Callable[[Any], list[Any]] | None:
        """Return a function from the run-time argument at `index` to a list of sizes; `None` when it is absent.

        Constant sizes are read now; computed ones arrive as arrays of Python integers (see `ops.sizes`).
        """
        if not self.has(index):
            return None
        if self.is_constant(index):
            fixed = self.integers(index) or []
            return lambda _: fixed
        return self._computed_sizes

    def shape(self, index: int) -> tuple[Dim, ...] | None:
        """Return the inferred shape of an input."""
        return shape_of(self.node.inputs[index]) if self.has(index) else None

    def integer(self, name: str, default: int) -> int:
        """Return an attribute."""
        return int(self.node.attributes.get_int(name, default))

    def number(self, name: str, default: float) -> float:
        """Return an attribute."""
        return float(self.node.attributes.get_float(name, default))

    def word(self, name: str, default: str) -> str:
        """Return an attribute."""
        return str(self.node.attributes.get_string(name, default))

    def integer_list(self, name: str, default: Sequence[int] | None = None) -> list[int] | None:
        """Return an attribute that is a list of integers."""
        found = self.node.attributes.get_ints(name, None)
        return [int(item) for item in found] if found is not None else (None if default is None else [*default])

    def unsupported(self, why: str) -> UnsupportedOperationError:
        """Return the error that says why this node has no place in a twin."""
        return UnsupportedOperationError(
            f"The trainable twin cannot compute the node {self.key!r} ({self.op_type}): {why}."
        )

    def _computed_sizes(self, argument: Any) -> list[Any]:
        if isinstance(argument, np.ndarray):
            return list(argument.reshape(-1))
        raise self.unsupported("its sizes are computed from data")

"""Views of OpenVINO's operations, and the numpy types of what flows between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    pass

Shape = tuple[int | None, ...]
Array = "NDArray[Any]"
Key = tuple[str, int]
"""One output of one operation: its unique name, and the number of the output."""

_FLOATS = ("f32", "f16", "bf16", "f64")
_INTEGERS = ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")
SMALL_TYPES = ("i8", "u8", "i4", "u4", "u2", "u1", "nf4", "f8e4m3", "f8e5m2", "f4e2m1", "f8e8m0", "f16", "bf16")
"""Types that weights are stored in to save space."""


class UnreadableError(Exception):
    """An operation that cannot be brought to ONNX, with the reason; collected, so that all are reported together."""


def graph_dtype(element_type: str) -> np.dtype[Any]:
    """Return the type in the graph of an OpenVINO element type (`f32`, `i64`, …): every float becomes float32."""
    if element_type in _FLOATS:
        return np.dtype(np.float32)
    if element_type in _INTEGERS:
        return np.dtype(("uint" if element_type[0] == "u" else "int") + element_type[1:])
    if element_type == "boolean":
        return np.dtype(np.bool_)
    raise UnreadableError(f"values of type {element_type}")


def key_of(output: Any) -> Key:
    """Return the key of an OpenVINO output."""
    return str(output.get_node().get_name()), int(output.get_index())


def partial_shape(shape: Any) -> Shape:
    """Return an OpenVINO partial shape; `None` is a free dimension.

    Raises:
        UnreadableError: the number of dimensions is unknown.
    """
    if shape.rank.is_dynamic:
        raise UnreadableError("the number of dimensions is not known")
    return tuple(None if dim.is_dynamic else int(dim.get_length()) for dim in shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class Operation:
    """One operation of the model.

    Attributes:
        node: OpenVINO's object.
        type: its type (`Convolution`).
        version: the operation set that defined it (`opset1`).
        name: the name a user knows.
        attributes: as OpenVINO gives them.
    """

    node: Any
    type: str
    version: str
    name: str
    attributes: dict[str, Any]

    @classmethod
    def of(cls, node: Any) -> Operation:
        """Return the view of an OpenVINO node."""
        return cls(
            node=node,
            type=str(node.get_type_name()),
            version=str(node.get_type_info().version_id),
            name=str(node.get_friendly_name()),
            attributes=dict(node.get_attributes()),
        )

    @property
    def input_count(self) -> int:
        """How many inputs there are."""
        return int(self.node.get_input_size())

    @property
    def output_count(self) -> int:
        """How many outputs there are."""
        return int(self.node.get_output_size())

    def feeder(self, position: int) -> Any:
        """Return OpenVINO's output that feeds an input."""
        return self.node.input_value(position)

    def shape(self, position: int) -> Shape:
        """Return the shape of an input; `UnreadableError` when the rank is unknown."""
        return partial_shape(self.node.get_input_partial_shape(position))

    def rank(self, position: int) -> int:
        """Return the rank of an input; `UnreadableError` when it is unknown."""
        return len(self.shape(position))

    def output_shape(self, position: int = 0) -> Shape:
        """Return the shape of an output; `UnreadableError` when the rank is unknown."""
        return partial_shape(self.node.get_output_partial_shape(position))

    def stored_type(self, position: int) -> str:
        """Return the OpenVINO name of the type of an input."""
        return str(self.node.get_input_element_type(position).get_type_name())

    def dtype(self, position: int) -> np.dtype[Any]:
        """Return the type of an input in the graph."""
        return graph_dtype(self.stored_type(position))

    def output_dtype(self, position: int = 0) -> np.dtype[Any]:
        """Return the type of an output in the graph."""
        return graph_dtype(str(self.node.get_output_element_type(position).get_type_name()))

    def is_used(self, position: int) -> bool:
        """Tell whether anything reads an output."""
        return bool(self.node.output(position).get_target_inputs())

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)

    def integers(self, name: str) -> list[int]:
        """Return an attribute that is a list of integers; empty when it is absent."""
        return [int(value) for value in self.attributes.get(name) or []]

"""What the families of operations read with: constants known so far, and the ONNX nodes made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from edgeai_converters.graph.free_names import take_name
from edgeai_converters.sources.openvino_ir.operation import Key, Operation, UnreadableError, key_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ReadContext:
    """The ONNX nodes made so far.

    Args:
        taken: names that inputs and outputs of the model have.
        read: reads one operation into the context; returns what stands in the way.
    """

    def __init__(self, taken: Sequence[str], read: Callable[[ReadContext, Any], str] | None = None) -> None:
        self._read = read
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._names: dict[Key, str] = {}
        self._constants: dict[Key, NDArray[Any]] = {}
        self._taken = set(taken)

    def read(self, node: Any) -> str:
        """Read an operation of the body of another; return what stands in the way, if anything does."""
        assert self._read is not None
        return self._read(self, node)

    def unique(self, stem: str) -> str:
        """Return a name that no value has yet, and take it."""
        return take_name(stem, self._taken)

    def bind(self, key: Key, name: str) -> None:
        """Note the ONNX value that stands for an output."""
        self._names[key] = name

    def set_constant(self, key: Key, value: NDArray[Any]) -> None:
        """Note the value of an output that does not depend on the inputs."""
        self._constants[key] = value

    def constant_at(self, output: Any) -> NDArray[Any] | None:
        """Return the value of an OpenVINO output, `None` for what is computed at run time."""
        return self._constants.get(key_of(output))

    def name_at(self, output: Any) -> str:
        """Return the ONNX value that stands for an OpenVINO output."""
        key = key_of(output)
        if key not in self._names:
            value = self._constants.get(key)
            if value is None:
                raise UnreadableError(f"needs {output.get_node().get_friendly_name()!r}, which cannot be read")
            self._names[key] = self.add_constant(value, str(output.get_node().get_friendly_name()))
        return self._names[key]

    def constant(self, operation: Operation, position: int) -> NDArray[Any] | None:
        """Return a constant input, floats as float32; `None` for what is computed at run time or left out."""
        return self.constant_at(operation.feeder(position)) if position < operation.input_count else None

    def known(self, operation: Operation, position: int, what: str) -> NDArray[Any]:
        """Return an input that must be a constant."""
        value = self.constant(operation, position)
        if value is None:
            raise UnreadableError(f"{what} (input {position}) must be a constant")
        return value

    def known_integers(self, operation: Operation, position: int, what: str) -> list[int]:
        """Return an input that must be a constant, as a list of integers."""
        return [int(value) for value in self.known(operation, position, what).reshape(-1)]

    def source(self, operation: Operation, position: int) -> str:
        """Return the ONNX name of an input."""
        return self.name_at(operation.feeder(position))

    def sources(self, operation: Operation) -> list[str]:
        """Return the ONNX names of all inputs."""
        return [self.source(operation, position) for position in range(operation.input_count)]

    def int64(self, operation: Operation, position: int, *, rank: int | None = None) -> str:
        """Return an integer input as int64, reshaped to a vector when `rank` is 1 and to a scalar when it is 0."""
        value = self.constant(operation, position)
        if value is not None:
            value = value.astype(np.int64)
            shape = value.shape if rank is None else ((-1,) if rank else ())
            return self.integers(value.reshape(shape), f"{operation.name}/input{position}")
        name = self.source(operation, position)
        if operation.dtype(position) != np.int64:
            name = self.cast(name, np.dtype(np.int64))
        if rank is not None and operation.rank(position) != rank:
            name = self.add("Reshape", [name, self.integers([-1] if rank else [], f"{operation.name}/shape")])
        return name

    def add_constant(self, value: NDArray[Any], stem: str) -> str:
        """Add an initializer and return its name."""
        name = self.unique(stem)
        self.initializers[name] = onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
        return name

    def number(self, value: float, dtype: np.dtype[Any] | type = np.float32) -> str:
        """Return the name of a scalar constant."""
        return self.add_constant(np.asarray(value, dtype), f"number_{value:g}")

    def integers(self, values: int | Sequence[int] | NDArray[Any], stem: str = "integers") -> str:
        """Return the name of an int64 constant."""
        return self.add_constant(np.asarray(values, np.int64), stem)

    def add(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node of one output and return the output's name."""
        return self.add_many(op_type, inputs, 1, **attributes)[0]

    def add_many(self, op_type: str, inputs: Sequence[str], count: int, **attributes: Any) -> list[str]:
        """Add a node of `count` outputs and return their names; empty inputs are left out."""
        outputs = [self.unique(f"{op_type}_value") for _ in range(count)]
        self.nodes.append(onnx.helper.make_node(op_type, list(inputs), outputs, **attributes))
        return outputs

    def cast(self, name: str, dtype: np.dtype[Any] | type) -> str:
        """Cast a value."""
        return self.add("Cast", [name], to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def cast_result(self, name: str, made: type, operation: Operation, position: int = 0) -> str:
        """Cast what a node made as `made` to the type that the operation gives out."""
        wanted = operation.output_dtype(position)
        return name if wanted == np.dtype(made) else self.cast(name, wanted)

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """Reshape a value: 0 keeps a dimension, -1 takes what is left."""
        return self.add("Reshape", [name, self.integers(shape, "shape")])

    def transpose(self, name: str, order: Sequence[int]) -> str:
        """Transpose a value; nothing is added when the order changes nothing."""
        return name if list(order) == sorted(order) else self.add("Transpose", [name], perm=list(order))

    def finish(self, operation: Operation, values: Sequence[str], first_node: int, wanted: dict[Key, str]) -> None:
        """Bind the values of an operation to its outputs, under the names a user knows where they are new.

        Args:
            operation: the operation.
            values: the ONNX values, one per output that is read.
            first_node: number of the first node that was added for the operation.
            wanted: names that outputs of the model must have.
        """
        made = {output for node in self.nodes[first_node:] for output in node.output if output}
        renames = {}
        for position, value in enumerate(values):
            key = (str(operation.node.get_name()), position)
            if value in made and value not in renames:
                stem = operation.name if operation.output_count == 1 else f"{operation.name}.{position}"
                renames[value] = wanted.pop(key) if key in wanted else self.unique(stem)
            self.bind(key, renames.get(value, value))
        for number, node in enumerate(self.nodes[first_node:]):
            node.input[:] = [renames.get(name, name) for name in node.input]
            node.output[:] = [renames.get(name, name) for name in node.output]
            node.name = operation.name if not number else f"{operation.name}/{number}"

"""Reading the subgraphs of a TFLite file: bodies of loops, branches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from edgeai_converters.emit.tflite.quantization import Array
from edgeai_converters.emit.tflite.read_context import (
    Operator,
    ReadContext,
    UnreadableError,
    read_operators,
    read_tensors,
)

Readers = Mapping[str, Callable[[ReadContext, Operator], None]]


def read_all(context: ReadContext, operators: Iterable[Operator], readers: Readers) -> list[str]:
    """Read operators into a context; return what stands in the way, one line per operator."""
    problems = []
    for position, operator in enumerate(operators):
        read = readers.get(operator.name)
        try:
            if read is None:
                raise UnreadableError("there is no such operator in the table")
            read(context, operator)
        except UnreadableError as error:
            results = ", ".join(repr(context.name(index)) for index in operator.outputs)
            problems.append(f"{operator.name} (operator {position}, result {results}): {error}")
    return problems


class Subgraphs:
    """The subgraphs of one file.

    Args:
        model: the schema's object tree.
        readers: operator → the function that reads it.
    """

    def __init__(self, model: Any, readers: Readers) -> None:
        self._model, self._readers = model, readers

    def boundary(self, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the tensor numbers of a subgraph's inputs and outputs."""
        if not 0 < number < len(self._model.subgraphs):
            raise UnreadableError(f"the file has no subgraph {number} beside the main one")
        graph = self._model.subgraphs[number]
        inputs, outputs = ([] if side is None else side for side in (graph.inputs, graph.outputs))
        return tuple(int(index) for index in inputs), tuple(int(index) for index in outputs)

    def read(
        self, context: ReadContext, number: int, names: Sequence[str], constants: Mapping[int, Array] | None = None
    ) -> tuple[ReadContext, list[str]]:
        """Read a subgraph beside a context's nodes.

        Args:
            context: of the graph around it; constants and names are shared.
            number: of the subgraph.
            names: the values that its inputs are.
            constants: place of an input → what it is at every call, where that is known.

        Returns:
            A context with the nodes of the subgraph, and the names of the values that its outputs are.

        Raises:
            UnreadableError: operators of the subgraph that cannot be read, all of them.
        """
        inputs, outputs = self.boundary(number)
        if len(inputs) != len(names):
            raise UnreadableError(f"subgraph {number} has {len(inputs)} inputs and is given {len(names)}")
        inner = context.inner(read_tensors(self._model, number), dict(zip(inputs, names, strict=True)))
        for place, value in (constants or {}).items():
            inner.set_constant(inputs[place], value)
        problems = read_all(inner, read_operators(self._model, number), self._readers)
        if problems:
            raise UnreadableError(f"in its subgraph {number}: " + "; ".join(problems))
        return inner, [inner.source(tensor) for tensor in outputs]

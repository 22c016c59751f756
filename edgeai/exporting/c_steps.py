"""One input's or output's steps in C, as the templates see them, and what both sides ask of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeai.exporting.c_code import Code, CTable, NotWritten, count, element, element_type, index_names
from edgeai_runtime.manifest import Step, TensorSpec

QUANTIZED = ("int8", "uint8", "int16")
"""Types for which the model's header has functions that quantize and dequantize."""

LABELS = "labels"


@dataclass(frozen=True, kw_only=True)
class CSteps:
    """The C of the steps, or why there is none.

    Attributes:
        index, name: of the tensor.
        words: the steps, each as a person reads it.
        left_out: why there is no C; then all below is empty.
        kind: the type of an element on the app's side, as numpy names it; `labels` for a list of those.
        shape: on the app's side, of one sample.
        functions, tables, memory, needs: see `Code`.
        body: the statements of the function that an app calls.
        made_bytes: of what the function writes: the model's input, or a result.
        is_exact: whether every compiler that keeps to IEEE 754 gets the runtime's bits.
        is_table: whether values are looked up, with no arithmetic in floating point at the end.
    """

    index: int
    name: str
    words: tuple[str, ...]
    left_out: str = ""
    kind: str = ""
    shape: tuple[int, ...] = ()
    functions: tuple[str, ...] = ()
    tables: tuple[CTable, ...] = ()
    memory: tuple[tuple[str, int], ...] = ()
    needs: frozenset[str] = frozenset()
    body: str = ""
    made_bytes: int = 0
    is_exact: bool = True
    is_table: bool = False

    @property
    def size(self) -> int:
        """Elements on the app's side."""
        return count(self.shape)

    @property
    def has_labels(self) -> bool:
        """Whether the result is a list of classes with scores."""
        return self.kind == LABELS

    @property
    def c_type(self) -> str:
        """The type of an element on the app's side."""
        return "" if self.has_labels else element_type(np.dtype(self.kind))

    @property
    def kept_bytes(self) -> int:
        """What an app keeps on its side: a raw sample, or a result."""
        return self.size * (8 if self.has_labels else np.dtype(self.kind).itemsize)

    @property
    def flash_bytes(self) -> int:
        """Of its tables."""
        return sum(each.size_bytes for each in self.tables)

    @property
    def ram_bytes(self) -> int:
        """Of its static variables."""
        return sum(size for _, size in self.memory)


def finished(code: Code, body: str, **described: Any) -> CSteps:
    """Return a chain that is written to its end; `body` runs after what the chain asks for before."""
    return CSteps(
        functions=tuple(code.functions),
        tables=tuple(code.tables),
        memory=tuple(code.memory),
        needs=frozenset(code.needs),
        body="\n".join([*code.before, *([body] if body else [])]),
        is_exact=code.is_exact,
        **described,
    )


def one_sample(spec: TensorSpec) -> tuple[int, ...]:
    """Return the shape of one sample, without the batch.

    Raises:
        NotWritten: free dimensions, or a batch of more than one.
    """
    if not spec.shape or spec.shape[0] not in (None, 1):
        raise NotWritten(f"{spec.name!r} has no batch of one: {spec.shape}")
    if any(size is None for size in spec.shape[1:]):
        raise NotWritten(f"{spec.name!r} has free dimensions: {spec.shape}")
    return tuple(size for size in spec.shape[1:] if size is not None)


def is_same(source: TensorSpec, target: TensorSpec) -> bool:
    """Say whether numbers mean the same on both sides: the type is one, and the scale where both have one."""
    scales = (source.quantization, target.quantization)
    return source.dtype == target.dtype and (None in scales or scales[0] == scales[1])


def turn(source: TensorSpec, target: TensorSpec) -> tuple[Step, ...]:
    """Return the step between the bundle's layout and the artifact's, if there is one."""
    if not source.layout or not target.layout or source.layout == target.layout:
        return ()
    return (Step(op="layout", params={"from": source.layout, "to": target.layout}),)


def at_place(shape: Sequence[int]) -> str:
    """Return the expression of the element at a function's indices in what `from` points to."""
    return f"from[{element(index_names(len(shape)), shape)}]"

"""The C of a chain of steps while it is written: one static function per step, which asks the one before it.

A function gives one element of a sample, by its index: `static float input_0_2(const uint8_t *from, int32_t i0)`. A
compiler makes one loop of them, and no step needs memory of its own but those that need all of a row (`softmax`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from edgeai.exporting.rendering import comment, float_literal, rows

ELEMENT_TYPES = {
    "bool": "uint8_t",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "float32": "float",
    "float64": "double",
}
"""Types of elements that steps are written for."""


Params = Mapping[str, Any]
"""Of a step, as they were checked when the bundle was written."""


class NotWritten(Exception):
    """A step, or what it works on, that there is no C for; the message says which."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """What a chain has come to.

    Attributes:
        name: the function that gives an element.
        shape: of one sample, without the batch.
        kind: the type of its elements.
    """

    name: str
    shape: tuple[int, ...]
    kind: np.dtype[Any]

    def at(self, *indices: str) -> str:
        """Return the call that gives the element at `indices`."""
        return f"{self.name}({', '.join(('from', *indices))})"

    @property
    def here(self) -> str:
        """The call that gives the element at the caller's own indices."""
        return self.at(*index_names(len(self.shape)))


@dataclass(frozen=True, kw_only=True)
class CTable:
    """A static array of constants: its declaration, its rows, and the bytes it takes."""

    declaration: str
    rows: str
    size_bytes: int


@dataclass(kw_only=True)
class Code:
    """The C of one chain, as far as it is written.

    Attributes:
        prefix: of all its names.
        source: the type that `from` points to.
        functions: their text, each before those that call it.
        tables: constants.
        memory: static variables as declaration and bytes.
        before: statements to run before elements are asked for.
        needs: names of functions written once per file: `exponential`, `to_nearest`, `softmax`.
        is_exact: whether every C compiler gets the bits that numpy gets.
    """

    prefix: str
    source: str
    functions: list[str] = field(default_factory=list)
    tables: list[CTable] = field(default_factory=list)
    memory: list[tuple[str, int]] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    needs: set[str] = field(default_factory=set)
    is_exact: bool = True

    def define(self, shape: Sequence[int], kind: np.dtype[Any] | type, body: str, *, about: str) -> Value:
        """Add the function of the next step.

        Args:
            shape, kind: of what it gives.
            body: its statements; may name `from` and the indices `i0`, `i1`, ….
            about: what it does, for a comment.
        """
        kind = np.dtype(kind)
        name = f"{self.prefix}_{len(self.functions)}"
        names = index_names(len(shape))
        unused = [each for each in ("from", *names) if not re.search(rf"\b{each}\b", body)]
        parameters = ", ".join((f"const {self.source} *from", *(f"int32_t {each}" for each in names)))
        lines = [*(f"(void){each};" for each in unused), *body.splitlines()]
        text = "\n".join(f"  {line}" for line in lines)
        self.functions.append(
            f"/* {comment(about)} */\nstatic {element_type(kind)} {name}({parameters}) {{\n{text}\n}}"
        )
        return Value(name=name, shape=tuple(shape), kind=kind)

    def table(self, what: str, array: Any) -> str:
        """Add constants and return the array's name; the last axis is written in rows."""
        array = np.asarray(array)
        name = f"{self.prefix}_{what}_{len(self.tables)}"
        sizes = "".join(f"[{size}]" for size in array.shape)
        declaration = f"static const {element_type(array.dtype)} {name}{sizes}"
        text = _constants(array, indent="    ")
        self.tables.append(CTable(declaration=declaration, rows=text, size_bytes=array.nbytes))
        return name


def index_names(rank: int) -> tuple[str, ...]:
    """Return the names of a function's indices."""
    return tuple(f"i{axis}" for axis in range(rank))


def sample_axis(params: Params, value: Value) -> int:
    """Return a step's axis, which counts the batch, as one of a sample's."""
    axis = int(params.get("axis", -1))
    return axis + len(value.shape) if axis < 0 else axis - 1


def element_type(kind: np.dtype[Any] | type) -> str:
    """Return the C type of an element.

    Raises:
        NotWritten: float16, and integers that C would have to treat unlike all others.
    """
    name = np.dtype(kind).name
    if name not in ELEMENT_TYPES:
        raise NotWritten(f"{name} is not written in C")
    return ELEMENT_TYPES[name]


def constant(value: float, kind: np.dtype[Any]) -> str:
    """Return a number of float32 or float64 as it stands in an initializer."""
    return repr(float(value)) if kind == np.float64 else f"{float_literal(float(value))}f"


def literal(value: float, kind: np.dtype[Any]) -> str:
    """Return a number as it stands in an expression: in parentheses when it is negative."""
    text = constant(value, kind)
    return f"({text})" if text.startswith("-") else text


def element(names: Sequence[str], shape: Sequence[int]) -> str:
    """Return the place of an element in memory: `(i0 * 8 + i1) * 3 + i2`."""
    text = "0"
    for place, (name, size) in enumerate(zip(names, shape, strict=True)):
        text = name if place == 0 else f"({text}) * {size} + {name}" if " " in text else f"{text} * {size} + {name}"
    return text


def loops(shape: Sequence[int], statement: str) -> str:
    """Return a statement inside loops over all indices, the last one fastest."""
    lines = [
        f"{'  ' * axis}for (int32_t i{axis} = 0; i{axis} < {size}; ++i{axis}) {{" for axis, size in enumerate(shape)
    ]
    lines += ["  " * len(shape) + statement]
    lines += ["  " * axis + "}" for axis in reversed(range(len(shape)))]
    return "\n".join(lines)


def count(shape: Sequence[int]) -> int:
    """Return the number of elements of a sample."""
    return prod(shape)


def _constants(array: Any, *, indent: str) -> str:
    if array.ndim > 1:
        return "\n".join(f"{indent}{{\n{_constants(row, indent=indent + '    ')}\n{indent}}}," for row in array)
    one: Callable[[Any], str] = (lambda value: constant(value, array.dtype)) if array.dtype.kind == "f" else _whole
    return rows(map(one, array), per_row=8 if array.dtype.kind == "f" else 20, indent=indent)


def _whole(value: Any) -> str:
    return str(int(value))

"""The TFLite flatbuffer schema: the object API that comes with the LiteRT wheel, and names for its numbers.

The generated module brings numpy and flatbuffers only: neither TensorFlow nor the interpreter.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from edgeai_converters.require import require

NUMPY_TYPES = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "FLOAT64": "float64",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT32": "uint32",
    "BOOL": "bool",
}
"""TFLite tensor types that both directions handle, with their numpy names."""


@cache
def load_schema() -> Any:
    """Return the generated schema module.

    Raises:
        MissingEngineError: neither the LiteRT wheel nor the part of it with the schema is installed.
    """
    return require("ai_edge_litert.schema_py_generated", extra="tflite")


@cache
def _operator_names() -> dict[int, str]:
    return {code: name for name, code in vars(load_schema().BuiltinOperator).items() if isinstance(code, int)}


def operator_name(code: int) -> str:
    """Return the name of a builtin operator such as `CONV_2D`; `#<code>` for one this schema does not know."""
    return _operator_names().get(code, f"#{code}")


def operator_code(name: str) -> int:
    """Return the number of a builtin operator."""
    return int(getattr(load_schema().BuiltinOperator, name))


@cache
def _tensor_types() -> dict[int, str]:
    types = vars(load_schema().TensorType)
    return {types[name]: dtype for name, dtype in NUMPY_TYPES.items()}


def numpy_type(tensor_type: int) -> str | None:
    """Return the numpy name of a tensor type; `None` for types that are not handled (strings, int4, …)."""
    return _tensor_types().get(tensor_type)


def tensor_type(dtype: str) -> int:
    """Return the schema's number for a numpy type name, or for `int4`, which only constants have."""
    if dtype == "int4":
        return int(load_schema().TensorType.INT4)
    return {name: number for number, name in _tensor_types().items()}[dtype]

"""The operations that are written in C, and how: each adds the function of its step to a chain.

They compute what `edgeai_runtime.transforms` does, in the same order and type, so that bits agree where the compiler
keeps to IEEE 754: exponentials (`softmax`, `sigmoid`) differ in the last bits. Sound, text and boxes are not written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgeai.exporting import c_images
from edgeai.exporting.c_code import (
    Code,
    NotWritten,
    Params,
    Value,
    count,
    element,
    element_type,
    index_names,
    literal,
    loops,
    sample_axis,
)
from edgeai_runtime.manifest import Step

_LIMITS = {"int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64", "uint8": "UINT8", "uint16": "UINT16"}


def write_step(code: Code, value: Value, step: Step, *, into: str | None = None) -> Value:
    """Add a step to the chain and return what it gives.

    Args:
        code: the chain.
        value: what the step works on.
        step: what to do.
        into: where a row may be put that is the end of the chain; else it gets memory of its own.

    Raises:
        NotWritten: there is no C for the step, or none for this type.
    """
    if step.op == "softmax":
        return _softmax(code, value, step.params, into)
    require_written([step])
    return OPERATIONS[step.op](code, value, step.params)


def require_written(steps: Sequence[Step]) -> None:
    """Check that there is C for every step.

    Raises:
        NotWritten: names the first one that there is none for.
    """
    for step in steps:
        if step.op != "softmax" and step.op not in OPERATIONS:
            raise NotWritten(f"{step.op!r} is not written in C")


def in_words(step: Step) -> str:
    """Return a step as a person reads it: `scale factor=0.0625`."""
    return " ".join([step.op, *(f"{key}={value}" for key, value in step.params.items())])


def cast_to(code: Code, value: Value, kind: np.dtype[Any]) -> Value:
    """Add a conversion to `kind`: integers saturate, fractions are cut off; what is no number is the least."""
    own = value.kind
    if own == kind:
        return value
    target, about = element_type(kind), f"cast dtype={kind.name}"
    if kind.kind == "b":
        return code.define(value.shape, kind, f"return {value.here} != 0;", about=about)
    if kind.kind == "f" or own.kind == "b":
        return code.define(value.shape, kind, f"return ({target}){value.here};", about=about)
    least, most = f"{_LIMITS[kind.name]}_MIN" if kind.kind == "i" else "0", f"{_LIMITS[kind.name]}_MAX"
    if own.kind == "f":
        real = element_type(own)
        body = f"const {real} value = {value.here};\nif (!(value > ({real}){least})) return {least};\n"
        body += f"if (value >= ({real}){most}) return {most};\nreturn ({target})value;"
        return code.define(value.shape, kind, body, about=about)
    has, gets = np.iinfo(own), np.iinfo(kind)
    body = f"const {element_type(own)} value = {value.here};\n"
    body += f"if (value < {least}) return {least};\n" if has.min < gets.min else ""
    body += f"if (value > {most}) return {most};\n" if has.max > gets.max else ""
    return code.define(value.shape, kind, f"{body}return ({target})value;", about=about)


def _cast(code: Code, value: Value, params: Params) -> Value:
    return cast_to(code, value, np.dtype(str(params["dtype"])))


def _scale(code: Code, value: Value, params: Params) -> Value:
    real, kind = _real(value)
    offset = float(params.get("offset", 0))
    added = f" + {literal(offset, kind)}" if offset else ""
    body = f"return {real} * {literal(params['factor'], kind)}{added};"
    return code.define(value.shape, kind, body, about="scale: x * factor + offset")


def _normalize(code: Code, value: Value, params: Params) -> Value:
    real, kind = _real(value)
    axis = sample_axis(params, value)
    mean, std = (_per_channel(code, name, params[name], kind, axis) for name in ("mean", "std"))
    return code.define(value.shape, kind, f"return ({real} - {mean}) / {std};", about="normalize: (x - mean) / std")


def _per_channel(code: Code, name: str, given: Any, kind: np.dtype[Any], axis: int) -> str:
    if isinstance(given, (list, tuple)) and len(given) > 1:
        return f"{code.table(name, np.asarray(given, kind))}[i{axis}]"
    return literal(given[0] if isinstance(given, (list, tuple)) else given, kind)


def _dequantize(code: Code, value: Value, params: Params) -> Value:
    real, kind = _real(value)
    zero_point, scale = literal(float(params.get("zero_point", 0)), kind), literal(params["scale"], kind)
    return code.define(value.shape, kind, f"return ({real} - {zero_point}) * {scale};", about="dequantize")


def _sigmoid(code: Code, value: Value, _: Params) -> Value:
    real = _single(value, "sigmoid")
    code.needs.add("exponential")
    code.is_exact = False
    body = f"const float value = {real};\nconst float power = exponential(value < 0.0f ? value : -value);\n"
    body += "return (value >= 0.0f ? 1.0f : power) / (1.0f + power);"
    return code.define(value.shape, np.float32, body, about="sigmoid")


def _softmax(code: Code, value: Value, params: Params, into: str | None) -> Value:
    axis = sample_axis(params, value)
    total, size = count(value.shape), value.shape[axis]
    behind = count(value.shape[axis + 1 :])
    real = _single(value, "softmax")
    name = into or f"{code.prefix}_scores_{len(code.memory)}"
    if into is None:
        code.memory.append((f"static float {name}[{total}]", 4 * total))
    code.needs |= {"exponential", "softmax"}
    code.is_exact = False
    place = element(index_names(len(value.shape)), value.shape)
    code.before.append(loops(value.shape, f"{name}[{place}] = {real};"))
    code.before.append(f"softmax({name}, {total // (size * behind)}, {size}, {behind});")
    if into is not None:
        return Value(name="", shape=value.shape, kind=np.dtype(np.float32))
    return code.define(value.shape, np.float32, f"return {name}[{place}];", about="softmax, made before")


def _argmax(code: Code, value: Value, params: Params) -> Value:
    axis = sample_axis(params, value)
    shape = value.shape[:axis] + value.shape[axis + 1 :]
    names = list(index_names(len(shape)))
    first, other = (value.at(*names[:axis], each, *names[axis:]) for each in ("0", "i"))
    body = f"int32_t best = 0;\n{element_type(value.kind)} most = {first};\n"
    body += f"for (int32_t i = 1; i < {value.shape[axis]}; ++i) {{\n"
    body += f"  const {element_type(value.kind)} value = {other};\n  if (value > most) {{\n    most = value;\n"
    body += "    best = i;\n  }\n}\nreturn best;"
    return code.define(shape, np.int32, body, about="argmax, the first one when equal")


def _real(value: Value) -> tuple[str, np.dtype[Any]]:
    """Return the element as the real number that steps compute with, and its type."""
    if value.kind in (np.float32, np.float64):
        return value.here, value.kind
    return f"(float){value.here}", np.dtype(np.float32)


def _single(value: Value, op: str) -> str:
    real, kind = _real(value)
    if kind == np.float64:
        raise NotWritten(f"{op!r} of float64 is not written in C")
    return real


OPERATIONS: dict[str, Callable[[Code, Value, Params], Value]] = {
    "cast": _cast,
    "scale": _scale,
    "normalize": _normalize,
    "dequantize": _dequantize,
    "sigmoid": _sigmoid,
    "argmax": _argmax,
    "layout": c_images.layout,
    "expand": c_images.expand,
    "channels": c_images.channels,
    "crop": c_images.crop,
    "pad": c_images.pad,
    "resize": c_images.resize,
}
"""By name; `softmax` and a last `labels` beside them."""

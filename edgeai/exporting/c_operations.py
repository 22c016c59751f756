"""The operations that are written in C, and how: each adds the function of its step to a chain.

They compute what `edgeai_runtime.transforms` does, in the same order and type, so that bits agree where the compiler
keeps to IEEE 754: exponentials (`softmax`, `sigmoid`) differ in the last bits. Sound, text and boxes are not written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgeai.exporting.c_code import Code, NotWritten, Value, count, element, element_type, index_names, literal, loops
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms import image

Params = Mapping[str, Any]

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
    if step.op not in OPERATIONS:
        raise NotWritten(f"{step.op!r} is not written in C")
    return OPERATIONS[step.op](code, value, step.params)


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


def position(axis: int, value: Value) -> int:
    """Return a step's axis, counted with the batch, as one of a sample's."""
    return axis + len(value.shape) if axis < 0 else axis - 1


def _cast(code: Code, value: Value, params: Params) -> Value:
    return cast_to(code, value, np.dtype(str(params["dtype"])))


def _scale(code: Code, value: Value, params: Params) -> Value:
    real, kind = _real(value)
    offset = float(params.get("offset", 0))
    added = f" + {literal(offset, kind)}" if offset else ""
    body = f"return {real} * {literal(params['factor'], kind)}{added};"
    return code.define(value.shape, kind, body, about=in_words(Step(op="scale", params=dict(params))))


def _normalize(code: Code, value: Value, params: Params) -> Value:
    real, kind = _real(value)
    axis = position(int(params.get("axis", -1)), value)
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
    axis = position(int(params.get("axis", -1)), value)
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
    axis = position(int(params.get("axis", -1)), value)
    shape = value.shape[:axis] + value.shape[axis + 1 :]
    names = list(index_names(len(shape)))
    first, other = (value.at(*names[:axis], each, *names[axis:]) for each in ("0", "i"))
    body = f"int32_t best = 0;\n{element_type(value.kind)} most = {first};\n"
    body += f"for (int32_t i = 1; i < {value.shape[axis]}; ++i) {{\n"
    body += f"  const {element_type(value.kind)} value = {other};\n  if (value > most) {{\n    most = value;\n"
    body += "    best = i;\n  }\n}\nreturn best;"
    return code.define(shape, np.int32, body, about="argmax, the first one when equal")


def _layout(code: Code, value: Value, params: Params) -> Value:
    order = [params["from"].index(letter) - 1 for letter in params["to"]][1:]
    indices = [f"i{order.index(axis)}" for axis in range(len(order))]
    about = f"layout from={params['from']} to={params['to']}"
    return code.define([value.shape[axis] for axis in order], value.kind, f"return {value.at(*indices)};", about=about)


def _expand(code: Code, value: Value, params: Params) -> Value:
    axis, rank = int(params.get("axis", -1)), len(value.shape) + 1
    place = axis + rank if axis < 0 else axis - 1
    names = index_names(rank)
    shape = (*value.shape[:place], 1, *value.shape[place:])
    body = f"return {value.at(*names[:place], *names[place + 1 :])};"
    return code.define(shape, value.kind, body, about="expand")


def _channels(code: Code, value: Value, params: Params) -> Value:
    order = [int(each) for each in params["order"]]
    axis = position(int(params.get("axis", -1)), value)
    about = f"channels order={order}"
    return _moved(code, value, axis, len(order), f"{code.table('order', _places(order))}[i{axis}]", about=about)


def _crop(code: Code, value: Value, params: Params) -> Value:
    for axis, size in _sides(params):
        start = (value.shape[axis] - size) // 2
        if size != value.shape[axis]:
            value = _moved(code, value, axis, size, f"i{axis} + {start}", about=f"crop axis {axis} to {size}")
    return value


def _pad(code: Code, value: Value, params: Params) -> Value:
    filled = np.pad(np.zeros(1, value.kind), (0, 1), constant_values=params.get("value", 0))[1]
    shape, inside, indices = list(value.shape), [], list(index_names(len(value.shape)))
    for axis, size in _sides(params):
        missing = size - shape[axis]
        start = missing // 2 if params.get("place", "middle") == "middle" else 0
        inside.append(f"i{axis} >= {start} && i{axis} < {start + shape[axis]}")
        indices[axis] = f"i{axis} - {start}"
        shape[axis] = size
    outside = literal(filled, value.kind) if value.kind.kind == "f" else str(int(filled))
    body = f"if ({' && '.join(inside)}) return {value.at(*indices)};\nreturn {outside};"
    return code.define(shape, value.kind, body, about=in_words(Step(op="pad", params=dict(params))))


def _resize(code: Code, value: Value, params: Params) -> Value:
    method = str(params.get("method", "bilinear"))
    if method == "antialias":
        raise NotWritten("'resize' with method=antialias is not written in C")
    kind = value.kind
    if method != "nearest" and kind not in _RESIZED:
        raise NotWritten(f"'resize' with method={method} of {kind.name} is not written in C")
    for axis, size in _new_sizes(value, params):
        if size != value.shape[axis]:
            value = _nearest(code, value, axis, size) if method == "nearest" else _bilinear(code, value, axis, size)
    if value.kind != kind:
        code.needs.add("to_nearest")
        body = f"return ({element_type(kind)})to_nearest({value.here});"
        value = code.define(value.shape, kind, body, about="resize: to the nearest, halves to even")
    return value


_RESIZED = {np.dtype(name) for name in ("float32", "uint8", "int8", "int16", "uint16")}
"""Types that bilinear resizing is written for: float32 holds all their values."""


def _new_sizes(value: Value, params: Params) -> list[tuple[int, int]]:
    """Return the image's axes with their new sizes, as the runtime has them."""
    layout = str(params.get("layout", "NHWC"))
    small = image.resize(
        np.zeros((1, *value.shape), np.uint8),
        height=int(params["height"]),
        width=int(params["width"]),
        method="nearest",
        layout=layout,
        fit=str(params.get("fit", "stretch")),
    )
    return [(axis, small.shape[axis + 1]) for axis, _ in _sides(params)]


def _nearest(code: Code, value: Value, axis: int, size: int) -> Value:
    places = (2 * np.arange(size) + 1) * value.shape[axis] // (2 * size)
    table = code.table("from", _places(places))
    return _moved(code, value, axis, size, f"{table}[i{axis}]", about=f"resize axis {axis} to {size}, nearest")


def _bilinear(code: Code, value: Value, axis: int, size: int) -> Value:
    old = value.shape[axis]
    centres = np.clip((np.arange(size) + 0.5) * (old / size) - 0.5, 0, old - 1)
    low = centres.astype(np.intp)
    first = code.table("from", _places(low))
    second = code.table("to", _places(np.minimum(low + 1, old - 1)))
    share = code.table("share", (centres - low).astype(np.float32))
    names, shape = list(index_names(len(value.shape))), list(value.shape)
    one, other = (value.at(*names[:axis], f"{each}[i{axis}]", *names[axis + 1 :]) for each in (first, second))
    shape[axis] = size
    body = f"const float share = {share}[i{axis}];\n"
    body += f"return (float){one} * (1.0f - share) + (float){other} * share;"
    return code.define(shape, np.float32, body, about=f"resize axis {axis} to {size}, bilinear")


def _moved(code: Code, value: Value, axis: int, size: int, index: str, *, about: str) -> Value:
    """Add a function that takes its element from elsewhere on one axis."""
    names, shape = list(index_names(len(value.shape))), list(value.shape)
    names[axis], shape[axis] = index, size
    return code.define(shape, value.kind, f"return {value.at(*names)};", about=about)


def _places(indices: Any) -> Any:
    array = np.asarray(indices)
    return array.astype(np.uint8 if array.max() < 256 else np.uint16)


def _sides(params: Params) -> list[tuple[int, int]]:
    layout = str(params.get("layout", "NHWC"))
    return [(layout.index(letter) - 1, int(params[name])) for letter, name in (("H", "height"), ("W", "width"))]


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
    "layout": _layout,
    "expand": _expand,
    "channels": _channels,
    "crop": _crop,
    "pad": _pad,
    "resize": _resize,
}
"""By name; `softmax` and a last `labels` beside them."""

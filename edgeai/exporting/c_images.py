"""Steps on images and their axes in C: elements that are moved, and resizing that mixes neighbours.

Places and shares of resizing are tables worked out here, as `edgeai_runtime.transforms.image` works them out: no
division on the device, and the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeai.exporting.c_code import Code, NotWritten, Params, Value, element_type, index_names, literal, sample_axis
from edgeai_runtime.transforms import image


def layout(code: Code, value: Value, params: Params) -> Value:
    """Add a change of the axes' order."""
    order = [params["from"].index(letter) - 1 for letter in params["to"]][1:]
    indices = [f"i{order.index(axis)}" for axis in range(len(order))]
    about = f"layout from={params['from']} to={params['to']}"
    return code.define([value.shape[axis] for axis in order], value.kind, f"return {value.at(*indices)};", about=about)


def expand(code: Code, value: Value, params: Params) -> Value:
    """Add an axis of one entry."""
    axis, rank = int(params.get("axis", -1)), len(value.shape) + 1
    place = axis + rank if axis < 0 else axis - 1
    names = index_names(rank)
    shape = (*value.shape[:place], 1, *value.shape[place:])
    body = f"return {value.at(*names[:place], *names[place + 1 :])};"
    return code.define(shape, value.kind, body, about="expand")


def channels(code: Code, value: Value, params: Params) -> Value:
    """Add a choice of channels."""
    order = [int(each) for each in params["order"]]
    axis = sample_axis(params, value)
    about = f"channels order={order}"
    return _moved(code, value, axis, len(order), f"{code.table('order', _places(order))}[i{axis}]", about=about)


def crop(code: Code, value: Value, params: Params) -> Value:
    """Add the cut of the middle."""
    for axis, size in _sides(params):
        start = (value.shape[axis] - size) // 2
        if size != value.shape[axis]:
            value = _moved(code, value, axis, size, f"i{axis} + {start}", about=f"crop axis {axis} to {size}")
    return value


def pad(code: Code, value: Value, params: Params) -> Value:
    """Add what is put around an image."""
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
    return code.define(shape, value.kind, body, about=f"pad to {params['height']} x {params['width']}")


def resize(code: Code, value: Value, params: Params) -> Value:
    """Add a change of an image's size.

    Raises:
        NotWritten: `antialias`, and `bilinear` of types that float32 does not hold.
    """
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

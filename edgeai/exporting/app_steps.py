"""Steps of a bundle as calls on a tensor, the same in Kotlin and in Swift.

The methods are those of `templates/tensor.kt.j2` and `templates/tensor.swift.j2`, which compute in float32 what
`edgeai_runtime.transforms` does in numpy, on one sample with a batch axis of 1. Sound, text and boxes are not written
there: an input with such a step is taken prepared, an output with one is given as the model gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeai_runtime.manifest import Step

Argument = float | int | bool | tuple[float, ...] | tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One method call; whole numbers are `int`, others `float`."""

    method: str
    arguments: dict[str, Argument] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Calls:
    """What is called on a tensor, one after another.

    Attributes:
        calls: the methods.
        top: of a last step `labels`, how many; else `None`.
        missing: the first step that no method is there for; then there are no calls at all.
    """

    calls: tuple[Call, ...] = ()
    top: int | None = None
    missing: str = ""


def translate_steps(steps: Sequence[Step], *, dtype: str) -> Calls:
    """Return the calls for steps that were checked when the bundle was written.

    Args:
        steps: of one input or output.
        dtype: of the array they begin with: after resizing, integers are rounded.
    """
    calls: list[Call] = []
    kind = np.dtype(dtype)
    for step in steps:
        if step.op == "labels":
            return Calls(calls=tuple(calls), top=int(step.params.get("top", 1)))
        made = _translate(step.op, step.params, kind)
        if made is None:
            return Calls(missing=step.op)
        calls += made
        kind = _kind_after(step, kind)
    return Calls(calls=tuple(calls))


def _translate(op: str, params: dict[str, Any], kind: np.dtype[Any]) -> list[Call] | None:
    if op == "cast":
        return _cast(np.dtype(params["dtype"]), kind)
    if op == "scale":
        return [
            Call(method="scale", arguments={"factor": float(params["factor"]), "offset": _number(params, "offset")})
        ]
    if op == "normalize":
        arguments: dict[str, Argument] = {"mean": _numbers(params["mean"]), "std": _numbers(params["std"])}
        return [Call(method="normalize", arguments={**arguments, "axis": int(params.get("axis", -1))})]
    if op == "dequantize":
        zero_point = _number(params, "zero_point")
        return [Call(method="dequantize", arguments={"scale": float(params["scale"]), "zeroPoint": zero_point})]
    if op == "layout":
        order = tuple(params["from"].index(letter) for letter in params["to"])
        return [Call(method="permute", arguments={"order": order})]
    if op == "channels":
        order = tuple(int(each) for each in params["order"])
        return [Call(method="takeChannels", arguments={"order": order, "axis": int(params.get("axis", -1))})]
    if op == "expand":
        return [Call(method="expand", arguments={"axis": int(params.get("axis", -1))})]
    if op in ("softmax", "argmax"):
        return [Call(method=op, arguments={"axis": int(params.get("axis", -1))})]
    if op == "sigmoid":
        return [Call(method="sigmoid")]
    return _image(op, params, kind)


def _image(op: str, params: dict[str, Any], kind: np.dtype[Any]) -> list[Call] | None:
    if op not in ("resize", "crop", "pad"):
        return None
    layout = params.get("layout", "NHWC")
    arguments: dict[str, Argument] = {"height": int(params["height"]), "width": int(params["width"])}
    arguments["vertical"] = layout.index("H")
    if op == "resize":
        method = str(params.get("method", "bilinear"))
        arguments["inside"] = params.get("fit", "stretch") == "inside"
        calls = [Call(method=f"resize{method.capitalize()}", arguments=arguments)]
        return [*calls, Call(method="round")] if kind.kind in "iu" and method != "nearest" else calls
    if op == "pad":
        arguments["value"] = _number(params, "value")
        arguments["atStart"] = params.get("place", "middle") == "start"
    return [Call(method=op, arguments=arguments)]


def _cast(target: np.dtype[Any], kind: np.dtype[Any]) -> list[Call] | None:
    """Floats stay what they are but for float16, whose rounding has no method; integers are cut off and saturate."""
    if target.kind == "b" or target == np.float16:
        return [] if target == kind else None
    if target.kind == "f" or kind == target:
        return []
    limits = np.iinfo(target)
    return [Call(method="truncate", arguments={"least": float(limits.min), "most": float(limits.max)})]


def _kind_after(step: Step, kind: np.dtype[Any]) -> np.dtype[Any]:
    if step.op == "cast":
        return np.dtype(str(step.params["dtype"]))
    if step.op in ("scale", "normalize", "dequantize", "softmax", "sigmoid"):
        return np.dtype(np.float32)
    return np.dtype(np.int64) if step.op == "argmax" else kind


def _number(params: dict[str, Any], name: str) -> float:
    return float(params.get(name, 0))


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(float(each) for each in value) if isinstance(value, (list, tuple)) else (float(value),)

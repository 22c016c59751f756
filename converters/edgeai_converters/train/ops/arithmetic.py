"""Arithmetic, comparison and logic, place by place with broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from edgeai_converters.train.ops.view import NodeView, Run, Tensor


def unary(name: str) -> Callable[[NodeView], Run]:
    """Return the operator that is `torch.<name>` of one tensor."""

    def build(view: NodeView) -> Run:
        function = getattr(view.torch, name)
        return lambda x: function(x)

    return build


def binary(name: str) -> Callable[[NodeView], Run]:
    """Return the operator that is `torch.<name>` of two tensors."""

    def build(view: NodeView) -> Run:
        function = getattr(view.torch, name)
        return lambda a, b: function(a, b)

    return build


def several(name: str) -> Callable[[NodeView], Run]:
    """Return the operator that applies `torch.<name>` to any number of tensors, pair by pair."""

    def build(view: NodeView) -> Run:
        function = getattr(view.torch, name)
        return lambda *tensors: reduce(function, tensors)

    return build


def divide(view: NodeView) -> Run:
    """Div: integers are divided towards zero."""

    def run(a: Tensor, b: Tensor) -> Tensor:
        return a / b if a.is_floating_point() else view.torch.div(a, b, rounding_mode="trunc")

    return run


def power(view: NodeView) -> Run:
    """Pow: the result has the type of the base."""
    return lambda a, b: view.torch.pow(a, b).to(a.dtype)


def modulo(view: NodeView) -> Run:
    """Mod: the sign of the divisor, or with `fmod` that of the dividend."""
    function = view.torch.fmod if view.integer("fmod", 0) else view.torch.remainder
    return lambda a, b: function(a, b)


def mean(view: NodeView) -> Run:
    """Mean of any number of tensors."""
    return lambda *tensors: sum(tensors[1:], tensors[0]) / len(tensors)


def where(view: NodeView) -> Run:
    """Where: the second input where the first holds, else the third."""
    return lambda condition, a, b: view.torch.where(condition, a, b)

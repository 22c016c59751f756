"""Checking steps and running them on a batch.

`prepare_steps` checks once and returns a function, for an app that calls a model many times; `apply_steps` is both at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from edgeai_runtime.errors import DataError, UsageError
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.operation import REQUIRED, Operation
from edgeai_runtime.transforms.table import OPERATIONS


def check_steps(steps: Sequence[Step]) -> None:
    """Check that every operation is known and every parameter is one of its own, present and of a sensible value.

    Raises:
        UsageError: names the step, the parameter, and the nearest name where one is unknown.

    Example:
        >>> check_steps([Step(op="softmax"), Step(op="labels", params={"top": 3})])
    """
    for position, step in enumerate(steps):
        _parameters(step, where=f"step {position + 1} of {len(steps)}")
        if OPERATIONS[step.op].ends and position + 1 < len(steps):
            raise UsageError(
                f"nothing can follow {step.op!r} (step {position + 1}): it gives no array",
                hint="Make it the last step.",
            )


def prepare_steps(steps: Sequence[Step], *, labels: Sequence[str] = ()) -> Callable[[Any], Any]:
    """Return a function that runs the steps on a batch, as `apply_steps` does, without checking them again.

    Raises:
        UsageError: as `check_steps`.
    """
    check_steps(steps)
    calls = [_bind(step, tuple(labels)) for step in steps]

    def run(array: Any) -> Any:
        array = _checked(array)
        for call in calls:
            array = call(array)
        return array

    return run


def apply_steps(steps: Sequence[Step], array: Any, *, labels: Sequence[str] = ()) -> Any:
    """Run `steps` one after another on `array`, which is never written to.

    Args:
        steps: what to do; none gives the array back.
        array: a batch [n, …] of numbers or bools; a single sample gets its axis from the caller.
        labels: class names for the step `labels`.

    Returns:
        An array, or for a last step `labels` a list per sample of `{"label": …, "score": …}`.

    Raises:
        UsageError: as `check_steps`.
        DataError: an array that a step can not work on.

    Example:
        >>> apply_steps([Step(op="scale", params={"factor": 2})], np.ones((1, 2), np.uint8)).tolist()
        [[2.0, 2.0]]
    """
    return prepare_steps(steps, labels=labels)(array)


def _parameters(step: Step, *, where: str) -> dict[str, Any]:
    """Return the checked parameters of a step, defaults filled in."""
    operation = OPERATIONS.get(step.op)
    if operation is None:
        raise UsageError(f"{where}: there is no operation {step.op!r}", hint=suggest(step.op, OPERATIONS))
    where = f"{where}, {step.op!r}"
    known = [parameter.name for parameter in operation.parameters]
    for name in step.params:
        if name not in known:
            raise UsageError(f"{where}: there is no parameter {name!r}", hint=suggest(name, known))
    values = {parameter.name: step.params.get(parameter.name, parameter.default) for parameter in operation.parameters}
    for parameter in operation.parameters:
        value = values[parameter.name]
        if value is REQUIRED:
            raise UsageError(f"{where}: the parameter {parameter.name!r} is missing", hint=_form(step.op, operation))
        expected = parameter.check(value)
        if expected:
            raise UsageError(f"{where}: {parameter.name!r} must be {expected}. Received: {_show(value)}")
    fault = operation.together(values) if operation.together is not None else ""
    if fault:
        raise UsageError(f"{where}: needs {fault}")
    return values


def _bind(step: Step, labels: tuple[str, ...]) -> Callable[[Any], Any]:
    operation = OPERATIONS[step.op]
    values = _parameters(step, where="step")
    arguments = {parameter.argument or parameter.name: values[parameter.name] for parameter in operation.parameters}
    if operation.takes_labels:
        arguments["names"] = labels
    return partial(operation.run, **arguments)


def _checked(array: Any) -> Any:
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise DataError(f"steps work on numbers and bools. Received: an array of dtype {array.dtype}")
    if array.ndim == 0:
        raise DataError("steps work on a batch [n, …]. Received: a single number")
    return array


def suggest(name: Any, known: Sequence[str] | dict[str, Operation]) -> str:
    """Return a hint for an unknown name: the nearest one, or all of them."""
    import difflib

    close = difflib.get_close_matches(str(name)[:80], list(known), n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(known)}." if known else "It takes no parameters."


def _form(name: str, operation: Operation) -> str:
    parts = [
        parameter.name if parameter.default is REQUIRED else f"{parameter.name}={parameter.default}"
        for parameter in operation.parameters
    ]
    return f"{name}: {', '.join(parts)}"


def _show(value: Any) -> str:
    try:
        return repr(value)[:80]
    except (ValueError, RecursionError):  # an integer with thousands of digits; a list that holds itself
        return type(value).__name__

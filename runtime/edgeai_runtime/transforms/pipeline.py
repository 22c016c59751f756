"""Checking steps and running them on a batch.

`prepare_steps` checks once and returns a function, for an app that calls a model many times; `apply_steps` is both at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
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
        if OPERATIONS[step.op].takes_text and position:
            raise UsageError(
                f"{step.op!r} (step {position + 1}) takes text, which only the first step gets",
                hint="Make it the first step.",
            )
        if OPERATIONS[step.op].ends and position + 1 < len(steps):
            raise UsageError(
                f"nothing can follow {step.op!r} (step {position + 1}): it gives no array",
                hint="Make it the last step.",
            )


def prepare_steps(
    steps: Sequence[Step], *, labels: Sequence[str] = (), assets: Mapping[str, Path] | None = None
) -> Callable[..., Any]:
    """Return a function that runs the steps on a batch, as `apply_steps` does, without checking them again.

    The function takes the batch and, where a step names other outputs (`outputs_taken`), those by name.

    Args:
        steps: what to do.
        labels: class names for the steps that take them.
        assets: the files that steps may name. A bundle's; without it, a step names a path.

    Raises:
        UsageError: as `check_steps`, or a file that is not among the assets.
        BundleError: a file that cannot be read.
    """
    check_steps(steps)
    calls = [_bind(step, tuple(labels), assets) for step in steps]
    takes_text = bool(steps) and OPERATIONS[steps[0].op].takes_text

    def run(array: Any, others: Mapping[str, Any] | None = None) -> Any:
        array = _checked(array, takes_text)
        for call, names in calls:
            if names:
                array = call(array, **{argument: _other(others, name) for argument, name in names.items()})
            else:
                array = call(array)
        return array

    return run


def outputs_taken(steps: Sequence[Step]) -> tuple[str, ...]:
    """Return the names of other outputs that the steps take in."""
    values = [
        step.params.get(parameter.name)
        for step in steps
        for parameter in OPERATIONS[step.op].parameters
        if parameter.is_output
    ]
    return tuple(name for name in values if name)


def files_named(steps: Sequence[Step]) -> tuple[str, ...]:
    """Return the names of the files that the steps need."""
    return tuple(
        step.params[parameter.name]
        for step in steps
        for parameter in OPERATIONS[step.op].parameters
        if parameter.read is not None
    )


def axes_added(steps: Sequence[Step]) -> int:
    """Return by how much the result's rank differs from the raw array's; a text has no axes of its own."""
    return sum(OPERATIONS[step.op].adds_axes for step in steps)


def apply_steps(
    steps: Sequence[Step],
    array: Any,
    *,
    labels: Sequence[str] = (),
    assets: Mapping[str, Path] | None = None,
    others: Mapping[str, Any] | None = None,
) -> Any:
    """Run `steps` one after another on `array`, which is never written to.

    Args:
        steps: what to do; none gives the array back.
        array: a batch [n, …] of numbers or bools, or [n] text for `tokenize`; a single sample gets its axis from the
            caller.
        labels: class names for the steps that take them.
        assets: the files that steps may name; without it, a step names a path.
        others: results of other outputs by name, for steps that take them.

    Returns:
        An array, or for a last step `labels` or `detect` a list per sample of `{"label": …, "score": …}`.

    Raises:
        UsageError: as `check_steps`.
        DataError: an array that a step cannot work on.

    Example:
        >>> apply_steps([Step(op="scale", params={"factor": 2})], np.ones((1, 2), np.uint8)).tolist()
        [[2.0, 2.0]]
    """
    return prepare_steps(steps, labels=labels, assets=assets)(array, others)


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


def _bind(
    step: Step, labels: tuple[str, ...], assets: Mapping[str, Path] | None
) -> tuple[Callable[..., Any], dict[str, str]]:
    """Return the operation with its parameters, and which argument takes which other output."""
    operation = OPERATIONS[step.op]
    values = _parameters(step, where="step")
    arguments: dict[str, Any] = {}
    others: dict[str, str] = {}
    for parameter in operation.parameters:
        value, argument = values[parameter.name], parameter.argument or parameter.name
        if parameter.is_output and value:
            others[argument] = value
            continue
        if parameter.is_output:
            value = None
        elif parameter.read is not None:
            value = parameter.read(_asset(step, value, assets))
        arguments[argument] = value
    if operation.takes_labels:
        arguments["names"] = labels
    return partial(operation.run, **arguments), others


def _asset(step: Step, name: str, assets: Mapping[str, Path] | None) -> Path:
    if assets is None:
        return Path(name)
    if name not in assets:
        raise UsageError(
            f"{step.op!r} names the file {name[:80]!r}, which is not among the bundle's assets",
            hint=f"Its assets: {', '.join(assets) or 'none'}.",
        )
    return assets[name]


def _other(others: Mapping[str, Any] | None, name: str) -> Any:
    if others is None or name not in others:
        known = f"The others: {', '.join(others)}." if others else ""
        raise DataError(f"a step takes the output {name!r}, which is not there", hint=known)
    return others[name]


def _checked(array: Any, takes_text: bool) -> Any:
    array = np.asarray(array)
    if takes_text:
        if array.dtype.kind == "O" and array.size and all(isinstance(item, str) for item in array.flat):
            array = array.astype(np.str_)
        if array.dtype.kind != "U" or array.ndim != 1:
            raise DataError(
                f"'tokenize' takes a list of texts. Received: an array of {array.dtype}, shape {array.shape}"
            )
        return array
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

"""Samples from a user's function: `module:function` or `path/to/file.py:function`.

The function takes nothing and returns the samples, or `(samples, labels)`. Samples are one array `[n, …]`, or a dict
with one array per input of the model. Labels are an array `[n]` or `[n, …]`, or `None`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.calibrate.samples import ArraySamples, choose_arrays
from edgeai_converters.workfolder import digest_of_path
from edgeai_runtime.errors import DataError, UsageError
from edgeai_runtime.manifest import TensorSpec

_HINT = "It takes no arguments and returns (x, y), x alone, or ({input: array, …}, y)."


def read_function(
    text: str, *, inputs: Sequence[TensorSpec], key_suffix: str | None, class_names: Sequence[str]
) -> ArraySamples:
    """Call the function named by `text` and take what it returns.

    Raises:
        UsageError: there is no such module or function.
        DataError: the function fails, or returns something else than arrays.
    """
    function = load_function(text)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what it prints is for people, not part of our output
            returned = function()
    except Exception as error:  # the user's code may raise anything; its own words are what helps
        raise DataError(f"{text}: the function failed: {type(error).__name__}: {error}", hint=_HINT) from error
    samples, labels = returned if isinstance(returned, tuple) and len(returned) == 2 else (returned, None)
    named = dict(samples) if isinstance(samples, Mapping) else {"x": samples}
    arrays = {str(name): _array(value, text, str(name)) for name, value in named.items()}
    if labels is None and "y" in arrays and "y" not in {spec.name for spec in inputs}:
        labels = arrays.pop("y")
    chosen = choose_arrays(list(arrays), inputs=inputs, selection=None, key_suffix=key_suffix, where=text)
    return ArraySamples(
        where=text,
        arrays={name: arrays[array] for name, array in chosen.inputs.items()},
        labels=None if labels is None else _array(labels, text, "y"),
        class_names=tuple(class_names),
    )


def digest_of_function(text: str) -> str:
    """Return the digest of the file that a function is in, when it is named by its file; else nothing."""
    file = Path(text.rpartition(":")[0])
    return digest_of_path(file) if file.suffix == ".py" and file.is_file() else ""


def load_function(text: str) -> Callable[..., Any]:
    """Import the function named `module:function` or `path/to/file.py:function`.

    Modules are looked for in the current folder too.

    Raises:
        UsageError: the text has another form, or there is no such module or function.
    """
    module_name, _, function_name = text.rpartition(":")
    if not module_name or not function_name.isidentifier():
        raise UsageError(f"Not of the form module:function. Received: {text!r}", hint="For example my_data:load")
    with contextlib.redirect_stdout(sys.stderr):
        module = _import_file(Path(module_name)) if module_name.endswith(".py") else _import_module(module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        there = ", ".join(name for name, value in vars(module).items() if callable(value) and not name.startswith("_"))
        raise UsageError(
            f"The module {module_name} has no function {function_name!r}.",
            hint=f"Functions there: {there}" if there else "",
        )
    return function  # type: ignore[no-any-return]  # callable() narrows to Callable[..., object]


def _import_module(name: str) -> Any:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"There is no module {error.name!r} (from {name!r}), neither installed nor in {folder}.",
            hint="Give module:function for a module that Python can import from here, or path/to/file.py:function.",
        ) from error
    except Exception as error:  # the user's module may raise anything while it is imported
        raise UsageError(f"The module {name} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise UsageError(f"There is no file {path}.", hint="Give path/to/file.py:function.")
    spec = importlib.util.spec_from_file_location(f"edgeai_user_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # as above
        raise UsageError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    return module


def _array(value: Any, text: str, name: str) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except Exception as error:  # tensors of other libraries may refuse in their own ways
        raise DataError(f"{text}: {name} is not an array ({type(value).__name__}): {error}", hint=_HINT) from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{text}: {name} has dtype {array.dtype}, not numbers.", hint=_HINT)
    return array

"""Delegates that come as a shared library of their own, and are loaded by name: Edge TPU, VX, Ethos-U, Teflon, QNN …

The libraries are their vendors'; none is shipped here. A library runs inside this process from the moment it is
loaded: try it in a child process first (`isolation`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from edgeai_runtime.delegates.litert_libraries import LIBRARIES
from edgeai_runtime.engines.captured_log import capture_log
from edgeai_runtime.errors import PlacementError, UsageError
from edgeai_runtime.placement import Device

_ENTRY_POINTS = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")


def library_file(delegate: str, options: Mapping[str, str]) -> str:
    """Return the library to load: the option `library`, else the delegate's usual file name.

    Raises:
        UsageError: `litert:external` without the option.
    """
    file = options.get("library") or LIBRARIES[delegate].file
    if not file:
        raise UsageError(f"{delegate} needs the option library, the path of a delegate's shared library")
    return file


def check_library(delegate: str, file: str) -> None:
    """Load the shared library `file` and look for the two functions of a delegate.

    Raises:
        PlacementError: it is missing, cannot be loaded, or is not a delegate.
    """
    try:
        library = ctypes.CDLL(file)
    except OSError as error:
        raise PlacementError(
            f"{delegate} needs the library {file}, which cannot be loaded: {error}",
            hint=f"it comes with {LIBRARIES[delegate].source}; option library=PATH names one that lies elsewhere",
        ) from error
    missing = [name for name in _ENTRY_POINTS if not hasattr(library, name)]
    if missing:
        raise PlacementError(
            f"{delegate}: {file} is a shared library, but not a LiteRT delegate: it has no {' and no '.join(missing)}",
            hint=f"the delegate comes with {LIBRARIES[delegate].source}",
        )


def load_library(module: Any, delegate: str, options: Mapping[str, str]) -> Any:
    """Return the delegate made by its library, for `Interpreter(experimental_delegates=[…])`.

    Args:
        module: the one that has `load_delegate`.
        delegate: the delegate's name.
        options: `library`, and whatever else the library understands.

    Raises:
        PlacementError: there is no such library, it is no delegate, or it finds no device.
    """
    file = library_file(delegate, options)
    check_library(delegate, file)
    failure: Exception | None = None
    with capture_log() as log:
        try:
            made = module.load_delegate(file, own_options(delegate, options))
        except (ValueError, RuntimeError) as error:
            failure = error
    if failure is not None:
        raise PlacementError(
            f"{delegate}: {file} made no delegate: {str(failure).strip() or 'it does not say why'}{log.tail()}",
            hint="its device is missing, in use or not permitted to this user, or an option is wrong",
        ) from failure
    return made


def own_options(delegate: str, options: Mapping[str, str]) -> dict[str, str]:
    """Return what is handed to the library: its defaults here, and the caller's options but `library`."""
    given = {key: value for key, value in options.items() if key != "library"}
    return {**LIBRARIES[delegate].defaults, **given}


def device_of(delegate: str, device: Device, options: Mapping[str, str]) -> Device:
    """Return what a partition of the delegate runs on: `device`, unless an option says otherwise.

    A library that chooses among several devices by itself is `unknown`.
    """
    chosen = own_options(delegate, options)
    if delegate == "litert:qnn":
        backends: dict[str, Device] = {"htp": "npu", "dsp": "npu", "gpu": "gpu"}
        return backends.get(chosen["backend_type"], "unknown")
    if delegate == "litert:armnn":
        arm: dict[str, Device] = {"GpuAcc": "gpu", "CpuAcc": "cpu", "CpuRef": "cpu"}
        found = {arm.get(name.strip(), "unknown") for name in chosen["backends"].split(",")}
        return found.pop() if len(found) == 1 else "unknown"
    return device

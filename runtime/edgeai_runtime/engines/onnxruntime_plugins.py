"""Execution providers of ONNX Runtime that come as libraries of their own: found, registered, asked for devices."""

from __future__ import annotations

import importlib
import importlib.util
import threading
from typing import Any

from edgeai_runtime.engines.captured_log import capture_log
from edgeai_runtime.errors import PlacementError

_LOCK = threading.Lock()
_REGISTERED: dict[str, str] = {}  # provider → library, in this process


def is_built_in(ort: Any, name: str) -> bool:
    """Say whether the provider `name` is built into onnxruntime, which lists registered plugins too."""
    return name in ort.get_available_providers() and name not in _REGISTERED


def library_of(module: str) -> str:
    """Return the path of the plugin in the Python package `module`, or an empty text when it is not installed.

    Raises:
        PlacementError: the package is there, but damaged.
    """
    if not module or importlib.util.find_spec(module) is None:
        return ""
    try:
        return str(importlib.import_module(module).get_library_path())
    except Exception as error:
        raise PlacementError(f"{module} is installed, but does not tell its library: {error}") from error


def plugin_devices(
    ort: Any, name: str, *, package: str, module: str, hardware: str, strict: bool, library: str = ""
) -> list[Any]:
    """Return what the plugin of the provider `name` offers here: one `OrtEpDevice`, of the type asked for.

    Args:
        ort: the module `onnxruntime`, recent enough to have `get_ep_devices`.
        name: the provider, as its plugin calls it.
        package: the distribution to install, for the message.
        module: its Python module.
        hardware: `CPU`, `GPU` or `NPU`.
        strict: no device of that type is an error; else another one will do.
        library: the plugin's path when it is not that of `module`.

    Raises:
        PlacementError: no plugin, one that does not load, or one that offers no such device.
    """
    library = library or library_of(module)
    if not library:
        raise PlacementError(f"onnxruntime {ort.__version__} has no {name}", hint=f"pip install {package}")
    with _LOCK:
        if _REGISTERED.get(name, library) != library:
            raise PlacementError(
                f"the plugin of {name} is {_REGISTERED[name]} in this process already. Received: {library}",
                hint="one process uses one library for a provider",
            )
        if name not in _REGISTERED:
            failure = None
            with capture_log() as log:
                try:
                    ort.register_execution_provider_library(name, library)
                except Exception as error:
                    failure = error
            if failure is not None and "already registered" not in str(failure):
                raise PlacementError(
                    f"the plugin of {name} cannot be loaded: {str(failure).strip()}{log.tail()}",
                    hint=f"{package} and onnxruntime {ort.__version__} may not belong together",
                ) from failure
            _REGISTERED[name] = library
    offered = [device for device in ort.get_ep_devices() if device.ep_name == name]
    types = {id(device): device.device.type.name for device in offered}
    fitting = [device for device in offered if types[id(device)] == hardware]
    if not fitting and (strict or not offered):
        found = ", ".join(f"{types[id(device)]} ({device.device.vendor})" for device in offered) or "no device at all"
        raise PlacementError(
            f"the plugin of {name} is installed, but finds no {hardware} here: it offers {found}",
            hint="check that the hardware is there and its driver is installed",
        )
    return (fitting or offered)[:1]

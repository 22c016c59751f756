"""Probe the execution providers of ONNX Runtime: which are built in or installed, and what hardware they find.

A plugin is loaded and asked in a child process: it brings a driver's libraries with it, and may not go with others.
"""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeai_runtime.delegates.probe import Probe
from edgeai_runtime.engines.onnxruntime_plugins import is_built_in, library_of, plugin_devices
from edgeai_runtime.engines.onnxruntime_providers import PROVIDERS, Provider
from edgeai_runtime.errors import EdgeAIError

_PROBE_TIMEOUT_S = 60.0
_X86 = ("x86_64", "AMD64", "i686")

#: What a classic provider needs of the system: a file that its driver makes, or a system it exists on.
_DRIVER_FILES = {
    "CUDAExecutionProvider": ("/proc/driver/nvidia/version", "NVIDIA driver"),
    "TensorrtExecutionProvider": ("/proc/driver/nvidia/version", "NVIDIA driver"),
    "MIGraphXExecutionProvider": ("/dev/kfd", "AMD ROCm driver"),
}


def probe_provider(delegate: str) -> Probe:
    """Return what is known of the provider behind `delegate` without loading a model."""
    ort = importlib.import_module("onnxruntime")
    provider = PROVIDERS[delegate]
    if is_built_in(ort, provider.name):
        return _classic(ort, provider)
    library = library_of(provider.module)
    if not library:
        missing = f", and {provider.package} is not installed" if provider.package != "onnxruntime" else ""
        return Probe(present=False, reason=f"the installed onnxruntime has no {provider.name}{missing}")
    version = _version(provider.package)
    if not hasattr(ort, "get_ep_devices"):
        return Probe(present=False, reason=f"onnxruntime {ort.__version__} is too old for plugins", driver=version)
    simulated = platform.machine() in _X86 and provider.module == "onnxruntime_qnn"
    if simulated and provider.hardware != "NPU":
        return Probe(present=False, reason="there is no Adreno GPU beside an x86 processor", driver=version)
    from edgeai_runtime.isolation import call_in_child

    try:
        found = call_in_child(
            f"{__name__}:ask_plugin",
            {"delegate": delegate, "library": library},
            timeout_s=_PROBE_TIMEOUT_S,
            what=f"the plugin of {provider.name}",
        )
    except EdgeAIError as error:
        return Probe(present=False, reason=error.message, driver=version)
    devices = ("Hexagon NPU, simulated",) if simulated else tuple(found["devices"])
    return Probe(present=True, driver=version, devices=devices, emulated=simulated)


def ask_plugin(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the devices that a plugin offers, in words; called in the child."""
    ort = importlib.import_module("onnxruntime")
    provider = PROVIDERS[request["delegate"]]
    devices = plugin_devices(
        ort,
        provider.name,
        package=provider.package,
        module=provider.module,
        hardware=provider.hardware,
        strict=provider.strict,
        library=request["library"],
    )
    return {"devices": [f"{one.device.type.name} {one.device.vendor}".strip() for one in devices]}


def _classic(ort: Any, provider: Provider) -> Probe:
    version = _version(provider.package) or f"onnxruntime {ort.__version__}"
    needed = _DRIVER_FILES.get(provider.name)
    if needed is None or not sys.platform.startswith("linux"):
        return Probe(present=True, driver=version)
    path, words = needed
    if not Path(path).exists():
        return Probe(present=False, reason=f"{provider.name} is built in, but there is no {words} ({path})")
    first = Path(path).read_text().splitlines()[0] if path.startswith("/proc") else version
    return Probe(present=True, driver=first)


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""

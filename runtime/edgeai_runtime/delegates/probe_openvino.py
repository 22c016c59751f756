"""Probe OpenVINO's devices: which plugins load, which hardware they find, with which driver.

A GPU's or NPU's plugin brings its driver's libraries, so all of them are asked in one child process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from edgeai_runtime.delegates.probe import Probe
from edgeai_runtime.engines.openvino_library import DEVICES, core, short

_PROBE_TIMEOUT_S = 60.0
_DRIVER = {"GPU": "GPU_DRIVER_VERSION", "NPU": "NPU_DRIVER_VERSION"}


def probe_device(delegate: str) -> Probe:
    """Return what OpenVINO says of the device behind `delegate` without compiling a model."""
    name = DEVICES[delegate]
    if name == "CPU":
        answer = _describe("CPU")
    else:
        answer = _ask_all()[name]
    return Probe(**{**answer, "devices": tuple(answer["devices"])})


def ask_devices(_: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `Probe` for each device but the CPU; called in the child."""
    return {name: _describe(name) for name in DEVICES.values() if name != "CPU"}


@functools.lru_cache(maxsize=1)
def _ask_all() -> dict[str, Any]:
    from edgeai_runtime.isolation import call_in_child

    return call_in_child(
        f"{__name__}:ask_devices", {}, timeout_s=_PROBE_TIMEOUT_S, what="asking OpenVINO for its devices"
    )


def _describe(name: str) -> dict[str, Any]:
    version = f"openvino {_ask(lambda: core().get_versions('CPU')['CPU'].build_number)[0].partition('-')[0]}"
    found = [name] if name == "CPU" else list(core().available_devices)
    if name in ("AUTO", "HETERO"):
        return {"present": bool(found), "driver": version, "devices": found}
    devices = [
        _ask(functools.partial(core().get_property, device, "FULL_DEVICE_NAME"))[0] or device
        for device in found
        if device.partition(".")[0] == name
    ]
    if not devices:
        why = _ask(lambda: core().get_property(name, "AVAILABLE_DEVICES"))[1]
        reason = f"OpenVINO finds no {name}: {why or 'there is none, or no driver for it'}"
        return {"present": False, "reason": reason, "driver": version, "devices": []}
    driver = _ask(lambda: core().get_property(name, _DRIVER[name]))[0] if name in _DRIVER else ""
    return {"present": True, "driver": f"{version}, {name} driver {driver}" if driver else version, "devices": devices}


def _ask(question: Callable[[], Any]) -> tuple[str, str]:
    """Return the answer and an empty text, or an empty text and why there is none."""
    try:
        return str(question()), ""
    except (RuntimeError, KeyError) as error:
        return "", short(error)

"""Whether LiteRT's GPU, NPU and library delegates can be used here, without loading a model.

What is asked of a driver or a vendor's library is asked in a child process: both may take the process down.
"""

from __future__ import annotations

import ctypes
import functools
import glob
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeai_runtime.delegates.litert_libraries import LIBRARIES
from edgeai_runtime.delegates.probe import Probe
from edgeai_runtime.errors import EdgeAIError
from edgeai_runtime.isolation import call_in_child

_PROBE_S = 30.0
_VK_OUT_OF_DATE = "no Vulkan driver answers"


def probe_gpu(name: str) -> Probe:
    """Say whether LiteRT's GPU accelerator and a GPU's driver are here."""
    folder = _package_folder()
    if folder is None or not (folder / "compiled_model.py").is_file():
        return Probe(present=False, reason=f"{name} needs ai-edge-litert 2.3, which is not installed")
    libraries = sorted(path.name for path in folder.glob("libLiteRt*Accelerator.*"))
    if not libraries:
        return Probe(present=False, reason="this build of ai-edge-litert has no GPU accelerator")
    if not sys.platform.startswith("linux"):
        return Probe(present=True, driver=", ".join(libraries))  # Metal and Direct3D come with the system
    try:
        found = _in_child("list_vulkan_devices", {})
    except EdgeAIError as error:
        return Probe(present=False, reason=f"the Vulkan driver cannot be asked: {error.message}")
    if not found["devices"]:
        return Probe(present=False, reason=found["reason"])
    devices = tuple(device["name"] for device in found["devices"])
    return Probe(
        present=True,
        driver=", ".join(dict.fromkeys(device["driver"] for device in found["devices"])),
        devices=devices,
        emulated=all(device["software"] for device in found["devices"]),
    )


def probe_npu(name: str) -> Probe:
    """Say whether a vendor's dispatch library is in the package, and loads."""
    folder = _package_folder()
    if folder is None:
        return Probe(present=False, reason=f"{name} needs ai-edge-litert 2.3, which is not installed")
    libraries = sorted(folder.glob("vendors/*/dispatch/*LiteRtDispatch*"))
    if not libraries:
        return Probe(present=False, reason="this build of ai-edge-litert has no vendor's dispatch library")
    reasons = []
    for library in libraries:
        vendor = library.parts[-3]
        compilers = sorted(folder.glob(f"vendors/{vendor}/compiler/*LiteRtCompilerPlugin*"))
        wrong = [reason for file in (library, *compilers) if (reason := _why_not_loaded(str(file)))]
        if not wrong:
            return Probe(present=True, driver=vendor)
        reasons.append(f"{vendor}: {wrong[0]}")
    return Probe(present=False, reason="; ".join(reasons))


def probe_library(name: str) -> Probe:
    """Say whether a delegate's shared library and its hardware are here."""
    library = LIBRARIES[name]
    if not library.file:
        return Probe(present=True, reason="")  # the user's own: named when a model is loaded
    signs = [sign for sign in library.hardware if _is_here(sign)]
    if not signs:
        looked = ", ".join(library.hardware)
        return Probe(present=False, reason=f"its hardware is not here (looked for {looked})")
    reason = _why_not_loaded(library.file)
    if reason:
        return Probe(present=False, reason=f"{library.file}, from {library.source}, cannot be loaded: {reason}")
    return Probe(present=True, driver=library.file, devices=tuple(signs))


def list_vulkan_devices(_: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{devices: [{name, driver, software}], reason}` by the Vulkan loader; called in a child process."""
    try:
        vulkan = ctypes.CDLL("libvulkan.so.1")
    except OSError as error:
        return {"devices": [], "reason": f"there is no Vulkan loader (Debian: libvulkan1): {error}"}
    info = (ctypes.c_uint64 * 8)(1)  # VkInstanceCreateInfo: sType 1, everything else empty
    instance = ctypes.c_void_p()
    status = vulkan.vkCreateInstance(info, None, ctypes.byref(instance))
    if status:
        return {"devices": [], "reason": f"{_VK_OUT_OF_DATE}: vkCreateInstance gives {status}"}
    count = ctypes.c_uint32(0)
    vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    handles = (ctypes.c_void_p * max(count.value, 1))()
    vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), handles)
    devices = []
    for handle in handles[: count.value]:
        properties = (ctypes.c_uint32 * 512)()  # VkPhysicalDeviceProperties takes 824 bytes
        vulkan.vkGetPhysicalDeviceProperties(ctypes.c_void_p(handle), properties)
        version, kind = properties[0], properties[4]
        name = bytes(properties)[20:276].split(b"\0")[0].decode(errors="replace")
        driver = f"Vulkan {version >> 22}.{version >> 12 & 1023}.{version & 4095}, driver {properties[1]:#x}"
        devices.append({"name": name, "driver": driver, "software": kind == 4})
    return {"devices": devices, "reason": "" if devices else f"{_VK_OUT_OF_DATE}: it lists no device"}


def load_shared_library(request: Mapping[str, Any]) -> dict[str, str]:
    """Load `request["file"]` and return `{reason}`, empty when it loads; called in a child process."""
    try:
        ctypes.CDLL(request["file"])
    except OSError as error:
        return {"reason": str(error)}
    return {"reason": ""}


def _why_not_loaded(file: str) -> str:
    try:
        return str(_in_child("load_shared_library", {"file": file})["reason"])
    except EdgeAIError as error:
        return error.message


def _in_child(function: str, request: Mapping[str, Any]) -> dict[str, Any]:
    return call_in_child(f"{__name__}:{function}", request, timeout_s=_PROBE_S, what=f"probing {request or 'Vulkan'}")


@functools.cache
def _package_folder() -> Path | None:
    spec = importlib.util.find_spec("ai_edge_litert")
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _is_here(sign: str) -> bool:
    if sign.startswith("os:"):
        android = hasattr(sys, "getandroidapilevel")
        return android if sign == "os:android" else sys.platform == sign[3:]
    if sign.startswith("usb:"):
        _, vendor, product = sign.split(":")
        return any(
            file.read_text().strip() == vendor and (file.parent / "idProduct").read_text().strip() == product
            for file in Path("/sys/bus/usb/devices").glob("*/idVendor")
        )
    return bool(glob.glob(sign))

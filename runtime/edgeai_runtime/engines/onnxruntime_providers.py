"""ONNX Runtime's execution providers, by delegate: what each is called, where it comes from, how a session gets it.

A provider is *classic*, built into the installed `onnxruntime`, or a *plugin*: a library that a package of its own
brings and that is registered once per process. See `onnxruntime_plugins.py` for the second kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeai_runtime.delegates.option_names import CONTEXT, SESSION
from edgeai_runtime.delegates.table import DELEGATES
from edgeai_runtime.engines.onnxruntime_plugins import is_built_in, plugin_devices
from edgeai_runtime.engines.onnxruntime_settings import CPU
from edgeai_runtime.errors import PlacementError
from edgeai_runtime.placement import Device
from edgeai_runtime.record import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Provider:
    """How a delegate is reached.

    Attributes:
        name: ONNX Runtime's name of the provider.
        package: the distribution to install.
        module: the plugin's Python module; empty where the provider is always classic.
        hardware: the type of device that is taken of a plugin: `CPU`, `GPU`, `NPU`.
        strict: a plugin without such a device is not used.
        options: provider options that make it this delegate.
        others: classic providers behind it that run on the same device, for what it leaves.
    """

    name: str
    package: str
    module: str = ""
    hardware: str = ""
    strict: bool = True
    options: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()


def _qnn(backend: str, hardware: str) -> Provider:
    return Provider(
        name="QNNExecutionProvider",
        package="onnxruntime-qnn",
        module="onnxruntime_qnn",
        hardware=hardware,
        strict=False,  # where ONNX Runtime does not know the NPU, the plugin offers itself as a CPU
        options={"backend_type": backend},
    )


def _openvino(device: str) -> Provider:
    return Provider(
        name="OpenVINOExecutionProvider",
        package="onnxruntime-ep-openvino",
        module="onnxruntime_ep_openvino",
        hardware=device,
    )


PROVIDERS: dict[str, Provider] = {
    "onnxruntime:cpu": Provider(name=CPU, package="onnxruntime"),
    "onnxruntime:xnnpack": Provider(name="XnnpackExecutionProvider", package="onnxruntime"),
    "onnxruntime:qnn-htp": _qnn("htp", "NPU"),
    "onnxruntime:qnn-gpu": _qnn("gpu", "GPU"),
    "onnxruntime:openvino-cpu": _openvino("CPU"),
    "onnxruntime:openvino-gpu": _openvino("GPU"),
    "onnxruntime:openvino-npu": _openvino("NPU"),
    "onnxruntime:cuda": Provider(name="CUDAExecutionProvider", package="onnxruntime-gpu"),
    "onnxruntime:tensorrt": Provider(
        name="TensorrtExecutionProvider", package="onnxruntime-gpu", others=("CUDAExecutionProvider",)
    ),
    "onnxruntime:directml": Provider(name="DmlExecutionProvider", package="onnxruntime-directml"),
    "onnxruntime:coreml": Provider(name="CoreMLExecutionProvider", package="onnxruntime"),
    "onnxruntime:nnapi": Provider(name="NnapiExecutionProvider", package="onnxruntime"),
    "onnxruntime:webgpu": Provider(
        name="WebGpuExecutionProvider", package="onnxruntime-ep-webgpu", module="onnxruntime_ep_webgpu", hardware="GPU"
    ),
    "onnxruntime:vitisai": Provider(name="VitisAIExecutionProvider", package="onnxruntime-vitisai"),
    "onnxruntime:migraphx": Provider(name="MIGraphXExecutionProvider", package="onnxruntime-migraphx"),
}


def device_of(ep_name: str, delegate: str) -> tuple[Device, str]:
    """Return the device and delegate of the operations that a session on `delegate` gave to the provider `ep_name`."""
    if PROVIDERS[delegate].name != ep_name:
        delegate = next((name for name, one in PROVIDERS.items() if one.name == ep_name), f"onnxruntime:{ep_name}")
    spec = DELEGATES.get(delegate)
    return (spec.device if spec is not None else "unknown"), delegate


def add_provider(ort: Any, settings: Any, delegate: str, options: Mapping[str, str], threads: int) -> list[Any] | None:
    """Ask for the delegate's provider in `settings`, and return the classic providers to give to the session.

    Args:
        ort: the module `onnxruntime`.
        settings: its `SessionOptions`; a plugin is added to them.
        delegate: a name in `PROVIDERS`.
        options: the delegate's options, checked; those that are the session's own are skipped.
        threads: as for `Engine.open`.

    Raises:
        PlacementError: this onnxruntime has no such provider, or its plugin cannot be used here.
    """
    provider = PROVIDERS[delegate]
    wanted = {**provider.options, **{key: value for key, value in options.items() if _is_providers(key)}}
    if is_built_in(ort, provider.name) and "library_path" not in options:
        if provider.name == "XnnpackExecutionProvider":
            wanted.setdefault("intra_op_num_threads", str(threads))
        if provider.name == "DmlExecutionProvider":
            settings.enable_mem_pattern = False  # its arrays move
        if provider.name == "OpenVINOExecutionProvider":
            wanted["device_type"] = provider.hardware
        return [(provider.name, wanted), *(one for one in provider.others if is_built_in(ort, one))]
    if not hasattr(ort, "get_ep_devices"):
        raise PlacementError(
            f"onnxruntime {ort.__version__} has no {provider.name}, and is too old for plugins",
            hint=f"install {provider.package}, and update onnxruntime",
        )
    devices = plugin_devices(
        ort,
        provider.name,
        package=provider.package,
        module=provider.module,
        hardware=provider.hardware,
        strict=provider.strict,
        library=options.get("library_path", ""),
    )
    settings.add_provider_for_devices(devices, wanted)
    return None


def _is_providers(key: str) -> bool:
    return key not in SESSION and key not in CONTEXT and key != "library_path" and not key.startswith("dimension.")

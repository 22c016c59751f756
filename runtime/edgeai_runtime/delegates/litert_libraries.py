"""LiteRT's delegates that are not the CPU: their options, and the shared libraries of those that are loaded by name.

None of the libraries is shipped here: they are their vendors'.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgeai_runtime.delegates.option_names import DelegateOption as _O
from edgeai_runtime.placement import Device
from edgeai_runtime.record import dataclass, field

GPU = {
    "precision": _O("f32", "f16: compute in half precision: faster on most GPUs, and less exact"),
    "software": _O("no", "yes: take a GPU that is a program on the CPU, for tests"),
}
NPU = {
    "compiler_plugins": _O("those in ai-edge-litert", "the folder of the vendor's compiler plugin"),
    "dispatch": _O("those in ai-edge-litert", "the folder of the vendor's dispatch library"),
}
_LIBRARY = {
    "library": _O("", "the path of the delegate's shared library, when it is not found by its usual name"),
    "*": _O("", "anything else is handed to the library"),
}


@dataclass(frozen=True, kw_only=True)
class ExternalLibrary:
    """A delegate that is a shared library.

    Attributes:
        file: its usual file name; empty: the user names it.
        source: where it comes from.
        device: what it runs on; `unknown` when it chooses by itself.
        hardware: signs of the hardware, any of which will do: a device node (glob), `usb:<vendor>:<product>`, or
            `os:<platform>`.
        precisions: what of a model it can run.
        defaults: options that the library is given when the caller does not say otherwise.
    """

    file: str
    source: str
    device: Device = "npu"
    hardware: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("int8",)
    defaults: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs(self) -> str:
        """Say what must be present."""
        return f"{self.file} ({self.source}) and its hardware" if self.file else self.source

    @property
    def options(self) -> dict[str, _O]:
        """Return the options for the table."""
        return {**_LIBRARY, **{name: _O(value, "see the library's manual") for name, value in self.defaults.items()}}


_ANY = ("float32", "float16", "int8")

LIBRARIES = {
    "litert:edgetpu": ExternalLibrary(
        file="libedgetpu.so.1",
        source="Coral's package libedgetpu1-std",
        hardware=("/dev/apex_*", "usb:1a6e:089a", "usb:18d1:9302"),
    ),
    "litert:vx": ExternalLibrary(
        file="libvx_delegate.so", source="VeriSilicon's tflite-vx-delegate", hardware=("/dev/galcore",)
    ),
    "litert:ethosu": ExternalLibrary(
        file="libethosu_delegate.so", source="NXP's tflite-ethosu-delegate", hardware=("/dev/ethosu*",)
    ),
    "litert:teflon": ExternalLibrary(
        file="libteflon.so",
        source="Mesa built with -Dteflon=true",
        hardware=("/dev/accel/accel*", "/dev/dri/renderD*"),
    ),
    "litert:qnn": ExternalLibrary(
        file="libQnnTFLiteDelegate.so",
        source="Qualcomm AI Engine Direct",
        hardware=("/dev/fastrpc-*", "/dev/adsprpc-smd*", "/dev/kgsl-3d0"),
        precisions=_ANY,
        defaults={"backend_type": "htp"},
    ),
    "litert:armnn": ExternalLibrary(
        file="libarmnnDelegate.so",
        source="Arm NN",
        device="gpu",
        hardware=("/dev/mali*", "/dev/dri/renderD*"),
        precisions=_ANY,
        defaults={"backends": "GpuAcc"},
    ),
    "litert:coreml": ExternalLibrary(
        file="libtensorflowlite_coreml_delegate.dylib",
        source="built from TensorFlow Lite's sources for macOS",
        device="unknown",
        hardware=("os:darwin",),
        precisions=("float32", "float16"),
    ),
    "litert:nnapi": ExternalLibrary(
        file="libnnapi_external_delegate.so",
        source="built from TensorFlow Lite's sources for Android before 15",
        device="unknown",
        hardware=("os:android",),
        precisions=_ANY,
    ),
    "litert:external": ExternalLibrary(
        file="", source="a delegate's shared library, named by the option library", device="unknown", precisions=_ANY
    ),
}

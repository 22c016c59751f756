"""The table of delegates that this runtime can use. A device that is not in it is never claimed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from edgeai_runtime.delegates import litert_libraries as litert
from edgeai_runtime.delegates import option_names as names
from edgeai_runtime.delegates.option_names import DelegateOption
from edgeai_runtime.manifest import Format
from edgeai_runtime.placement import Device
from edgeai_runtime.record import dataclass, field


@dataclass(frozen=True, kw_only=True)
class DelegateSpec:
    """One way an engine reaches hardware.

    Attributes:
        name: `<engine>:<delegate>`.
        engine: the engine's name in `engines/table.py`.
        device: what it runs on. XNNPACK is the CPU. `unknown`: the delegate itself decides, model by model.
        verified: how far it was tried: `none`, `emulated` (a simulator), `device` (real hardware).
        needs: what must be present, in words.
        probe: `package.module:function`, called with the delegate's name, that returns a `probe.Probe`; imported when
            asked. Empty: present when its engine is.
        options: what `Engine.open` takes as `options` for it, by name.
        static_shapes: every dimension of the model must be fixed.
        precisions: what of a model it can run; anything else is left to the CPU.
        formats: the formats of artifacts it loads.
    """

    name: str
    engine: str
    device: Device
    verified: Literal["none", "emulated", "device"]
    needs: str
    probe: str = ""
    options: Mapping[str, DelegateOption] = field(default_factory=dict)
    static_shapes: bool = False
    precisions: tuple[str, ...] = ("float32", "float16", "int8")
    formats: tuple[Format, ...] = ()


def _onnxruntime(
    name: str, device: Device, options: Mapping[str, DelegateOption], needs: str, **more: Any
) -> DelegateSpec:
    return DelegateSpec(
        name=f"onnxruntime:{name}",
        engine="onnxruntime",
        device=device,
        options=options,
        needs=needs,
        probe="edgeai_runtime.delegates.probe_onnxruntime:probe_provider" if name != "cpu" else "",
        formats=("onnx",),
        **{"verified": "none", **more},
    )


def _openvino(
    name: str, device: Device, options: Mapping[str, DelegateOption], needs: str, **more: Any
) -> DelegateSpec:
    return DelegateSpec(
        name=f"openvino:{name}",
        engine="openvino",
        device=device,
        options=options,
        needs=needs,
        probe="edgeai_runtime.delegates.probe_openvino:probe_device",
        formats=("openvino",),
        **{"verified": "none", **more},
    )


DELEGATES: dict[str, DelegateSpec] = {
    spec.name: spec
    for spec in (
        DelegateSpec(
            name="litert:xnnpack",
            engine="litert",
            device="cpu",
            verified="device",
            needs="ai-edge-litert, tflite-runtime or tensorflow",
            formats=("tflite",),
        ),
        DelegateSpec(
            name="litert:reference",
            engine="litert",
            device="cpu",
            verified="device",
            needs="ai-edge-litert, tflite-runtime or tensorflow; slow, for checking results",
        ),
        DelegateSpec(
            name="litert:gpu",
            engine="litert",
            device="gpu",
            verified="emulated",
            needs="ai-edge-litert 2.3 and a GPU with a driver for Vulkan, OpenCL, Metal or Direct3D 12",
            probe="edgeai_runtime.delegates.probe_litert:probe_gpu",
            options=litert.GPU,
            formats=("tflite",),
        ),
        DelegateSpec(
            name="litert:npu",
            engine="litert",
            device="npu",
            verified="none",
            needs="ai-edge-litert 2.3 and the NPU vendor's compiler and dispatch libraries",
            probe="edgeai_runtime.delegates.probe_litert:probe_npu",
            options=litert.NPU,
            static_shapes=True,
            formats=("tflite",),
        ),
        *(
            DelegateSpec(
                name=name,
                engine="litert",
                device=library.device,
                verified="none",
                needs=library.needs,
                probe="edgeai_runtime.delegates.probe_litert:probe_library",
                options=library.options,
                static_shapes=True,
                precisions=library.precisions,
                formats=("tflite",),
            )
            for name, library in litert.LIBRARIES.items()
        ),
        _onnxruntime("cpu", "cpu", names.SESSION, "onnxruntime", verified="device"),
        _onnxruntime("xnnpack", "cpu", names.XNNPACK, "a build of onnxruntime with XNNPACK (Android, iOS)"),
        _onnxruntime(
            "qnn-htp",
            "npu",
            names.QNN_HTP,
            "onnxruntime-qnn and a Qualcomm chip with a Hexagon NPU; on x86 it simulates one",
            verified="emulated",
            static_shapes=True,
        ),
        _onnxruntime(
            "qnn-gpu",
            "gpu",
            names.QNN_GPU,
            "onnxruntime-qnn and a Qualcomm chip with an Adreno GPU",
            static_shapes=True,
            precisions=("float32", "float16"),
        ),
        _onnxruntime(
            "openvino-cpu",
            "cpu",
            names.OPENVINO_EP,
            "onnxruntime-ep-openvino (or a build with OpenVINO) and any CPU of x86",
        ),
        _onnxruntime(
            "openvino-gpu",
            "gpu",
            names.OPENVINO_EP,
            "onnxruntime-ep-openvino (or a build with OpenVINO) and an Intel GPU",
        ),
        _onnxruntime(
            "openvino-npu",
            "npu",
            names.OPENVINO_EP,
            "onnxruntime-ep-openvino (or a build with OpenVINO) and an Intel NPU",
            static_shapes=True,
        ),
        _onnxruntime(
            "cuda", "gpu", names.CUDA, "onnxruntime-gpu, CUDA and an NVIDIA GPU", precisions=("float32", "float16")
        ),
        _onnxruntime("tensorrt", "gpu", names.TENSORRT, "onnxruntime-gpu, TensorRT and an NVIDIA GPU"),
        _onnxruntime("directml", "gpu", names.DIRECTML, "onnxruntime-directml and Windows with DirectX 12"),
        _onnxruntime(
            "coreml",
            "unknown",
            names.COREML,
            "onnxruntime on macOS or iOS; Core ML chooses among CPU, GPU and Neural Engine",
            precisions=("float32", "float16"),
        ),
        _onnxruntime(
            "nnapi", "unknown", names.SESSION, "a build of onnxruntime with NNAPI, on Android, which chooses the device"
        ),
        _onnxruntime(
            "webgpu",
            "gpu",
            names.WEBGPU,
            "onnxruntime-ep-webgpu and a driver for Vulkan, Metal or Direct3D 12",
            precisions=("float32", "float16"),
        ),
        _onnxruntime(
            "vitisai",
            "npu",
            names.VITISAI,
            "AMD's Ryzen AI software and a Ryzen AI NPU",
            static_shapes=True,
            precisions=("int8",),
        ),
        _onnxruntime(
            "migraphx", "gpu", names.MIGRAPHX, "a build of onnxruntime with MIGraphX, and an AMD GPU with ROCm"
        ),
        _openvino("cpu", "cpu", names.OPENVINO_CPU, "openvino", verified="device"),
        _openvino("gpu", "gpu", names.OPENVINO_GPU, "openvino and an Intel GPU with its OpenCL driver"),
        _openvino("npu", "npu", names.OPENVINO_NPU, "openvino and an Intel NPU with its driver", static_shapes=True),
        _openvino(
            "auto", "unknown", names.OPENVINO_AUTO, "openvino; it chooses among its devices, and the report says which"
        ),
        _openvino(
            "hetero",
            "unknown",
            names.OPENVINO_HETERO,
            "openvino; it splits the model among its devices, and the report says how",
        ),
    )
}

#: Delegates of the fake engine, so that the rules of placement are tested without hardware.
FAKE_DELEGATES: dict[str, DelegateSpec] = {
    f"fake:{device}": DelegateSpec(
        name=f"fake:{device}", engine="fake", device=device, verified="none", needs="nothing: it is for tests"
    )
    for device in ("cpu", "gpu", "npu")
}


def find_delegate(name: str) -> DelegateSpec | None:
    """Return the delegate `name`, or `None` when this runtime has none of that name."""
    return DELEGATES.get(name) or FAKE_DELEGATES.get(name)

"""What is tried, in order, before a delegate whose numbers are wrong, or that crashes, is given up.

One literal table: delegate → named changes of its options. Each is tried in a child process like the delegate itself;
the first with which the golden outputs come back is used, and `model.placement.attempts` names it. The order is from
what costs least speed to what costs most: pin float32, no half precision, fewer operations on the delegate. The last
remedy, the next device, needs no entry: it is what happens when these are exhausted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeai_runtime.delegates.table import find_delegate


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A change of options with the name it has in reports; no name: the options as they are."""

    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


_AS_WRITTEN = Remedy(name="graph as written", options={"session.graph_optimization_level": "disable"})
_OPENVINO_F32 = Remedy(name="pin f32", options={"INFERENCE_PRECISION_HINT": "f32"})
_ACCURACY = Remedy(name="accuracy mode", options={"EXECUTION_MODE_HINT": "ACCURACY"})

REMEDIES: dict[str, tuple[Remedy, ...]] = {
    "litert:gpu": (Remedy(name="pin f32", options={"precision": "f32"}),),
    "onnxruntime:cpu": (_AS_WRITTEN,),
    "onnxruntime:xnnpack": (_AS_WRITTEN,),
    "onnxruntime:qnn-htp": (Remedy(name="no fp16", options={"enable_htp_fp16_precision": "0"}), _AS_WRITTEN),
    "onnxruntime:qnn-gpu": (_AS_WRITTEN,),
    "onnxruntime:openvino-cpu": (Remedy(name="pin f32", options={"precision": "FP32"}),),
    "onnxruntime:openvino-gpu": (Remedy(name="pin f32", options={"precision": "FP32"}),),
    "onnxruntime:openvino-npu": (Remedy(name="accuracy mode", options={"precision": "ACCURACY"}),),
    "onnxruntime:cuda": (Remedy(name="no tf32", options={"use_tf32": "0"}), _AS_WRITTEN),
    "onnxruntime:tensorrt": (
        Remedy(name="no fp16", options={"trt_fp16_enable": "0"}),
        Remedy(name="no fp16, no int8", options={"trt_fp16_enable": "0", "trt_int8_enable": "0"}),
        _AS_WRITTEN,
    ),
    "onnxruntime:migraphx": (Remedy(name="no fp16", options={"migraphx_fp16_enable": "0"}), _AS_WRITTEN),
    "onnxruntime:coreml": (
        Remedy(name="without the Neural Engine", options={"MLComputeUnits": "CPUAndGPU"}),
        Remedy(name="on the CPU only", options={"MLComputeUnits": "CPUOnly"}),
    ),
    "onnxruntime:webgpu": (_AS_WRITTEN,),
    "openvino:cpu": (_OPENVINO_F32,),
    "openvino:gpu": (
        _OPENVINO_F32,
        _ACCURACY,
        Remedy(name="no Winograd convolutions", options={"GPU_DISABLE_WINOGRAD_CONVOLUTION": "YES"}),
    ),
    "openvino:auto": (_OPENVINO_F32, _ACCURACY),
    "openvino:hetero": (_OPENVINO_F32, _ACCURACY),
    "fake:npu": (
        Remedy(name="pin f32", options={"precision": "f32"}),
        Remedy(name="no fp16", options={"fp16": "0"}),
        Remedy(name="fewer operations", options={"operations": "few"}),
    ),
}


def remedies_for(delegate: str, options: Mapping[str, str]) -> tuple[Remedy, ...]:
    """Return what to try on `delegate`, in order: nothing, then the remedies that change something.

    What an option's value is when it is not given, the table of delegates says.
    """
    spec = find_delegate(delegate)
    defaults = {name: about.default for name, about in spec.options.items()} if spec is not None else {}
    now = {**defaults, **options}
    helpful = [r for r in REMEDIES.get(delegate, ()) if any(now.get(k) != v for k, v in r.options.items())]
    return (Remedy(), *helpful)

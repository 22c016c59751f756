"""The options of ONNX Runtime's and OpenVINO's delegates, by name: the value when none is given, and what it does.

The names are the engines' own, so that their manuals apply. Not every option of an engine is here: those are left out
that this runtime sets itself, or that would change what it promises.
"""

from __future__ import annotations

from typing import NamedTuple


class DelegateOption(NamedTuple):
    """One option of a delegate: its value when none is given (empty: the engine's own choice), and what it does."""

    default: str
    meaning: str


_O = DelegateOption

#: Of every delegate of ONNX Runtime: entries of the session's configuration.
SESSION = {
    "session.disable_cpu_ep_fallback": _O("0", "1: fail when an operation would be left to the CPU"),
    "session.graph_optimization_level": _O(
        "all", "disable, basic, extended, layout or all: how far the graph is changed"
    ),
    "session.optimized_model_filepath": _O("", "write the optimized model to this file while loading"),
    "session.intra_op.allow_spinning": _O("0 with one thread", "1: waiting threads spin: faster, and busy"),
    "session.disable_prepacking": _O("0", "1: weights are not packed again: less memory, slower"),
    "session.set_denormal_as_zero": _O("0", "1: tiny numbers count as zero"),
    "session.use_deterministic_compute": _O("0", "1: the same result in every run"),
    "session.disable_quant_qdq": _O("0", "1: run quantized layers in float between their (de)quantization"),
    "session.enable_mem_pattern": _O("1", "0: plan no memory ahead"),
    "session.enable_cpu_mem_arena": _O("1", "0: no arena: less memory kept, slower"),
    "mlas.disable_kleidiai": _O("0", "1: without Arm's KleidiAI kernels"),
}
#: Of delegates that compile the model for the hardware ahead of its first run.
CONTEXT = {
    "ep.context_enable": _O("0", "1: write the compiled model as an ONNX file"),
    "ep.context_file_path": _O("", "that file"),
    "ep.context_embed_mode": _O("0", "1: the compiled blob goes into that file, 0: beside it"),
}
#: Of delegates that need fixed shapes.
DIMENSIONS = {
    "dimension.*": _O("1 for the batch", "the size of a free dimension, by its name in the model or as input.axis")
}
#: Of delegates that come as a library of their own.
PLUGIN = {"library_path": _O("", "the plugin's library, when it is not that of the installed package")}
_PLAIN = {**SESSION, **PLUGIN}
_COMPILED = {**_PLAIN, **CONTEXT, **DIMENSIONS}
_DEVICE_ID = {"device_id": _O("0", "which of several devices")}

XNNPACK = {**SESSION, "intra_op_num_threads": _O("the threads asked for", "threads of XNNPACK's own pool")}
QNN_GPU = {**_COMPILED, **_DEVICE_ID, "profiling_level": _O("off", "basic, detailed")}
QNN_HTP = {
    **QNN_GPU,
    "enable_htp_fp16_precision": _O("1", "0: float models stay in float32 where the hardware has it"),
    "htp_performance_mode": _O("default", "burst, balanced, high_performance, power_saver, …"),
    "htp_graph_finalization_optimization_mode": _O("0", "1 to 3: longer preparation, faster runs"),
    "htp_arch": _O("", "the architecture to prepare for: 68, 69, 73, 75, …"),
    "soc_model": _O("", "the chip to prepare for, by Qualcomm's number"),
    "vtcm_mb": _O("", "on-chip memory to use, MB"),
    "offload_graph_io_quantization": _O("1", "0: quantize inputs and dequantize outputs on the NPU too"),
    "qnn_context_priority": _O("normal", "low, normal_high, high"),
    "rpc_control_latency": _O("", "longest wait of a remote call, microseconds"),
}
OPENVINO_EP = {
    **_COMPILED,
    "cache_dir": _O("", "folder of compiled blobs"),
    "precision": _O("", "FP32, FP16 or ACCURACY (as the model says)"),
    "load_config": _O("", "JSON file of OpenVINO properties by device"),
    "num_of_threads": _O("", "threads on the CPU"),
    "num_streams": _O("1", "requests that run at once"),
    "model_priority": _O("", "LOW, MEDIUM, HIGH"),
    "enable_qdq_optimizer": _O("", "True: fewer (de)quantizations on the NPU"),
}
CUDA = {
    **_PLAIN,
    **_DEVICE_ID,
    "gpu_mem_limit": _O("", "most bytes of the arena"),
    "use_tf32": _O("1", "0: float32 products in full precision"),
    "cudnn_conv_algo_search": _O("EXHAUSTIVE", "HEURISTIC or DEFAULT: faster to load"),
    "prefer_nhwc": _O("0", "1: channels last"),
    "enable_cuda_graph": _O("0", "1: record the kernels once and replay them"),
}
TENSORRT = {
    **_PLAIN,
    **CONTEXT,
    **_DEVICE_ID,
    "trt_fp16_enable": _O("0", "1: float16 layers"),
    "trt_int8_enable": _O("0", "1: int8 layers"),
    "trt_engine_cache_enable": _O("0", "1: keep built engines"),
    "trt_engine_cache_path": _O("", "folder of built engines"),
    "trt_timing_cache_enable": _O("0", "1: keep kernel timings"),
    "trt_builder_optimization_level": _O("3", "0 to 5: longer building, faster runs"),
    "trt_max_workspace_size": _O("", "bytes of scratch memory"),
}
DIRECTML = {**SESSION, **_DEVICE_ID, "performance_preference": _O("default", "high_performance or minimum_power")}
COREML = {
    **SESSION,
    "ModelFormat": _O("MLProgram", "NeuralNetwork: for old systems"),
    "MLComputeUnits": _O("ALL", "CPUOnly, CPUAndGPU, CPUAndNeuralEngine"),
    "RequireStaticInputShapes": _O("0", "1: leave parts with free shapes to the CPU"),
    "ModelCacheDirectory": _O("", "folder of compiled models"),
    "AllowLowPrecisionAccumulationOnGPU": _O("0", "1: sums in float16"),
}
_WEBGPU = "ep.webgpuexecutionprovider."
WEBGPU = {
    **_PLAIN,
    f"{_WEBGPU}preferredLayout": _O("NHWC", "NCHW"),
    f"{_WEBGPU}dawnBackendType": _O("", "D3D12 or Vulkan"),
    f"{_WEBGPU}powerPreference": _O("high-performance", "low-power"),
    f"{_WEBGPU}enableGraphCapture": _O("0", "1: record the commands once and replay them"),
    f"{_WEBGPU}validationMode": _O("basic", "disabled, wgpuOnly or full"),
}
VITISAI = {
    **_PLAIN,
    **CONTEXT,
    "config_file": _O("", "the compiler's JSON file"),
    "cache_dir": _O("", "folder of compiled models"),
    "cache_key": _O("", "name of this model in it"),
}
MIGRAPHX = {
    **_PLAIN,
    **_DEVICE_ID,
    "migraphx_fp16_enable": _O("0", "1: float16 layers"),
    "migraphx_int8_enable": _O("0", "1: int8 layers"),
    "migraphx_model_cache_dir": _O("", "folder of compiled models"),
}

#: Of every delegate of OpenVINO.
_PROPERTIES = {
    "PERFORMANCE_HINT": _O("LATENCY", "THROUGHPUT or CUMULATIVE_THROUGHPUT"),
    "CACHE_DIR": _O("", "folder of compiled blobs"),
    "CACHE_MODE": _O("", "OPTIMIZE_SPEED or OPTIMIZE_SIZE"),
    "PERF_COUNT": _O("NO", "YES: keep times per operation"),
}
_HINT = {
    "INFERENCE_PRECISION_HINT": _O("f32", "f16, bf16 or dynamic (as the device likes)"),
    "EXECUTION_MODE_HINT": _O("", "ACCURACY or PERFORMANCE, where the precision is dynamic"),
}
_STREAMS = {"NUM_STREAMS": _O("1", "requests that run at once"), "DEVICE_ID": _O("", "which of several devices")}
OPENVINO_CPU = {
    **_PROPERTIES,
    **_HINT,
    **_STREAMS,
    "INFERENCE_NUM_THREADS": _O("the threads asked for", "most threads"),
    "ENABLE_CPU_PINNING": _O("NO", "YES: bind threads, the calling one too, to cores"),
    "ENABLE_HYPER_THREADING": _O("", "YES or NO: use both threads of a core"),
    "SCHEDULING_CORE_TYPE": _O("", "ANY_CORE, PCORE_ONLY or ECORE_ONLY"),
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": _O("0", "group size of activations quantized on the fly; 0: none"),
    "KV_CACHE_PRECISION": _O("", "f32, f16, u8: how the state of attention is kept"),
}
OPENVINO_GPU = {
    **_PROPERTIES,
    **_HINT,
    **_STREAMS,
    "MODEL_PRIORITY": _O("", "LOW, MEDIUM, HIGH"),
    "GPU_DISABLE_WINOGRAD_CONVOLUTION": _O("", "YES: convolutions without Winograd's trick"),
    "GPU_ENABLE_LOOP_UNROLLING": _O("", "NO: loops stay loops"),
}
OPENVINO_NPU = {
    **DIMENSIONS,
    **_PROPERTIES,
    **_STREAMS,
    "MODEL_PRIORITY": _O("", "LOW, MEDIUM, HIGH"),
    "NPU_COMPILER_TYPE": _O("", "DRIVER or PLUGIN: which compiler is used"),
    "NPU_COMPILATION_MODE_PARAMS": _O("", "the compiler's own options"),
    "NPU_TURBO": _O("", "YES: the highest clock"),
    "NPU_DEFER_WEIGHTS_LOAD": _O("", "YES: weights are loaded at the first run"),
    "NPU_BYPASS_UMD_CACHING": _O("", "YES: without the driver's own cache"),
}
_DEVICES = {"MULTI_DEVICE_PRIORITIES": _O("all devices here", "the devices to choose from, best first: NPU,GPU,CPU")}
OPENVINO_AUTO = {
    **_PROPERTIES,
    **_HINT,
    **_DEVICES,
    "ENABLE_STARTUP_FALLBACK": _O("NO", "YES: the CPU serves while the other device still compiles"),
    "ENABLE_RUNTIME_FALLBACK": _O("YES", "NO: fail when the device fails while it runs"),
}
OPENVINO_HETERO = {**_HINT, **_DEVICES, "CACHE_DIR": _O("", "folder of compiled blobs")}

"""The methods by name, in one table: what is run, by which module, and what it needs."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from quantization.job import Job


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to quantize.

    Attributes:
        title: tool and settings, for the page.
        function: `module:function` with `(job, folder) -> artifact`; empty for ours, which is a command.
        format: of the artifact.
        needs: the module that must be installed.
        apart: the tool has an environment of its own, named by `--NAME-python`; empty when it shares ours.
    """

    title: str
    function: str
    format: str
    needs: str
    apart: str = ""


METHODS = {
    "ort-default": Method(
        title="quantize_static as it comes: QDQ, s8/s8, per tensor, min-max",
        function="quantization.with_onnxruntime:default",
        format="onnx",
        needs="onnxruntime",
    ),
    "ort-minmax": Method(
        title="quantize_static: QDQ, u8/s8, per channel, min-max (the naive baseline)",
        function="quantization.with_onnxruntime:minmax",
        format="onnx",
        needs="onnxruntime",
    ),
    "ort-entropy": Method(
        title="quantize_static: QDQ, u8/s8, per channel, entropy",
        function="quantization.with_onnxruntime:entropy",
        format="onnx",
        needs="onnxruntime",
    ),
    "ort-percentile": Method(
        title="quantize_static: QDQ, u8/s8, per channel, percentile",
        function="quantization.with_onnxruntime:percentile",
        format="onnx",
        needs="onnxruntime",
    ),
    "nncf-default": Method(
        title="nncf.quantize on the OpenVINO model",
        function="quantization.with_nncf:default",
        format="openvino",
        needs="nncf",
    ),
    "nncf-best": Method(
        title="nncf.quantize: mixed preset, full bias correction",
        function="quantization.with_nncf:best",
        format="openvino",
        needs="nncf",
    ),
    "nncf-accuracy": Method(
        title="nncf.quantize_with_accuracy_control, validated on the search split",
        function="quantization.with_nncf:accuracy_controlled",
        format="openvino",
        needs="nncf",
    ),
    "tflite-converter": Method(
        title="TensorFlow's TFLiteConverter, full int8 from Keras, float boundary",
        function="quantization.with_tensorflow:full_int8",
        format="tflite",
        needs="tensorflow",
    ),
    "aeq-static": Method(
        title="ai-edge-quantizer static_wi8_ai8 on the float TFLite file",
        function="quantization.with_ai_edge:static_int8",
        format="tflite",
        needs="ai_edge_quantizer",
    ),
    "aimet": Method(
        title="AIMET-ONNX: QuantizationSimModel, int8/int8, min-max, exported as QDQ",
        function="quantization.with_aimet:default",
        format="onnx",
        needs="aimet_onnx",
        apart="aimet",
    ),
    "aimet-cle": Method(
        title="AIMET-ONNX with cross-layer equalization",
        function="quantization.with_aimet:equalized",
        format="onnx",
        needs="aimet_onnx",
        apart="aimet",
    ),
    "quark": Method(
        title="AMD Quark, configuration A8W8",
        function="quantization.with_quark:a8w8",
        format="onnx",
        needs="quark",
        apart="quark",
    ),
}
"""Name → method; ours and the float models are not in it, they are always there."""


def why_not(method: Method, job: Job, *, interpreter: str) -> str:
    """Return why a method cannot be tried on this model, in words for the page; empty when it can.

    Args:
        method: the method.
        job: the model.
        interpreter: the Python of the tool's own environment, empty when none was named.
    """
    if method.apart:
        return "" if interpreter else f"not tried: name its Python with --{method.apart}-python"
    if importlib.util.find_spec(method.needs) is None:
        return f"not tried: {method.needs} is not installed"
    if method.needs == "tensorflow" and not job.keras:
        return "not applicable: there is no Keras source"
    return ""

"""ONNX Runtime's static quantizer, after its own pre-processing, as its documentation says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quantization.job import Job


def default(job: Job, folder: Path) -> Path:
    """Quantize with every setting as it comes."""
    return _quantize(job, folder, "MinMax")


def minmax(job: Job, folder: Path) -> Path:
    """Quantize with min-max ranges and what suits x86: unsigned activations, weights per channel."""
    return _quantize(job, folder, "MinMax", **_for_x86())


def entropy(job: Job, folder: Path) -> Path:
    """Likewise, with ranges by entropy."""
    return _quantize(job, folder, "Entropy", **_for_x86())


def percentile(job: Job, folder: Path) -> Path:
    """Likewise, with ranges by percentile (99.999, the tool's default)."""
    return _quantize(job, folder, "Percentile", **_for_x86())


def _for_x86() -> dict[str, Any]:
    from onnxruntime.quantization import QuantType

    from edgeai_runtime.bench.machine import describe_machine

    fused = any("vnni" in word for word in describe_machine()["isa"].split())
    return {
        "per_channel": True,
        "activation_type": QuantType.QUInt8,
        "weight_type": QuantType.QInt8,
        "reduce_range": not fused,  # without VNNI the products of u8 and s8 saturate
    }


def _quantize(job: Job, folder: Path, ranges: str, **settings: Any) -> Path:
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # its base has no types
        def __init__(self) -> None:
            self._samples = job.calibration_samples()

        def get_next(self) -> dict[str, Any] | None:
            sample = next(self._samples, None)
            return None if sample is None else {job.input_name: sample}

    ready, out = folder / "ready.onnx", folder / "model.onnx"
    quant_pre_process(job.onnx, str(ready), skip_symbolic_shape=True)
    quantize_static(str(ready), str(out), Reader(), calibrate_method=CalibrationMethod[ranges], **settings)
    return out

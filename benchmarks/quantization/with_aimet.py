"""Qualcomm's AIMET for ONNX; runs in an environment of its own (`pip install aimet-onnx`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quantization.job import Job


def default(job: Job, folder: Path) -> Path:
    """Simulate int8, calibrate by min-max, and export the simulated graph with Q and DQ nodes."""
    return _quantize(job, folder, _model(job))


def equalized(job: Job, folder: Path) -> Path:
    """Likewise, after folding BatchNorm and equalizing weights across layers."""
    from aimet_onnx.cross_layer_equalization import equalize_model

    model = _model(job)
    equalize_model(model)
    return _quantize(job, folder, model)


def _model(job: Job) -> Any:
    import onnx
    from aimet_onnx.batch_norm_fold import fold_all_batch_norms_to_weight

    model = onnx.load(job.onnx)
    fold_all_batch_norms_to_weight(model)
    return model


def _quantize(job: Job, folder: Path, model: Any) -> Path:
    import onnx
    from aimet_onnx.quantsim import QuantizationSimModel

    simulated = QuantizationSimModel(model, providers=["CPUExecutionProvider"])
    simulated.compute_encodings([{job.input_name: sample} for sample in job.calibration_samples()])
    out = folder / "model.onnx"
    onnx.save(simulated.to_onnx_qdq(export_int32_bias=True, prequantize_constants=True), out)
    return out

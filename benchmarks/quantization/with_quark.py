"""AMD's Quark for ONNX; runs in an environment of its own (`pip install amd-quark onnxruntime torch`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quantization.job import Job


def a8w8(job: Job, folder: Path) -> Path:
    """Quantize with the configuration that the tool recommends for CPUs and GPUs, A8W8."""
    from onnxruntime.quantization import CalibrationDataReader
    from quark.onnx import ModelQuantizer
    from quark.onnx.quantization.config.config import Config
    from quark.onnx.quantization.config.custom_config import get_default_config

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # its base has no types
        def __init__(self) -> None:
            self._samples = job.calibration_samples()

        def get_next(self) -> dict[str, Any] | None:
            sample = next(self._samples, None)
            return None if sample is None else {job.input_name: sample}

    out = folder / "model.onnx"
    settings = Config(global_quant_config=get_default_config("A8W8"))
    ModelQuantizer(settings).quantize_model(job.onnx, str(out), Reader())
    return out

"""Google's ai-edge-quantizer on the float TFLite file."""

from __future__ import annotations

from pathlib import Path

from quantization.job import Job


def static_int8(job: Job, folder: Path) -> Path:
    """Quantize weights and activations to int8 by the recipe `static_wi8_ai8`."""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    (key, signature), *_ = Interpreter(model_path=job.tflite).get_signature_list().items()
    (name,) = signature["inputs"]
    tool = quantizer.Quantizer(job.tflite, recipe.static_wi8_ai8())
    found = tool.calibrate({key: [{name: sample} for sample in job.calibration_samples()]}, num_threads=1)
    out = folder / "model.tflite"
    tool.quantize(found).export_model(str(out), overwrite=True)
    return out

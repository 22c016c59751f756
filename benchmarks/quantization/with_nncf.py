"""NNCF on the OpenVINO model that OpenVINO's own converter makes of the ONNX file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from quantization.job import Job

_SUBSET = 256


def default(job: Job, folder: Path) -> Path:
    """Quantize with every setting as it comes; the kind of model is told when it is a transformer."""
    import nncf

    return _save(nncf.quantize(_model(job), _calibration(job), subset_size=_SUBSET, **_kind(job)), folder)


def best(job: Job, folder: Path) -> Path:
    """Quantize with asymmetric activations and the slower, better bias correction."""
    import nncf

    preset = nncf.QuantizationPreset.MIXED
    settings = {"preset": preset, "fast_bias_correction": False, "subset_size": _SUBSET}
    return _save(nncf.quantize(_model(job), _calibration(job), **settings, **_kind(job)), folder)


def accuracy_controlled(job: Job, folder: Path) -> Path:
    """Quantize, then take operations back to float until the search split loses no more than the budget."""
    import nncf

    from edgeai_converters.evaluate.metrics import get_metric

    metric = get_metric(job.metric, has_labels=True)
    x, y = job.samples("search")

    def validate(model: Any, samples: Iterable[Any]) -> tuple[float, list[float] | None]:
        answers = [list(model(sample).values()) for sample in samples]
        names = ("boxes", "scores") if len(answers[0]) == 2 else ("scores",)
        outputs = {name: np.concatenate(parts) for name, parts in zip(names, zip(*answers, strict=True), strict=True)}
        scores = metric.per_sample(outputs, y[: len(answers)], None)
        assert scores is not None
        return float(scores.mean()), None

    validation = nncf.Dataset([x[index : index + 1] for index in range(len(x))])
    model = nncf.quantize_with_accuracy_control(
        _model(job), _calibration(job), validation, validate, max_drop=job.max_drop, subset_size=_SUBSET, **_kind(job)
    )
    return _save(model, folder)


def _model(job: Job) -> Any:
    import openvino

    return openvino.convert_model(job.onnx)


def _calibration(job: Job) -> Any:
    import nncf

    return nncf.Dataset(list(job.calibration_samples()))


def _kind(job: Job) -> dict[str, Any]:
    import nncf

    return {"model_type": nncf.ModelType.TRANSFORMER} if job.transformer else {}


def _save(model: Any, folder: Path) -> Path:
    import openvino

    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return folder / "model.xml"

"""Where PyTorch trains."""

from __future__ import annotations

from edgeai_converters.require import require
from edgeai_converters.train.training_spec import TrainingSpec


def choose_device(spec: TrainingSpec) -> str:
    """Return `cpu` or `cuda`: `auto` is a GPU where PyTorch sees one."""
    torch = require("torch", extra="torch")
    return "cuda" if spec.device == "cuda" or (spec.device == "auto" and torch.cuda.is_available()) else "cpu"

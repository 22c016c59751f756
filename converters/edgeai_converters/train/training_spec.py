"""How to train: what every kind of training on a twin has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeai_runtime.errors import UsageError

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """Choices of one training.

    Attributes:
        epochs: most passes over the examples.
        batch_size: examples per step.
        learning_rate: of AdamW, at its highest, as a share of the weights' size: 0.001 changes a weight by about a
            thousandth of what is usual in its layer in each step.
        weight_decay: of AdamW: the share of a weight that goes in each step is this times `learning_rate`. Biases keep
            theirs.
        warm_up: share of the steps in which the rate rises from 0; then it falls as a cosine.
        patience: passes without a better score after which training ends; `None` for never.
        temperature: of the distillation of class scores (Hinton et al. 2015, arXiv:1503.02531).
        label_weight: share of the loss that labels have where there are some; the rest is distillation.
        label_smoothing: share of a class label that is spread over all classes (Szegedy et al. 2016,
            arXiv:1512.00567, section 7).
        averaging: share of all steps that averaged weights reach back; they are scored beside the last ones after each
            pass, and the better are kept. 0 for none.
        normalize: put batch normalization behind convolutions while training, and fold it away at the end
            (`train.normalized`); not in quantization-aware training, nor for graphs of a fixed batch.
        precision: `float32`, `bfloat16`, or `auto`: bfloat16 where the machine computes it faster (`train.precision`).
            Loss, optimizer and scores are in float32 always.
        seed: of everything that draws.
        threads: that PyTorch uses meanwhile.
        device: `cpu`, `cuda`, or `auto` for a GPU where PyTorch sees one.
        max_duration_s: most seconds; training then ends with the best so far, and the rate falls so that it is down by
            then. What it ends with depends on the machine's speed.
        checkpoint_s: seconds between checkpoints inside a pass, where a folder is given for them.
    """

    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warm_up: float = 0.05
    patience: int | None = None
    temperature: float = 2.0
    label_weight: float = 0.3
    label_smoothing: float = 0.0
    averaging: float = 0.1
    normalize: bool = True
    precision: Precision = "auto"
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    max_duration_s: float | None = None
    checkpoint_s: float = 30.0

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("epochs", "batch_size", "threads", "learning_rate", "temperature"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be greater than 0. Received: {getattr(self, name)!r}")
        for name in ("warm_up", "label_weight", "label_smoothing", "averaging"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"{name} is a share between 0 and 1. Received: {getattr(self, name)!r}")
        if self.device not in ("cpu", "cuda", "auto"):
            raise UsageError(f"device is cpu, cuda or auto. Received: {self.device!r}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise UsageError(f"precision is auto, float32 or bfloat16. Received: {self.precision!r}")

"""How to train: what every kind of training on a twin has in common."""

from __future__ import annotations

from dataclasses import dataclass

from edgeai_runtime.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """Choices of one training.

    Attributes:
        epochs: most passes over the examples.
        batch_size: examples per step.
        learning_rate: of AdamW, at its highest, as a share of the weights' size: 0.001 changes a weight by about a
            thousandth of what is usual in its layer in each step.
        weight_decay: of AdamW.
        warm_up: share of the steps in which the rate rises from 0; then it falls as a cosine.
        patience: passes without a better score after which training ends; `None` for never.
        temperature: of the distillation of class scores (Hinton et al. 2015, arXiv:1503.02531).
        label_weight: share of the loss that labels have where there are some; the rest is distillation.
        seed: of everything that draws.
        threads: that PyTorch uses meanwhile.
        device: `cpu`, `cuda`, or `auto` for a GPU where PyTorch sees one.
        max_duration_s: most seconds; training then ends with the best so far. What it ends with depends on the
            machine's speed.
    """

    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warm_up: float = 0.05
    patience: int | None = None
    temperature: float = 2.0
    label_weight: float = 0.3
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    max_duration_s: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("epochs", "batch_size", "threads", "learning_rate", "temperature"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be greater than 0. Received: {getattr(self, name)!r}")
        for name in ("warm_up", "label_weight"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"{name} is a share between 0 and 1. Received: {getattr(self, name)!r}")
        if self.device not in ("cpu", "cuda", "auto"):
            raise UsageError(f"device is cpu, cuda or auto. Received: {self.device!r}")

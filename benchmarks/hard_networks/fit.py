"""Training on the CPU: plain supervised fitting with a fixed seed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH = 64
_SECONDS_BETWEEN_WORDS = 15.0

Loss = Callable[[Any, "Tensor", "Tensor"], "Tensor"]
"""(network, images, labels) → scalar."""


def fit(
    network: nn.Module, images: NDArray[Any], labels: NDArray[Any], loss_of: Loss, *, epochs: int, rate: float
) -> None:
    """Train `network` in place: AdamW with a one-cycle rate; then it is put in evaluation mode.

    The order of the samples is drawn with a fixed seed, and one thread is used: sums are made in one order, so that the
    same machine learns the same weights. Channels go last, which is twice as fast for depthwise convolutions.
    """
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    network.to(memory_format=torch.channels_last)
    x, y = torch.from_numpy(images).contiguous(memory_format=torch.channels_last), torch.from_numpy(labels)
    steps = epochs * (len(x) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
    network.train()
    told, step, total = time.monotonic(), 0, 0.0
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            picked = order[start : start + BATCH]
            loss = loss_of(network, x[picked], y[picked])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step, total = step + 1, 0.98 * total + 0.02 * float(loss.detach())
            if time.monotonic() - told > _SECONDS_BETWEEN_WORDS:
                told = time.monotonic()
                print(f"step {step} of {steps}, loss {total:.3f}", file=sys.stderr, flush=True)
    network.eval().to(memory_format=torch.contiguous_format)


def class_loss(network: Any, images: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy of class scores; `labels` are `[class, …]` rows."""
    from torch.nn import functional

    return functional.cross_entropy(network(images), labels[:, 0].long(), label_smoothing=0.05)


def detection_loss(network: Any, images: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of a detector with one object per image.

    Cells whose middle lies in the inner half of the box learn the box (1 - generalized IoU, Rezatofighi et al. 2019,
    and a little of the plain distance) and its class; all others learn that they see nothing (binary cross entropy).
    """
    import torch
    from torch.nn import functional

    raw = network.raw(images)
    boxes, wanted = network.boxes(raw), labels[:, None, 1:]
    middle, half = (wanted[..., :2] + wanted[..., 2:]) / 2, (wanted[..., 2:] - wanted[..., :2]) / 2
    away = ((network.centres - middle) / half).abs().amax(dim=-1)  # [n, cells]
    mine = (away < 0.5) | (away == away.amin(dim=1, keepdim=True))
    classes = functional.one_hot(labels[:, 0].long(), raw.shape[-1] - 4).float()[:, None] * mine[..., None]
    seen = functional.binary_cross_entropy_with_logits(raw[..., 4:], classes, reduction="sum") / mine.sum()
    target = wanted.expand_as(boxes)[mine]
    found = boxes[mine]
    inner = (torch.minimum(found[:, 2:], target[:, 2:]) - torch.maximum(found[:, :2], target[:, :2])).clamp(min=0)
    outer = torch.maximum(found[:, 2:], target[:, 2:]) - torch.minimum(found[:, :2], target[:, :2])
    both, hull = inner.prod(dim=1), outer.prod(dim=1)
    union = (found[:, 2:] - found[:, :2]).prod(dim=1) + (target[:, 2:] - target[:, :2]).prod(dim=1) - both
    giou = both / union - (hull - union) / hull
    return seen + 2 * (1 - giou).mean() + 0.02 * (found - target).abs().mean()

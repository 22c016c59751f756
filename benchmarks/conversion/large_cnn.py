"""A residual network of about 5 million parameters, to time conversions with."""

from __future__ import annotations

from families.network import Network
from families.torch_vision import prepare


def large_cnn() -> Network:
    """Return a residual network of about 5 million parameters for images of 224 × 224."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
                nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after),
            )  # fmt: skip
            self.short = nn.Conv2d(before, after, 1, stride) if stride > 1 else nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.body(x) + self.short(x))

    torch.manual_seed(7)
    sizes = ((64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 384, 2))
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(384, 1000)]
    model = nn.Sequential(*stem, *(Block(*size) for size in sizes), *head)
    return Network(model=prepare(model), shapes={"input": (1, 3, 224, 224)}, outputs=("scores",))

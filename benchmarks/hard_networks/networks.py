"""The three architectures, in PyTorch, as they are before training; inputs are `[n, 3, size, size]` images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

CLASSES = 10
STRIDES = (8, 16)
"""Pixels between the cells of each scale of the detector."""


def hard_swish_network() -> nn.Module:
    """Return a small MobileNetV3 (Howard et al. 2019, section 5): bottlenecks with hard-swish and squeeze-excite."""
    import torch
    from torch import nn

    class SqueezeExcite(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            hidden = max(8, channels // 4)
            self.gate = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1),
                nn.Hardsigmoid(),
            )  # fmt: skip

        def forward(self, x: Tensor) -> Tensor:
            gated: Tensor = x * self.gate(x)
            return gated

    class Bottleneck(nn.Module):
        def __init__(self, before: int, middle: int, after: int, stride: int) -> None:
            super().__init__()
            self.residual = before == after and stride == 1
            self.body = nn.Sequential(
                nn.Conv2d(before, middle, 1, bias=False), nn.BatchNorm2d(middle), nn.Hardswish(),
                nn.Conv2d(middle, middle, 3, stride, 1, groups=middle, bias=False), nn.BatchNorm2d(middle),
                nn.Hardswish(), SqueezeExcite(middle),
                nn.Conv2d(middle, after, 1, bias=False), nn.BatchNorm2d(after),
            )  # fmt: skip

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = x + self.body(x) if self.residual else self.body(x)
            return answer

    torch.manual_seed(1)
    sizes = ((16, 48, 16, 1), (16, 64, 24, 2), (24, 96, 24, 1), (24, 96, 40, 2), (40, 160, 40, 1))
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish(),
        *(Bottleneck(*size) for size in sizes),
        nn.Conv2d(40, 160, 1, bias=False), nn.BatchNorm2d(160), nn.Hardswish(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(160, 192), nn.Hardswish(), nn.Linear(192, CLASSES),
    )  # fmt: skip


def depthwise_network() -> nn.Module:
    """Return a small MobileNetV1 (Howard et al. 2017): depthwise and pointwise convolutions, BatchNorm and ReLU."""
    import torch
    from torch import nn

    def convolution(before: int, after: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
        made = nn.Conv2d(before, after, size, stride, size // 2, groups=groups, bias=False)
        return [made, nn.BatchNorm2d(after), nn.ReLU()]

    torch.manual_seed(2)
    layers = convolution(3, 24, 3, 2)
    for before, after, stride in ((24, 48, 1), (48, 96, 2), (96, 96, 1), (96, 192, 2), (192, 192, 1)):
        layers += convolution(before, before, 3, stride, before) + convolution(before, after, 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(192, CLASSES))


def detector(size: int, *, frame: float) -> nn.Module:
    """Return a one-stage detector for images of `size` pixels, decoded in the graph as YOLO exports are.

    It gives `boxes` `[n, cells, 4]` (left, top, right, bottom; pixels of the camera's frame, `frame` times as wide as
    the image) and `scores` `[n, cells, classes]` (0 to 1). Boxes and scores of all cells are joined in one tensor and
    taken apart at the end. Attributes: `centres` `[cells, 2]`, the middle of each cell (across, down) in pixels of the
    image; `reach` `[cells, 1]`, its stride.
    """
    import torch
    from torch import nn

    def convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
        made = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        return nn.Sequential(made, nn.BatchNorm2d(after), nn.ReLU())

    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(
                convolution(3, 16, 2), convolution(16, 32, 2), convolution(32, 32), convolution(32, 64, 2),
                convolution(64, 64),
            )  # fmt: skip
            self.deeper = nn.Sequential(convolution(64, 96, 2), convolution(96, 96))
            self.heads = nn.ModuleList(nn.Conv2d(channels, 4 + CLASSES, 1) for channels in (64, 96))
            for head in self.heads:
                nn.init.constant_(head.bias[4:], -4.0)  # few cells see anything (Lin et al. 2017, section 4.1)
            centres, reach = [], []
            for stride in STRIDES:
                ticks = (torch.arange(size // stride) + 0.5) * stride
                down, across = torch.meshgrid(ticks, ticks, indexing="ij")
                centres.append(torch.stack([across, down], dim=-1).reshape(-1, 2))
                reach.append(torch.full((len(centres[-1]), 1), float(stride)))
            self.register_buffer("centres", torch.cat(centres))
            self.register_buffer("reach", torch.cat(reach))

        def raw(self, x: Tensor) -> Tensor:
            """Return distances (in strides) and class logits before decoding: `[n, cells, 4 + classes]`."""
            near = self.trunk(x)
            maps = [self.heads[0](near), self.heads[1](self.deeper(near))]
            return torch.cat([each.flatten(2) for each in maps], dim=2).transpose(1, 2)

        def boxes(self, raw: Tensor) -> Tensor:
            """Return boxes in pixels: the distances of the four sides from the middle of the cell."""
            centres: Any = self.centres
            sides = nn.functional.softplus(raw[..., :4]) * self.reach
            return torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], dim=-1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            raw = self.raw(x)
            joined = torch.cat([frame * self.boxes(raw), torch.sigmoid(raw[..., 4:])], dim=-1)
            return joined[..., :4], joined[..., 4:]

    torch.manual_seed(3)
    return Detector()

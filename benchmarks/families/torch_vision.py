"""Convolutional networks in PyTorch."""

from __future__ import annotations

from typing import Any

from families.network import Network

_SEED = 7


def prepare(module: Any) -> Any:
    """Return the module in evaluation mode, with running statistics as training would have left them."""
    import torch

    generator = torch.Generator().manual_seed(_SEED)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2, generator=generator)
            layer.running_var.uniform_(0.5, 1.5, generator=generator)
            layer.weight.data.uniform_(0.5, 1.5, generator=generator)
            layer.bias.data.normal_(0, 0.2, generator=generator)
    return module.eval()


def cnn() -> Network:
    """Return convolutions, BatchNorm and ReLU with two residual blocks, the second with stride 2; batch 1."""
    return Network(model=_residual(), shapes={"image": (1, 3, 32, 32)}, outputs=("scores",))


def dynamic_batch() -> Network:
    """Return the same network with a free batch."""
    return Network(model=_residual(), shapes={"image": (None, 3, 32, 32)}, outputs=("scores",))


def _residual() -> Any:
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
            self.first_norm = nn.BatchNorm2d(after)
            self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
            self.second_norm = nn.BatchNorm2d(after)
            self.short = nn.Conv2d(before, after, 1, stride) if stride > 1 else nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.relu(self.first_norm(self.first(x)))
            return torch.relu(self.second_norm(self.second(y)) + self.short(x))

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
            self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2))
            self.pool = nn.MaxPool2d(3, 2, 1)
            self.head = nn.Linear(32, 10)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            y = self.pool(self.blocks(self.stem(image)))
            return self.head(nn.functional.adaptive_avg_pool2d(y, 1).flatten(1))

    torch.manual_seed(_SEED)
    return prepare(Residual())


def depthwise() -> Network:
    """Return inverted residual blocks as MobileNet v2 has them."""
    import torch
    from torch import nn

    class Inverted(nn.Module):
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            wide = 4 * before
            self.adds = stride == 1 and before == after
            self.body = nn.Sequential(
                nn.Conv2d(before, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
                nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
                nn.Conv2d(wide, after, 1, bias=False), nn.BatchNorm2d(after),
            )  # fmt: skip

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.body(x) if self.adds else self.body(x)

    class Depthwise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
            self.blocks = nn.Sequential(Inverted(8, 8, 1), Inverted(8, 16, 2), Inverted(16, 16, 1))
            self.head = nn.Linear(16, 10)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.head(self.blocks(self.stem(image)).mean((2, 3)))

    torch.manual_seed(_SEED)
    return Network(model=prepare(Depthwise()), shapes={"image": (1, 3, 32, 32)}, outputs=("scores",))


def squeeze_excite() -> Network:
    """Return blocks as MobileNet v3 has them: hard-swish, and channels weighed by a hard sigmoid."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(channels, channels, 5, 1, 2, groups=channels, bias=False)
            self.norm = nn.BatchNorm2d(channels)
            self.squeeze = nn.Conv2d(channels, 8, 1)
            self.excite = nn.Conv2d(8, channels, 1)
            self.project = nn.Conv2d(channels, channels, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = nn.functional.hardswish(self.norm(self.depthwise(x)))
            weight = torch.relu(self.squeeze(nn.functional.adaptive_avg_pool2d(y, 1)))
            return x + self.project(y * nn.functional.hardsigmoid(self.excite(weight)))

    torch.manual_seed(_SEED)
    layers = [nn.Conv2d(3, 16, 3, 2, 1), nn.Hardswish(), Block(16), Block(16)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    return Network(model=prepare(model), shapes={"input": (1, 3, 32, 32)}, outputs=("scores",))


def detector() -> Network:
    """Return two maps of different scale whose heads are joined to boxes `[1, 400, 4]` and scores `[1, 400, 5]`."""
    import torch
    from torch import nn

    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU())
            self.deep = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1), nn.SiLU())
            self.boxes = nn.ModuleList([nn.Conv2d(channels, 4, 3, padding=1) for channels in (48, 32)])
            self.scores = nn.ModuleList([nn.Conv2d(channels, 5, 3, padding=1) for channels in (48, 32)])

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            fine = self.stem(image)
            coarse = self.deep(fine)
            up = nn.functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
            maps = [torch.cat([fine, up], 1), coarse]
            boxes = [head(one).flatten(2).transpose(1, 2) for head, one in zip(self.boxes, maps, strict=True)]
            scores = [head(one).flatten(2).transpose(1, 2) for head, one in zip(self.scores, maps, strict=True)]
            return torch.cat(boxes, 1).sigmoid() * 40.0 - 4.0, torch.cat(scores, 1).softmax(-1)

    torch.manual_seed(_SEED)
    return Network(model=prepare(Detector()), shapes={"image": (1, 3, 36, 36)}, outputs=("boxes", "scores"))


def many() -> Network:
    """Return a network of an image, a vector and a token, which answers a class, a value and its features."""
    import torch
    from torch import nn

    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, 2)
            self.dense = nn.Linear(5, 8)
            self.embedding = nn.Embedding(12, 8)
            self.kind = nn.Linear(24, 4)
            self.value = nn.Linear(24, 1)

        def forward(self, image: torch.Tensor, vector: torch.Tensor, token: torch.Tensor) -> tuple[torch.Tensor, ...]:
            seen = torch.relu(self.conv(image)).mean((2, 3))
            features = torch.cat([seen, torch.tanh(self.dense(vector)), self.embedding(token)], -1)
            return self.kind(features).softmax(-1), self.value(features), features

    torch.manual_seed(_SEED)
    return Network(
        model=prepare(Many()),
        shapes={"image": (1, 3, 15, 15), "vector": (1, 5), "token": (1,)},
        outputs=("kind", "value", "features"),
        vocabulary={"token": 12},
    )


def dynamic_axis() -> Network:
    """Return a convolutional network over time whose batch and length are free."""
    import torch
    from torch import nn

    class Temporal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv1d(6, 16, 3, padding=1)
            self.second = nn.Conv1d(16, 16, 3, padding=2, dilation=2)
            self.head = nn.Linear(16, 4)

        def forward(self, signal: torch.Tensor) -> torch.Tensor:
            y = torch.relu(self.first(signal))
            return self.head((y + torch.relu(self.second(y))).mean(2))

    torch.manual_seed(_SEED)
    return Network(model=prepare(Temporal()), shapes={"signal": (None, 6, None)}, outputs=("scores",))

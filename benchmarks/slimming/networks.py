"""The small networks that the benchmark trains itself: an MLP, an LSTM, a transformer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from families.network import Network

from slimming.data import LENGTH, PADDING, VOCABULARY

_DIGITS, _PIXELS = 10, 64
_EMBEDDED, _UNITS = 32, 64
_WIDTH, _HEADS, _INNER, _BLOCKS = 64, 4, 128, 2


def mlp() -> Network:
    """Return three dense layers, 64 → 256 → 128 → 10, for digits as 64 pixels."""
    from torch import nn

    layers = nn.Sequential(
        nn.Linear(_PIXELS, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, _DIGITS)
    )  # fmt: skip
    return Network(model=layers, shapes={"pixels": (None, _PIXELS)}, outputs=("scores",))


def lstm() -> Network:
    """Return an embedding of 32 numbers, an LSTM of 64 units and a dense layer on its mean, for messages as words."""
    import torch
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, _EMBEDDED)
            self.recurrent = nn.LSTM(_EMBEDDED, _UNITS, batch_first=True)
            self.head = nn.Linear(_UNITS, 2)

        def forward(self, words: torch.Tensor) -> torch.Tensor:
            return self.head(self.recurrent(self.embedding(words))[0].mean(1))

    return _of_messages(Classifier())


def transformer() -> Network:
    """Return two blocks of attention with 4 heads, 64 wide, over the words of a message; their mean is classified."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(nn.Linear(_WIDTH, _WIDTH) for _ in range(3))
            self.join = nn.Linear(_WIDTH, _WIDTH)
            self.first_norm, self.second_norm = nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)
            self.dense = nn.Sequential(nn.Linear(_WIDTH, _INNER), nn.ReLU(), nn.Linear(_INNER, _WIDTH))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            normed = self.first_norm(x)
            q, k, v = (part(normed).unflatten(-1, (_HEADS, _WIDTH // _HEADS)).transpose(1, 2) for part in self.parts)
            weights = (q @ k.transpose(-2, -1) / (_WIDTH // _HEADS) ** 0.5).softmax(-1)
            x = x + self.join((weights @ v).transpose(1, 2).flatten(2))
            return x + self.dense(self.second_norm(x))

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, _WIDTH)
            self.position = nn.Parameter(torch.randn(1, LENGTH, _WIDTH) * 0.1)
            self.blocks = nn.Sequential(*(Block() for _ in range(_BLOCKS)))
            self.norm = nn.LayerNorm(_WIDTH)
            self.head = nn.Linear(_WIDTH, 2)

        def forward(self, words: torch.Tensor) -> torch.Tensor:
            x = self.blocks(self.embedding(words) + self.position)
            return self.head(self.norm(x).mean(1))

    return _of_messages(Classifier())


def _of_messages(model: Any) -> Network:
    model.embedding.weight.data[PADDING] = 0.0
    return Network(
        model=model, shapes={"words": (None, LENGTH)}, outputs=("scores",), vocabulary={"words": VOCABULARY}
    )  # fmt: skip


NETWORKS: dict[str, Callable[[], Network]] = {"mlp": mlp, "lstm": lstm, "transformer": transformer}
"""Name → builder; weights are drawn from PyTorch's generator."""

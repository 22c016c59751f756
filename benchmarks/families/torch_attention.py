"""Transformers in PyTorch, batch 1."""

from __future__ import annotations

from typing import Any

from families.network import Network

_SEED = 13
_LENGTH, _WIDTH, _HEADS = 12, 32, 4


def encoder_gelu() -> Network:
    """Return two of PyTorch's own encoder layers, norm first, with the exact GELU."""
    import torch
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(8, _WIDTH)
            self.position = nn.Parameter(torch.randn(1, _LENGTH, _WIDTH) * 0.1)
            layer = nn.TransformerEncoderLayer(
                _WIDTH, _HEADS, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.norm = nn.LayerNorm(_WIDTH)
            self.head = nn.Linear(_WIDTH, 5)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.head(self.norm(self.layers(self.embed(tokens) + self.position)).mean(1))

    torch.manual_seed(_SEED)
    return Network(model=_scattered(Encoder()), shapes={"tokens": (1, _LENGTH, 8)}, outputs=("scores",))


def encoder_gelu_tanh() -> Network:
    """Return a text encoder: embedding, attention by scaled_dot_product_attention, norm last, the tanh GELU."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.Linear(_WIDTH, 3 * _WIDTH)
            self.join = nn.Linear(_WIDTH, _WIDTH)
            self.first_norm, self.second_norm = nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)
            self.dense = nn.Sequential(
                nn.Linear(_WIDTH, 64), nn.GELU(approximate="tanh"), nn.Linear(64, _WIDTH)
            )  # fmt: skip

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = (
                part.unflatten(-1, (_HEADS, _WIDTH // _HEADS)).transpose(1, 2) for part in self.parts(x).chunk(3, -1)
            )
            seen = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = self.first_norm(x + self.join(seen))
            return self.second_norm(x + self.dense(x))

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(50, _WIDTH)
            self.position = nn.Parameter(torch.randn(1, _LENGTH, _WIDTH) * 0.1)
            self.blocks = nn.Sequential(Block(), Block())
            self.head = nn.Linear(_WIDTH, 5)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.head(self.blocks(self.embedding(tokens) + self.position)[:, 0])

    torch.manual_seed(_SEED)
    return Network(
        model=_scattered(Encoder()), shapes={"tokens": (1, _LENGTH)}, outputs=("scores",), vocabulary={"tokens": 50}
    )


def decoder() -> Network:
    """Return one step of a decoder: two blocks, whose keys and values of 10 past steps come in and go out."""
    import torch
    from torch import nn

    size = _WIDTH // _HEADS

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.Linear(_WIDTH, 3 * _WIDTH)
            self.join = nn.Linear(_WIDTH, _WIDTH)
            self.first_norm, self.second_norm = nn.RMSNorm(_WIDTH), nn.RMSNorm(_WIDTH)
            self.gate, self.up = nn.Linear(_WIDTH, 48, bias=False), nn.Linear(_WIDTH, 48, bias=False)
            self.down = nn.Linear(48, _WIDTH, bias=False)

        def forward(self, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
            parts = self.parts(self.first_norm(x)).chunk(3, -1)
            q, k, v = (part.unflatten(-1, (_HEADS, size)).transpose(1, 2) for part in parts)
            keys, values = torch.cat([keys, k], 2), torch.cat([values, v], 2)
            weights = (q @ keys.transpose(2, 3) * size**-0.5).softmax(-1)
            x = x + self.join((weights @ values).transpose(1, 2).flatten(2))
            y = self.second_norm(x)
            x = x + self.down(nn.functional.silu(self.gate(y)) * self.up(y))
            return x, keys[:, :, 1:], values[:, :, 1:]

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(50, _WIDTH)
            self.first, self.second = Block(), Block()
            self.norm = nn.RMSNorm(_WIDTH)

        def forward(
            self,
            token: torch.Tensor,
            keys_0: torch.Tensor,
            values_0: torch.Tensor,
            keys_1: torch.Tensor,
            values_1: torch.Tensor,
        ) -> tuple[torch.Tensor, ...]:
            x, k0, v0 = self.first(self.embedding(token), keys_0, values_0)
            x, k1, v1 = self.second(x, keys_1, values_1)
            return self.norm(x) @ self.embedding.weight.T, k0, v0, k1, v1

    torch.manual_seed(_SEED)
    cache = (1, _HEADS, 10, size)
    names = ("keys_0", "values_0", "keys_1", "values_1")
    return Network(
        model=_scattered(Decoder()),
        shapes={"token": (1, 1), **dict.fromkeys(names, cache)},
        outputs=("logits", *(f"{name}_after" for name in names)),
        vocabulary={"token": 50},
    )


def _scattered(module: Any) -> Any:
    """Return the module in evaluation mode, scales and biases of its norms drawn: as they start, they hide faults."""
    import torch

    generator = torch.Generator().manual_seed(_SEED)
    for layer in module.modules():
        if isinstance(layer, torch.nn.LayerNorm | torch.nn.RMSNorm):
            layer.weight.data.uniform_(0.5, 1.5, generator=generator)
            if getattr(layer, "bias", None) is not None:
                layer.bias.data.normal_(0, 0.2, generator=generator)
    return module.eval()

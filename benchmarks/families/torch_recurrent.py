"""Recurrent networks in PyTorch, batch 1."""

from __future__ import annotations

from typing import Any

from families.network import Network

_SEED = 11
_STEPS, _FEATURES, _UNITS = 9, 6, 16


def lstm() -> Network:
    """Return two LSTM layers and a dense one on the last step."""
    return _classifier("LSTM", num_layers=2)


def gru() -> Network:
    """Return a GRU layer and a dense one on the last step."""
    return _classifier("GRU")


def simple_rnn() -> Network:
    """Return a layer `tanh(Wx + Rh + b)` and a dense one on the last step."""
    return _classifier("RNN")


def _classifier(kind: str, **options: Any) -> Network:
    import torch
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = getattr(nn, kind)(_FEATURES, _UNITS, batch_first=True, **options)
            self.head = nn.Linear(_UNITS, 4)

        def forward(self, steps: torch.Tensor) -> torch.Tensor:
            return self.head(self.recurrent(steps)[0][:, -1])

    torch.manual_seed(_SEED)
    return Network(model=Classifier().eval(), shapes={"steps": (1, _STEPS, _FEATURES)}, outputs=("scores",))


def lstm_state() -> Network:
    """Return an LSTM that takes and gives its state, for streams."""
    import torch
    from torch import nn

    class Stream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = nn.LSTM(_FEATURES, _UNITS, batch_first=True)
            self.head = nn.Linear(_UNITS, 4)

        def forward(self, steps: torch.Tensor, hidden: torch.Tensor, cell: torch.Tensor) -> tuple[torch.Tensor, ...]:
            y, (hidden_after, cell_after) = self.recurrent(steps, (hidden, cell))
            return self.head(y), hidden_after, cell_after

    torch.manual_seed(_SEED)
    state = (1, 1, _UNITS)
    return Network(
        model=Stream().eval(),
        shapes={"steps": (1, _STEPS, _FEATURES), "hidden": state, "cell": state},
        outputs=("scores", "hidden_after", "cell_after"),
    )


def gru_state() -> Network:
    """Return a GRU that takes and gives its state, for streams."""
    import torch
    from torch import nn

    class Stream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = nn.GRU(_FEATURES, _UNITS, batch_first=True)
            self.head = nn.Linear(_UNITS, 4)

        def forward(self, steps: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y, hidden_after = self.recurrent(steps, hidden)
            return self.head(y), hidden_after

    torch.manual_seed(_SEED)
    return Network(
        model=Stream().eval(),
        shapes={"steps": (1, _STEPS, _FEATURES), "hidden": (1, 1, _UNITS)},
        outputs=("scores", "hidden_after"),
    )


def bidirectional() -> Network:
    """Return a bidirectional LSTM, a bidirectional GRU over it, and a dense layer on every step."""
    import torch
    from torch import nn

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.LSTM(_FEATURES, _UNITS, batch_first=True, bidirectional=True)
            self.second = nn.GRU(2 * _UNITS, _UNITS, batch_first=True, bidirectional=True)
            self.head = nn.Linear(2 * _UNITS, 4)

        def forward(self, steps: torch.Tensor) -> torch.Tensor:
            return self.head(self.second(self.first(steps)[0])[0])

    torch.manual_seed(_SEED)
    return Network(model=Both().eval(), shapes={"steps": (1, _STEPS, _FEATURES)}, outputs=("scores",))

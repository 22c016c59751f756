"""The types of a TorchScript module's inputs are found by trying; a float input is never given integers for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeai_converters.sources.table import import_source

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")]


def test_of_many_inputs_only_the_one_that_must_hold_integers_does(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Caches(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(11, 4)

        def forward(self, tokens, a, b, c, d, e):  # type: ignore[no-untyped-def]
            return self.words(tokens) + a * b + c * d, e * 0.5

    names = ("tokens", "a", "b", "c", "d", "e")
    examples = (torch.zeros(1, 3, dtype=torch.int64), *(torch.rand(1, 3, 4) for _ in names[1:]))
    path = tmp_path / "caches.pt"
    torch.jit.save(torch.jit.trace(Caches().eval(), examples), str(path))
    shapes = {name: (1, 3) if name == "tokens" else (1, 3, 4) for name in names}
    imported = import_source(path, workdir=tmp_path, input_shapes=shapes)
    kinds = {name: array.dtype for name, array in imported.probe_inputs.items()}
    assert kinds.pop("tokens") == np.int64
    assert set(kinds.values()) == {np.dtype(np.float32)}

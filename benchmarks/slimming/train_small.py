"""Train one small network and write it: `python -m slimming.train_small NAME DATA EPOCHS OUT`, in its own process.

Writes `model.onnx` with a free batch. One thread and a fixed seed, so that the same machine learns the same weights.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from slimming.networks import NETWORKS

_SEED, _BATCH, _RATE, _DECAY = 0, 32, 2e-3, 0.02


def train(name: str, training: Path, *, epochs: int, folder: Path) -> None:
    """Fit the network by AdamW with a one-cycle rate to the samples of `training`, and export it."""
    import torch
    from families.save_torch import export, write_onnx
    from torch.nn import functional

    torch.manual_seed(_SEED)
    torch.set_num_threads(1)
    network = NETWORKS[name]()
    model: Any = network.model
    with np.load(training) as arrays:
        x, y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=_DECAY)
    steps = epochs * -(-len(x) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=_RATE, total_steps=steps)
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for picked in torch.randperm(len(x)).split(_BATCH):
            loss = functional.cross_entropy(model(x[picked]), y[picked], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(picked)
        print(f"epoch {epoch + 1} of {epochs}, loss {total / len(x):.3f}", file=sys.stderr, flush=True)
    model.eval()
    write_onnx(network, export(network), folder / "model.onnx")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(sys.stderr):
        train(sys.argv[1], Path(sys.argv[2]), epochs=int(sys.argv[3]), folder=Path(sys.argv[4]))

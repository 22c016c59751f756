"""Build, train and keep one hard network: `python -m hard_networks.train NAME FOLDER`, in a process of its own.

Writes `model.onnx` (free batch), `training.npz` and `evaluation.npz` (`x` float16 images `[n, 3, size, size]`; `y`
int64 classes, or float32 `[n, 5]` class and box for the detector) and `facts.json`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hard_networks.detection_metric import box_quality
from hard_networks.fit import class_loss, detection_loss, fit
from hard_networks.images import draw_images
from hard_networks.table import HARD_NETWORKS, Hard

_TRAINING_SEED, _EVALUATION_SEED = 11, 12
_BATCH = 250


def make(name: str, folder: Path) -> dict[str, Any]:
    """Make one network in `folder` and return its facts."""
    from families.network import Network
    from families.save_torch import export, write_onnx

    hard = HARD_NETWORKS[name]
    started = time.monotonic()
    images, labels = _draw(hard, hard.training, seed=_TRAINING_SEED, held_out=False)
    unseen, truth = _draw(hard, hard.evaluation, seed=_EVALUATION_SEED, held_out=True)
    network: Any = hard.build()
    loss = detection_loss if hard.detects else class_loss
    fit(network, images.astype(np.float32), labels, loss, epochs=hard.epochs, rate=hard.rate)
    for each in (labels, truth):
        each[:, 1:] *= hard.frame
    trained = score(hard, network, unseen, truth)
    network = hard.finish(network)
    kept = score(hard, network, unseen, truth)
    shape = (None, *unseen.shape[1:])
    whole = Network(model=network, shapes={"image": shape}, outputs=hard.outputs)
    write_onnx(whole, export(whole), folder / "model.onnx")
    for file, x, y in (("training", images, labels), ("evaluation", unseen, truth)):
        np.savez(folder / f"{file}.npz", x=x, y=y if hard.detects else y[:, 0].astype(np.int64))
    facts = {
        "parameters": sum(tensor.numel() for tensor in network.parameters()),
        "score_trained": trained,
        "score": kept,
        "training": hard.training,
        "evaluation": hard.evaluation,
        "seconds": time.monotonic() - started,
    }
    (folder / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return facts


def score(hard: Hard, network: Any, images: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the mean of the network's metric, in PyTorch."""
    import torch

    scores = []
    with torch.no_grad():
        for start in range(0, len(images), _BATCH):
            some, truth = images[start : start + _BATCH], labels[start : start + _BATCH]
            answer = network(torch.from_numpy(some.astype(np.float32)))
            if hard.detects:
                outputs = {key: tensor.numpy() for key, tensor in zip(hard.outputs, answer, strict=True)}
                scores.append(box_quality(outputs, truth))
            else:
                scores.append((answer.numpy().argmax(axis=1) == truth[:, 0]).astype(np.float64))
    return float(np.concatenate(scores).mean())


def _draw(hard: Hard, n: int, *, seed: int, held_out: bool) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    images, labels = draw_images(hard.scene, n, seed=seed, held_out=held_out)
    return images.astype(np.float16), labels


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(sys.stderr):
        found = make(sys.argv[1], Path(sys.argv[2]))
    print(json.dumps(found))

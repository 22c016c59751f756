"""The training loop: passes over examples, early stop on a score, checkpoints, time left.

It knows neither quantization nor pruning nor distillation: what is minimised and what is scored are functions.
Deterministic under a seed, on one device with one number of threads; a training that was interrupted and goes on from
its checkpoint ends with the same weights as one that was not.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.progress import OnStep
from edgeai_converters.require import require
from edgeai_converters.train.checkpoint import load_checkpoint, save_checkpoint
from edgeai_converters.train.examples import Examples
from edgeai_converters.train.ops.view import Tensor
from edgeai_converters.train.schedule import rate_factor
from edgeai_converters.train.torch_threads import torch_threads
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.workfolder import digest_of
from edgeai_runtime.errors import DataError

_LOG = logging.getLogger(__name__)

_LEAST_SIZE, _LEAST_SIZE_OF_A_VECTOR = 1e-3, 0.05
"""Sizes that weights and biases are given at least: those that begin at 0 must be able to leave it."""

LossOf = Callable[[dict[str, Tensor], "Tensor | None"], Tensor]
"""(inputs by name, labels or `None`) → the loss, a single number with a gradient."""

Augment = Callable[[Mapping[str, NDArray[Any]], np.random.Generator], Mapping[str, NDArray[Any]]]
"""Prepared inputs by name → as many others with the same labels."""

Ended = Literal["finished", "no_gain", "time", "interrupted", "diverged"]


@dataclass(frozen=True, kw_only=True)
class Training:
    """What happened in a training.

    Attributes:
        ended: why it ended: all passes done, no better score for `patience` passes, out of time, asked to stop, or a
            loss that is no number.
        epochs: passes done.
        steps: steps done.
        first_score: score before the first step.
        best_score: score of the weights that were kept.
        best_epoch: the pass that gave them; 0 for those it began with.
        scores: score after each pass.
        losses: mean loss of each pass.
        duration_s: seconds, those before an interruption counted in.
    """

    ended: Ended
    epochs: int
    steps: int
    first_score: float
    best_score: float
    best_epoch: int
    scores: tuple[float, ...]
    losses: tuple[float, ...]
    duration_s: float


@dataclass(kw_only=True)
class _State:
    """How far a training is."""

    epoch: int = 0
    step: int = 0
    first_score: float = -math.inf
    best_score: float = -math.inf
    best_epoch: int = 0
    scores: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    spent_s: float = 0.0


def fit(
    module: Any,
    examples: Examples,
    *,
    loss_of: LossOf,
    score: Callable[[], float],
    spec: TrainingSpec,
    rates: Sequence[tuple[Sequence[Tensor], float]] = (),
    augment: Augment | None = None,
    folder: Path | None = None,
    key: str = "",
    on_step: OnStep | None = None,
    stop: Callable[[], bool] | None = None,
) -> Training:
    """Train a module in place; it ends with the weights of the best score, which may be those it began with.

    Args:
        module: a `torch.nn.Module`, on the device where the inputs will be put.
        examples: what to train on.
        loss_of: what is minimised.
        score: what is maximised, on samples that are not trained on; called before the first and after each pass.
        spec: how to train.
        rates: parameters with a learning rate of their own, as a factor of the spec's; the others have the root mean
            square of their values.
        augment: changes the inputs of each step.
        folder: where checkpoints are kept; a training with the same spec and `key` goes on from there.
        key: digest of all else the training depends on.
        on_step: called after each step with steps done, steps in all, and a label that tells the time left.
        stop: asked after each step; training ends at once when it holds, and can go on from the last whole pass.

    Raises:
        DataError: there is no example.
    """
    torch = require("torch", extra="torch")
    if not len(examples):
        raise DataError("There is no example to train on.")
    device = next(module.parameters()).device
    optimizer = torch.optim.AdamW(_groups(module, spec, rates))
    per_epoch = -(-len(examples) // spec.batch_size)
    total = per_epoch * spec.epochs
    key = digest_of({"spec": asdict(spec), "key": key, "examples": len(examples)})
    state, best = _State(), copy.deepcopy(module.state_dict())
    ended: Ended = "finished"
    with torch_threads(spec.threads):
        saved = load_checkpoint(folder, key) if folder is not None else None
        if saved is not None:
            module.load_state_dict(saved["module"])
            optimizer.load_state_dict(saved["optimizer"])
            best, state = saved["best"], _State(**saved["state"])
        else:
            state.first_score = state.best_score = score()
        began = time.monotonic() - state.spent_s
        began_here, first_step = time.monotonic(), state.step
        while state.epoch < spec.epochs and ended == "finished":
            if spec.patience is not None and state.epoch - state.best_epoch >= spec.patience:
                ended = "no_gain"
                break
            order = np.random.default_rng([spec.seed, state.epoch]).permutation(len(examples))
            losses = []
            for number in range(per_epoch):
                chosen = order[number * spec.batch_size : (number + 1) * spec.batch_size]
                inputs, labels = _read(torch, examples, chosen, augment, [spec.seed, state.epoch, number], device)
                for group in optimizer.param_groups:
                    group["lr"] = group["highest"] * rate_factor(state.step, total, warm_up=spec.warm_up)
                loss = loss_of(inputs, labels)
                losses.append(float(loss.detach()))
                if not math.isfinite(losses[-1]):
                    ended = "diverged"
                    break
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                state.step += 1
                if on_step is not None:
                    pace = (time.monotonic() - began_here) / (state.step - first_step)
                    on_step(state.step, total, _label(state, spec, pace * (total - state.step)))
                if stop is not None and stop():
                    ended = "interrupted"
                    break
                if spec.max_duration_s is not None and time.monotonic() - began > spec.max_duration_s:
                    ended = "time"
                    break
            if ended in ("diverged", "interrupted"):
                break
            state.epoch += 1
            state.losses.append(float(np.mean(losses)))
            state.scores.append(score())
            if state.scores[-1] > state.best_score:
                state.best_score, state.best_epoch = state.scores[-1], state.epoch
                best = copy.deepcopy(module.state_dict())
            state.spent_s = time.monotonic() - began
            if folder is not None and ended == "finished":
                states = {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "best": best}
                save_checkpoint(folder, key, {**states, "state": asdict(state)})
        duration_s = time.monotonic() - began
    module.load_state_dict(best)
    _LOG.info("training %s after %d passes: %.4g → %.4g", ended, state.epoch, state.first_score, state.best_score)
    return Training(
        ended=ended,
        epochs=state.epoch,
        steps=state.step,
        first_score=state.first_score,
        best_score=state.best_score,
        best_epoch=state.best_epoch,
        scores=tuple(state.scores),
        losses=tuple(state.losses),
        duration_s=duration_s,
    )


def _groups(module: Any, spec: TrainingSpec, rates: Sequence[tuple[Sequence[Tensor], float]]) -> list[dict[str, Any]]:
    """Return the optimizer's groups, one per parameter, with its highest rate.

    Adam's steps are as large as the rate, whatever the weights' size: in a graph with folded normalization, where that
    differs a thousandfold between layers, one rate for all destroys some. So rates are in proportion to the weights,
    the relative step size of Adafactor (Shazeer and Stern 2018, arXiv:1804.04235, section 8).
    """
    own = {id(tensor): factor for tensors, factor in rates for tensor in tensors}
    groups = []
    for tensor in module.parameters():
        least = _LEAST_SIZE_OF_A_VECTOR if tensor.ndim < 2 else _LEAST_SIZE
        size = max(least, float(tensor.detach().square().mean().sqrt()))
        rate = spec.learning_rate * own.get(id(tensor), size)
        decay = 0.0 if id(tensor) in own else spec.weight_decay
        groups.append({"params": [tensor], "lr": rate, "highest": rate, "weight_decay": decay})
    return groups


def _read(
    torch: Any,
    examples: Examples,
    chosen: NDArray[np.int64],
    augment: Augment | None,
    seed: list[int],
    device: Any,
) -> tuple[dict[str, Tensor], Tensor | None]:
    arrays: Mapping[str, NDArray[Any]] = examples.read(chosen)
    if augment is not None:
        arrays = augment(arrays, np.random.default_rng(seed))
    inputs = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}
    labels = None if examples.labels is None else torch.from_numpy(np.asarray(examples.labels)[chosen]).to(device)
    return inputs, labels


def _label(state: _State, spec: TrainingSpec, left_s: float) -> str:
    minutes, seconds = divmod(round(left_s), 60)
    return f"epoch {state.epoch + 1} of {spec.epochs}, {minutes}:{seconds:02d} left, best score {state.best_score:.4g}"

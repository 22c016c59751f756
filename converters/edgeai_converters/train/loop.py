"""The training loop: passes over examples, early stop on a score, checkpoints, time left.

It knows neither quantization nor pruning nor distillation: what is minimised and what is scored are functions.
Deterministic under a seed, on one device with one number of threads; a training that was interrupted, also in the
middle of a pass, and goes on from its checkpoint ends with the same weights as one that was not.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.progress import OnStep
from edgeai_converters.require import require
from edgeai_converters.train.average import Average
from edgeai_converters.train.course import Course
from edgeai_converters.train.examples import Examples
from edgeai_converters.train.interruption import interrupt_noted
from edgeai_converters.train.ops.view import Tensor
from edgeai_converters.train.optimizer import make_optimizer, set_rate
from edgeai_converters.train.precision import lay_out
from edgeai_converters.train.read_ahead import read_ahead
from edgeai_converters.train.schedule import rate_factor
from edgeai_converters.train.torch_threads import torch_threads
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.workfolder import digest_of
from edgeai_runtime.errors import DataError

_LOG = logging.getLogger(__name__)

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
        averaged: whether the weights that were kept are averaged ones.
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
    averaged: bool = False


_NOT_IN_THE_KEY = ("max_duration_s", "checkpoint_s", "patience")
"""What decides when a training ends, not what it computes: it goes on when they are changed."""


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
        examples: what to train on; read, and augmented, in a thread ahead of the steps.
        loss_of: what is minimised.
        score: what is maximised, on samples that are not trained on; called before the first and after each pass.
        spec: how to train.
        rates: parameters with a learning rate of their own, as a factor of the spec's; the others have the root mean
            square of their values.
        augment: changes the inputs of each step.
        folder: where checkpoints are kept; a training with the same spec and `key` goes on from there.
        key: digest of all else the training depends on.
        on_step: called after each step with steps done, steps in all, and a label that tells the time left.
        stop: asked after each step; training ends at once when it holds, and can go on from there.

    Raises:
        DataError: there is no example.
        KeyboardInterrupt: Ctrl-C was pressed; with a folder a checkpoint was written first.
    """
    if not len(examples):
        raise DataError("There is no example to train on.")
    per_epoch = -(-len(examples) // spec.batch_size)
    total = per_epoch * spec.epochs
    for parameter in module.parameters():
        parameter.data = lay_out(parameter.data)
    optimizer = make_optimizer(module, spec, rates)
    average = Average(module, spec.averaging * total) if spec.averaging else None
    chosen = {name: value for name, value in asdict(spec).items() if name not in _NOT_IN_THE_KEY}
    key = digest_of({"spec": chosen, "key": key, "examples": len(examples)})
    course = Course(module, optimizer, average, folder=folder, key=key)
    ended: Ended = "finished"
    with torch_threads(spec.threads), interrupt_noted() as pressed:
        course.begin(score)
        at = course.at
        while at.epoch < spec.epochs and ended == "finished":
            if spec.patience is not None and at.epoch - at.best_epoch >= spec.patience:
                ended = "no_gain"
                break
            with closing(_batches(examples, spec, at.epoch, at.number, per_epoch, augment)) as batches:
                for batch in batches:
                    if _is_over(course, spec):
                        ended = "time"
                        break
                    inputs, labels = _tensors(batch, next(module.parameters()).device)
                    set_rate(optimizer, rate_factor(_progress(course, spec, total), total, warm_up=spec.warm_up))
                    loss = loss_of(inputs, labels)
                    value = float(loss.detach())
                    if not math.isfinite(value):
                        ended = "diverged"
                        break
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                    if average is not None:
                        average.update()
                    at.running.append(value)
                    at.step, at.number = at.step + 1, at.number + 1
                    if on_step is not None:
                        on_step(at.step, total, _label(course, spec, total))
                    if pressed() or (stop is not None and stop()):
                        ended = "interrupted"
                        break
                    course.save(every_s=spec.checkpoint_s)
            if ended in ("interrupted", "time"):
                course.save()
            if pressed():
                raise KeyboardInterrupt
            if ended in ("diverged", "interrupted"):
                break
            if at.number:
                course.end_pass(score)
            if ended == "finished":
                course.save()
        duration_s = course.spent_s
        if pressed():  # while the last pass was scored
            raise KeyboardInterrupt
    course.take_best()
    _LOG.info("training %s after %d passes: %.4g → %.4g", ended, at.epoch, at.first_score, at.best_score)
    return Training(
        ended=ended,
        epochs=at.epoch,
        steps=at.step,
        first_score=at.first_score,
        best_score=at.best_score,
        best_epoch=at.best_epoch,
        scores=tuple(at.scores),
        losses=tuple(at.losses),
        duration_s=duration_s,
        averaged=at.best_is_average,
    )


_Batch = tuple[Mapping[str, NDArray[Any]], "NDArray[Any] | None"]


def _batches(
    examples: Examples, spec: TrainingSpec, epoch: int, first: int, per_epoch: int, augment: Augment | None
) -> Generator[_Batch, None, None]:
    """Yield the inputs and labels of a pass from its step `first` on; what is drawn depends on seed, pass and step."""
    order = np.random.default_rng([spec.seed, epoch]).permutation(len(examples))

    def read(number: int) -> _Batch:
        chosen = order[number * spec.batch_size : (number + 1) * spec.batch_size]
        arrays: Mapping[str, NDArray[Any]] = examples.read(chosen)
        if augment is not None:
            arrays = augment(arrays, np.random.default_rng([spec.seed, epoch, number]))
        labels = None if examples.labels is None else np.asarray(examples.labels)[chosen]
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}, labels

    return read_ahead(range(first, per_epoch), read)


def _tensors(batch: _Batch, device: Any) -> tuple[dict[str, Tensor], Tensor | None]:
    torch = require("torch", extra="torch")
    arrays, labels = batch
    inputs = {name: lay_out(torch.from_numpy(array).to(device)) for name, array in arrays.items()}
    return inputs, None if labels is None else torch.from_numpy(labels).to(device)


def _is_over(course: Course, spec: TrainingSpec) -> bool:
    return spec.max_duration_s is not None and course.at.step > 0 and course.spent_s > spec.max_duration_s


def _progress(course: Course, spec: TrainingSpec, total: int) -> float:
    """Return the step that the schedule is at: further on than the steps are, when time is what ends the training."""
    share = 0.0 if spec.max_duration_s is None else course.spent_s / spec.max_duration_s
    return max(float(course.at.step), min(1.0, share) * total)


def _label(course: Course, spec: TrainingSpec, total: int) -> str:
    left_s = course.left_s(total)
    if spec.max_duration_s is not None:
        left_s = min(left_s, max(0.0, spec.max_duration_s - course.spent_s))
    minutes, seconds = divmod(round(left_s), 60)
    at = course.at
    return f"epoch {at.epoch + 1} of {spec.epochs}, {minutes}:{seconds:02d} left, best score {at.best_score:.4g}"

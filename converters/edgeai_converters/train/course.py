"""How far a training is: all that a checkpoint holds, so that it can go on as if it had never stopped."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgeai_converters.train.average import Average
from edgeai_converters.train.checkpoint import load_checkpoint, save_checkpoint

_SHARE_OF_WRITING = 0.05
"""Checkpoints take at most this share of the time, however large the network is."""


@dataclass(kw_only=True)
class Counters:
    """Numbers of a training.

    Attributes:
        epoch: whole passes done.
        number: steps done of the pass that runs.
        step: steps done in all.
        first_score: score before the first step.
        best_score: score of the best weights.
        best_epoch: the pass that gave them.
        best_is_average: whether they are the averaged ones.
        scores: score after each pass.
        losses: mean loss of each pass.
        running: losses of the steps of the pass that runs.
        spent_s: seconds.
    """

    epoch: int = 0
    number: int = 0
    step: int = 0
    first_score: float = -math.inf
    best_score: float = -math.inf
    best_epoch: int = 0
    best_is_average: bool = False
    scores: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    running: list[float] = field(default_factory=list)
    spent_s: float = 0.0


class Course:
    """A training under way: module, optimizer, averaged weights, the best so far, and how far it is.

    Attributes:
        at: the counters.
        first_step: the step it began with here, after the checkpoint it goes on from.
    """

    def __init__(self, module: Any, optimizer: Any, average: Average | None, *, folder: Path | None, key: str) -> None:
        self.at = Counters()
        self.first_step = 0
        self._module, self._optimizer, self._average = module, optimizer, average
        self._folder, self._key = folder, key
        self._best = copy.deepcopy(module.state_dict())
        self._began = self._began_here = self._saved = time.monotonic()
        self._writing_s = 0.0

    def begin(self, score: Callable[[], float]) -> None:
        """Go on from the checkpoint where there is one, else score the module as it is."""
        saved = load_checkpoint(self._folder, self._key) if self._folder is not None else None
        if saved is not None:
            self._module.load_state_dict(saved["module"])
            self._optimizer.load_state_dict(saved["optimizer"])
            if self._average is not None:
                self._average.load(saved["average"])
            self._best, self.at = saved["best"], Counters(**saved["state"])
        else:
            self.at.first_score = self.at.best_score = score()
        self._began_here = self._saved = time.monotonic()
        self._began = self._began_here - self.at.spent_s
        self.first_step = self.at.step

    @property
    def spent_s(self) -> float:
        """Seconds so far, those before an interruption counted in."""
        return time.monotonic() - self._began

    def left_s(self, total: int) -> float:
        """Return the seconds that the rest of `total` steps will take at the pace so far."""
        done = self.at.step - self.first_step
        return (time.monotonic() - self._began_here) / max(1, done) * (total - self.at.step)

    def end_pass(self, score: Callable[[], float]) -> None:
        """Close a pass: score the weights and the averaged ones, keep the best."""
        found = [(score(), False)]
        if self._average is not None:
            with self._average.in_place():
                found.append((score(), True))
        value, averaged = max(found, key=lambda one: -math.inf if math.isnan(one[0]) else one[0])
        at = self.at
        at.epoch, at.number = at.epoch + 1, 0
        at.losses.append(sum(at.running) / max(1, len(at.running)))
        at.running = []
        at.scores.append(value)
        if value > at.best_score:
            at.best_score, at.best_epoch, at.best_is_average = value, at.epoch, averaged
            if averaged and self._average is not None:
                with self._average.in_place():
                    self._best = copy.deepcopy(self._module.state_dict())
            else:
                self._best = copy.deepcopy(self._module.state_dict())

    def save(self, *, every_s: float = 0.0) -> None:
        """Write a checkpoint, when the last one is `every_s` old and writing has not taken too much of the time."""
        since = time.monotonic() - self._saved
        if self._folder is None or (every_s and since < max(every_s, self._writing_s / _SHARE_OF_WRITING)):
            return
        started = time.monotonic()
        self.at.spent_s = self.spent_s
        states = {"module": self._module.state_dict(), "optimizer": self._optimizer.state_dict(), "best": self._best}
        average = {} if self._average is None else self._average.state()
        save_checkpoint(self._folder, self._key, {**states, "average": average, "state": asdict(self.at)})
        self._saved = time.monotonic()
        self._writing_s = self._saved - started

    def take_best(self) -> None:
        """Leave the module with the weights of the best score."""
        self._module.load_state_dict(self._best)

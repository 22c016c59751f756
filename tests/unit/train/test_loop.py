"""The training loop on a straight line: stops, ends, checkpoints, augmentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_converters.train.checkpoint import load_checkpoint
from edgeai_converters.train.examples import ArrayExamples
from edgeai_converters.train.loop import Training, fit
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_runtime.errors import DataError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

LINE = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]


class Line:
    """A line to learn, with what a training of it needs."""

    def __init__(self, slope: float = 2.0) -> None:
        self.module = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(self.module.weight, 1.0)
        torch.nn.init.zeros_(self.module.bias)
        self.examples = ArrayExamples(inputs={"x": LINE}, labels=slope * LINE)

    def loss_of(self, inputs: dict[str, Any], labels: Any) -> Any:
        return (self.module(inputs["x"]) - labels).square().mean()

    def score(self) -> float:
        with torch.no_grad():
            return -float(
                (self.module(torch.from_numpy(LINE)) - torch.from_numpy(self.examples.labels)).square().mean()
            )

    def fit(
        self, score: Callable[[], float] | None = None, spec: dict[str, Any] | None = None, **more: Any
    ) -> Training:
        chosen = TrainingSpec(**{"epochs": 20, "batch_size": 5, "learning_rate": 0.1} | (spec or {}))
        return fit(self.module, self.examples, loss_of=self.loss_of, score=score or self.score, spec=chosen, **more)


def test_line_is_learned() -> None:
    line = Line()
    training = line.fit()
    assert line.module.weight.item() == pytest.approx(2.0, abs=0.05)
    assert (training.ended, training.epochs, training.steps) == ("finished", 20, 80)
    assert training.best_score == max(training.scores) > training.first_score


def test_module_ends_with_the_weights_of_the_best_score() -> None:
    line = Line()
    scores = iter([0.0, 1.0, 5.0, 2.0])
    weights: list[float] = []

    def score() -> float:
        weights.append(line.module.weight.item())
        return next(scores)

    assert line.fit(score, {"epochs": 3}).best_epoch == 2
    assert line.module.weight.item() == weights[2] != weights[3]


def test_without_a_gain_training_stops_and_leaves_the_weights_as_they_were() -> None:
    line = Line()
    scores = iter(range(0, -100, -1))
    training = line.fit(lambda: float(next(scores)), {"patience": 3})
    assert (training.ended, training.epochs, training.best_epoch) == ("no_gain", 3, 0)
    assert line.module.weight.item() == 1.0


def test_loss_that_is_no_number_ends_the_training() -> None:
    line = Line(slope=float("nan"))
    training = line.fit(lambda: 0.0)
    assert training.ended == "diverged"
    assert line.module.weight.item() == 1.0


def test_time_limit_ends_the_training_with_a_score() -> None:
    training = Line().fit(None, {"max_duration_s": 1e-6})
    assert (training.ended, training.steps, len(training.scores)) == ("time", 1, 1)


def test_augmentation_changes_what_is_trained_on_and_is_drawn_anew_each_step() -> None:
    seen: list[float] = []

    def augment(inputs: Mapping[str, Any], random: np.random.Generator) -> Mapping[str, Any]:
        seen.append(random.random())
        return {"x": inputs["x"] * 0}

    line = Line()
    line.fit(None, {"epochs": 2}, augment=augment)
    assert len(set(seen)) == 8
    assert line.module.weight.item() == 1.0


def test_parameters_can_have_a_rate_of_their_own() -> None:
    line = Line()
    scores = iter(range(10))
    line.fit(lambda: float(next(scores)), {"epochs": 1}, rates=[([line.module.weight], 0.0)])
    assert line.module.weight.item() == 1.0
    assert line.module.bias.item() != 0.0


def test_checkpoint_of_another_training_is_left_alone(tmp_path: Path) -> None:
    Line().fit(None, {"epochs": 2}, folder=tmp_path, key="one")
    assert Line().fit(None, {"epochs": 2}, folder=tmp_path, key="other").steps == 8
    calls: list[int] = []
    Line().fit(None, {"epochs": 2}, folder=tmp_path, key="other", on_step=lambda done, total, label: calls.append(done))
    assert calls == []


def test_broken_checkpoint_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"half a file")
    assert load_checkpoint(tmp_path, "key") is None
    assert Line().fit(None, {"epochs": 1}, folder=tmp_path).ended == "finished"


def test_nothing_to_train_on_is_refused() -> None:
    line = Line()
    line.examples = ArrayExamples(inputs={"x": LINE[:0]}, labels=LINE[:0])
    with pytest.raises(DataError, match="no example"):
        line.fit()


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="different numbers of samples"):
        ArrayExamples(inputs={"x": LINE}, labels=LINE[1:])

"""The training loop on a straight line: stops, ends, checkpoints, augmentation."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_converters.train import loop
from edgeai_converters.train.checkpoint import load_checkpoint
from edgeai_converters.train.examples import ArrayExamples
from edgeai_converters.train.loop import Training, fit
from edgeai_converters.train.schedule import rate_factor
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

    assert line.fit(score, {"epochs": 3, "averaging": 0.0}).best_epoch == 2
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


@pytest.mark.parametrize("spec", [{}, {"averaging": 0.2, "weight_decay": 0.1}])
@pytest.mark.parametrize("at", [1, 6, 9])
def test_interrupted_in_the_middle_of_a_pass_it_ends_with_the_same_weights(
    tmp_path: Path, at: int, spec: dict[str, Any]
) -> None:
    whole, half, rest = Line(), Line(), Line()
    wanted = whole.fit(None, {"epochs": 3} | spec)
    asked = iter(range(1, 100))
    training = half.fit(None, {"epochs": 3} | spec, folder=tmp_path, stop=lambda: next(asked) == at)
    assert (training.ended, training.steps) == ("interrupted", at)
    found = rest.fit(None, {"epochs": 3} | spec, folder=tmp_path)
    assert rest.module.weight.item() == whole.module.weight.item()
    assert (found.scores, found.losses, found.steps) == (wanted.scores, wanted.losses, wanted.steps)


def test_checkpoint_inside_a_pass_outlives_a_crash(tmp_path: Path) -> None:
    whole, lost, rest = Line(), Line(), Line()
    whole.fit(None, {"epochs": 1})

    def crash(done: int, total: int, label: str) -> None:
        if done == 3:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        lost.fit(None, {"epochs": 1, "checkpoint_s": 1e-9}, folder=tmp_path, on_step=crash)
    steps: list[int] = []
    rest.fit(None, {"epochs": 1}, folder=tmp_path, on_step=lambda done, total, label: steps.append(done))
    assert steps[0] in (2, 3)  # writing takes its share of the time at most
    assert rest.module.weight.item() == whole.module.weight.item()


def test_ctrl_c_writes_a_checkpoint_and_then_interrupts(tmp_path: Path) -> None:
    whole, half, rest = Line(), Line(), Line()
    whole.fit(None, {"epochs": 2})

    def press(done: int, total: int, label: str) -> None:
        if done == 6:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        half.fit(None, {"epochs": 2}, folder=tmp_path, on_step=press)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    steps: list[int] = []
    rest.fit(None, {"epochs": 2}, folder=tmp_path, on_step=lambda done, total, label: steps.append(done))
    assert steps == [7, 8]
    assert rest.module.weight.item() == whole.module.weight.item()


def test_training_out_of_time_goes_on_when_it_is_given_more(tmp_path: Path) -> None:
    assert Line().fit(None, {"epochs": 2, "max_duration_s": 1e-6}, folder=tmp_path).steps == 1
    again = Line().fit(None, {"epochs": 2, "max_duration_s": 1e-6}, folder=tmp_path)
    assert (again.ended, again.steps) == ("time", 1)
    longer = Line().fit(None, {"epochs": 2, "max_duration_s": 600.0}, folder=tmp_path)
    assert (longer.ended, longer.steps) == ("finished", 8)


def test_rate_is_down_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    monkeypatch.setattr(loop, "set_rate", lambda optimizer, factor: rates.append(factor))

    def slow(inputs: Mapping[str, Any], random: np.random.Generator) -> Mapping[str, Any]:
        time.sleep(0.05)
        return inputs

    training = Line().fit(None, {"epochs": 1000, "max_duration_s": 1.0}, augment=slow)
    assert training.ended == "time"
    assert rates[-1] < 0.3 < 0.8 < max(rates)


def test_averaged_weights_are_kept_where_they_score_better() -> None:
    line, weights = Line(), []
    scores = iter([0.0, 1.0, 2.0])

    def score() -> float:
        weights.append(line.module.weight.item())
        return next(scores)

    training = line.fit(score, {"epochs": 1, "averaging": 1.0})
    assert training.averaged
    assert training.scores == (2.0,)
    begun, last, averaged = weights
    assert line.module.weight.item() == averaged
    assert begun < averaged < last


def test_decay_shrinks_weights_by_its_share_and_leaves_biases() -> None:
    line = Line()
    torch.nn.init.constant_(line.module.bias, 1.0)
    frozen = type("Frozen", (Line,), {"loss_of": lambda self, inputs, labels: self.module(inputs["x"]).sum() * 0})
    line.__class__ = frozen
    scores = iter(range(10))
    line.fit(lambda: float(next(scores)), {"epochs": 1, "weight_decay": 0.5, "warm_up": 0.0})
    factors = [rate_factor(step, 4, warm_up=0.0) for step in range(4)]
    assert line.module.weight.item() == pytest.approx(np.prod([1 - 0.1 * 0.5 * factor for factor in factors]))
    assert line.module.bias.item() == 1.0


def test_nothing_to_train_on_is_refused() -> None:
    line = Line()
    line.examples = ArrayExamples(inputs={"x": LINE[:0]}, labels=LINE[:0])
    with pytest.raises(DataError, match="no example"):
        line.fit()


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="different numbers of samples"):
        ArrayExamples(inputs={"x": LINE}, labels=LINE[1:])

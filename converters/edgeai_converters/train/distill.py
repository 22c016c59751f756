"""Distillation: a student learns to answer as its teacher does; labels help where there are some.

Class scores are softened (Hinton et al. 2015, arXiv:1503.02531), other outputs are followed each by its kind, and inner
values may be matched. With augmentation the teacher sees what the student sees (Beyer et al. 2022, arXiv:2106.05237);
without, it answers once per sample.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.evaluate.metrics import Metric
from edgeai_converters.progress import OnStep
from edgeai_converters.train.device import choose_device
from edgeai_converters.train.examples import Examples
from edgeai_converters.train.features import feature_loss, with_features
from edgeai_converters.train.loop import Augment, Training, fit
from edgeai_converters.train.losses import distillation_loss, label_loss, spread_of, takes_labels
from edgeai_converters.train.normalized import make_normalized_twin
from edgeai_converters.train.ops.view import Tensor
from edgeai_converters.train.parameters import trained_constants
from edgeai_converters.train.precision import choose_precision, run_in
from edgeai_converters.train.score import SearchScore
from edgeai_converters.train.teacher import AnyTeacher, Teacher, teach
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.train.twin import Twin, digest_of_graph, make_twin, write_back
from edgeai_converters.workfolder import digest_of
from edgeai_runtime.errors import UsageError

_TAUGHT = "taught:"
"""What the teacher says travels with the inputs of a step, under names that no graph has."""


def distill(
    student: ir.Model,
    teacher: AnyTeacher,
    spec: TrainingSpec,
    examples: Examples,
    *,
    search: Examples,
    metric: Metric | None = None,
    augment: Augment | None = None,
    features: Mapping[str, str] | None = None,
    feature_weight: float = 1.0,
    folder: Path | None = None,
    key: str = "",
    on_step: OnStep | None = None,
    stop: Callable[[], bool] | None = None,
) -> tuple[ir.Model, Training]:
    """Return a copy of the student trained to answer as the teacher, and what happened.

    Args:
        student: a float graph, simplified; not changed.
        teacher: a float graph of any architecture, or a function that runs anything: from prepared inputs by the
            student's names to outputs in the student's terms. Names, layouts of maps and probabilities against class
            scores are brought together for graphs.
        spec: how to train. `label_weight` is what labels have of the loss of the first output.
        examples: what to train on; labels are optional, and unused where they do not fit the first output.
        search: samples of the search split; the weights that do best on them are kept.
        metric: what "best" is, with the teacher as the reference; by default the distance to the teacher.
        augment: changes the inputs of each step; the teacher then answers anew.
        features: inner values of the student → inner values of the teacher to follow.
        feature_weight: weight of each of them, beside the outputs' 1.
        folder: where an interrupted training goes on from.
        key: digest of the examples, of `augment`, and of a teacher that is a function. With it the teacher's answers
            are kept in the folder, else in memory.
        on_step: called after each step; the label tells the time left.
        stop: asked after each step.

    Raises:
        UsageError: tensors of student and teacher that do not belong together.
        UnsupportedOperationError: an operator that the twin does not have.
    """
    device = choose_device(spec)
    precision = choose_precision(spec.precision, student, device)
    features = dict(features or {})
    add_features = functools.partial(with_features, features=features)
    asked = Teacher(teacher, student, labels=examples.labels, features=features, threads=spec.threads)
    if not asked.kinds:
        raise UsageError("The student has no output of real numbers that could follow a teacher's.")
    made = make_normalized_twin(student, examples, with_outputs=add_features) if spec.normalize else None
    if made is None:
        twin = make_twin(add_features(student), trained=trained_constants(student))
        made = twin, lambda: write_back(twin, student)
    twin, finish = made
    twin.to(device)
    sources = digest_of(
        [digest_of_graph(student), digest_of_graph(teacher) if isinstance(teacher, ir.Model) else "", features]
    )
    outputs = [str(value.name) for value in student.graph.outputs]
    wanted = teach(asked, search)
    taught: Examples = examples
    if augment is None:
        kept = digest_of([sources, key]) if key else ""
        targets = teach(asked, examples, folder=folder, key=kept, on_step=on_step)
        taught = _TaughtExamples(examples=examples, targets=targets)
        key = key or _digest_of_arrays(targets)
    anew = None if augment is None else asked.on_device(device, precision)
    loss_of = _Loss(
        twin=twin,
        teacher=asked,
        anew=anew,
        features=features,
        feature_weight=feature_weight,
        spec=spec,
        precision=precision,
        spread=spread_of(examples.labels),
    )
    training = fit(
        twin,
        taught,
        loss_of=loss_of,
        score=SearchScore(
            twin,
            search,
            {name: wanted[name] for name in outputs},
            metric=metric,
            kinds=asked.kinds,
            spec=spec,
            device=device,
        ),
        spec=spec,
        augment=augment,
        folder=folder,
        key=digest_of([sources, key, feature_weight, metric.name if metric else None, augment is not None, precision]),
        on_step=on_step,
        stop=stop,
    )
    return finish(), training


@dataclass(frozen=True, kw_only=True)
class _TaughtExamples:
    """Examples with what the teacher says of each."""

    examples: Examples
    targets: Mapping[str, NDArray[Any]]

    @property
    def labels(self) -> NDArray[Any] | None:
        return self.examples.labels

    def __len__(self) -> int:
        return len(self.examples)

    def read(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        taught = {_TAUGHT + name: np.asarray(array[indices]) for name, array in self.targets.items()}
        return self.examples.read(indices) | taught


@dataclass(frozen=True, kw_only=True)
class _Loss:
    """What is minimised: distance to the teacher's outputs and features, and to the labels.

    Attributes:
        twin: the student.
        teacher: tells what outputs mean.
        anew: what answers to inputs that were changed; `None` when the answers come with the examples.
        features: inner values of the student → of the teacher.
        feature_weight: weight of each.
        spec: how to train.
        precision: the format to compute in.
        spread: variance of the labels.
    """

    twin: Twin
    teacher: Teacher
    anew: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None
    features: Mapping[str, str]
    feature_weight: float
    spec: TrainingSpec
    precision: str
    spread: float

    def __call__(self, inputs: dict[str, Tensor], labels: Tensor | None) -> Tensor:
        kinds, share = self.teacher.kinds, self.spec.label_weight
        names = (*kinds, *self.features)
        wanted = {name: inputs[_TAUGHT + name] for name in names} if self.anew is None else self.anew(inputs)
        found = run_in(self.precision, self.twin, inputs)
        loss = distillation_loss(found, wanted, kinds, temperature=self.spec.temperature)
        first = self.twin.output_names[0]
        kind = kinds.get(first)
        if labels is not None and share > 0 and kind is not None and takes_labels(found[first], labels, kind):
            part = label_loss(found[first], labels, kind, smoothing=self.spec.label_smoothing)
            loss = (1 - share) * loss + share * (part / self.spread if kind == "values" else part)
        for name in self.features:
            loss = loss + self.feature_weight * feature_loss(found[name], wanted[name], name)
        return loss


def _digest_of_arrays(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = sha256()
    for name, array in arrays.items():
        digest.update(f"{name}{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

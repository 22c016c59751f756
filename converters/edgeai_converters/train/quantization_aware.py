"""Quantization-aware training: the weights learn to live with the engine's rounding.

The student is the twin of the graph with the plan's rounding in it, at exactly the places and with exactly the grids of
`insert_qdq`; gradients pass the rounding straight through. Its teacher is the float graph; labels are optional.
Activation ranges stay those of the plan, or are learned: LSQ, Esser et al. 2020 (arXiv:1902.08153, equations 1 to 3);
where we depart, Adam's steps make their gradient scale (section 2.2) unnecessary: each scale gets a rate in proportion
to its size. Zero points and the ranges of weights are not learned: weights follow the planner's rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import onnx_ir as ir

from edgeai_converters.evaluate.metrics import Metric
from edgeai_converters.progress import OnStep
from edgeai_converters.quantize.affine import real_range
from edgeai_converters.quantize.plan import QuantizationPlan, TensorQuantization
from edgeai_converters.require import require
from edgeai_converters.train.device import choose_device
from edgeai_converters.train.examples import Examples
from edgeai_converters.train.fake_quantization import FakeQuantized, fake_quantize
from edgeai_converters.train.loop import Augment, Training, fit
from edgeai_converters.train.losses import distillation_loss, label_loss, output_kinds
from edgeai_converters.train.ops.view import Tensor
from edgeai_converters.train.score import SearchScore, outputs_of
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.train.twin import Twin, make_twin, write_back
from edgeai_converters.workfolder import digest_of
from edgeai_runtime.errors import UsageError

_LEAST_SCALE = 0.1
"""A learned scale does not fall below this share of the plan's: at 0 its gradient would be none."""


@dataclass(frozen=True, kw_only=True)
class QuantizedTraining:
    """What quantization-aware training did.

    Attributes:
        training: what happened in the loop.
        ranges: the ranges of activations that were learned, by name: to be put over those the plan was made from.
    """

    training: Training
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)


def train_quantized(
    model: ir.Model,
    plan: QuantizationPlan,
    spec: TrainingSpec,
    examples: Examples,
    *,
    search: Examples,
    metric: Metric | None = None,
    learn_ranges: bool = False,
    augment: Augment | None = None,
    folder: Path | None = None,
    on_step: OnStep | None = None,
    stop: Callable[[], bool] | None = None,
) -> tuple[ir.Model, QuantizedTraining]:
    """Return a copy of the float graph with weights trained for the plan, to be planned and quantized as usual.

    Plan the result with the same ranges (those of the report put over them) and the same scheme: it then computes what
    the student computed.

    Args:
        model: the float graph: where the student starts, and the teacher; not changed.
        plan: what will be stored how.
        spec: how to train.
        examples: what to train on.
        search: samples of the search split; the weights that do best on them are kept.
        metric: what "best" is; by default the distance to the float graph.
        learn_ranges: learn the ranges of activations too.
        augment: changes the inputs of each step.
        folder: where an interrupted training goes on from.
        on_step: called after each step; the label tells the time left.
        stop: asked after each step.

    Raises:
        UsageError: the plan quantizes nothing.
        UnsupportedOperationError: an operator that the twin does not have.
    """
    torch = require("torch", extra="torch")
    if not plan.activations and not plan.weights:
        raise UsageError("The plan quantizes nothing: there is no rounding to train for.")
    device = choose_device(spec)
    fake = fake_quantize(model, plan)
    student, scales = _make_student(fake, learn_ranges=learn_ranges)
    student.to(device)
    teacher = make_twin(model, trained=())
    teacher.to(device)
    kinds = output_kinds(model, examples.labels)

    def loss_of(inputs: dict[str, Tensor], labels: Tensor | None) -> Tensor:
        with torch.no_grad():
            for name, least in scales.items():
                student.weights[name].clamp_(min=least * _LEAST_SCALE)
            wanted = teacher.run(inputs)
        found = student.run(inputs)
        loss = distillation_loss(found, wanted, kinds, temperature=spec.temperature)
        first = student.output_names[0]
        if labels is None or spec.label_weight == 0.0 or first not in kinds:
            return loss
        part = label_loss(found[first], labels, kinds[first], smoothing=spec.label_smoothing)
        return (1 - spec.label_weight) * loss + spec.label_weight * part

    wanted = outputs_of(teacher, search, device)
    score = SearchScore(student, search, wanted, metric=metric, kinds=kinds, spec=spec, device=device)
    training = fit(
        student,
        examples,
        loss_of=loss_of,
        score=score,
        spec=spec,
        rates=[([student.weights[name]], least) for name, least in scales.items()],
        augment=augment,
        folder=folder,
        key=_key(model, plan, learn_ranges, metric),
        on_step=on_step,
        stop=stop,
    )
    learned = {name: float(student.weights[name].detach()) for name in scales}
    return _only_weights(student, fake, model), QuantizedTraining(
        training=training, ranges=_learned_ranges(plan, fake, learned)
    )


def _make_student(fake: FakeQuantized, *, learn_ranges: bool) -> tuple[Twin, dict[str, float]]:
    """Return the student, and the names of the scales it learns with their values."""
    names = sorted(set(fake.scales.values())) if learn_ranges else []
    values = fake.model.graph.initializers
    scales = {name: float(tensor.numpy()) for name in names if (tensor := values[name].const_value) is not None}
    return make_twin(fake.model, trained=(*fake.trained, *scales)), scales


def _only_weights(student: Twin, fake: FakeQuantized, model: ir.Model) -> ir.Model:
    """Return the float graph with the student's weights, without its scales."""
    trained = write_back(student, fake.model)
    result = model.clone()
    for name in fake.trained:
        result.graph.initializers[name].const_value = trained.graph.initializers[name].const_value
    return result


def _learned_ranges(
    plan: QuantizationPlan, fake: FakeQuantized, learned: dict[str, float]
) -> dict[str, tuple[float, float]]:
    ranges = {}
    for name, scale in fake.scales.items():
        if scale in learned:
            old = plan.activations[name]
            new = TensorQuantization(dtype=old.dtype, scale=(learned[scale],), zero_point=old.zero_point)
            ranges[name] = real_range(new)
    return ranges


def _key(model: ir.Model, plan: QuantizationPlan, learn_ranges: bool, metric: Metric | None) -> str:
    graph = digest_of(ir.to_proto(model).SerializeToString().hex())
    return digest_of([graph, asdict(plan), learn_ranges, metric.name if metric is not None else None])

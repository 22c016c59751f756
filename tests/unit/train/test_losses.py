"""Losses and the schedule: zero where nothing differs, and in the right direction where something does."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.train.losses import OutputKind, distillation_loss, label_loss, output_kinds
from edgeai_converters.train.schedule import rate_factor
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_runtime.errors import UsageError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def _model(body: str) -> ir.Model:
    text = f'<ir_version: 9, opset_import: ["" : 20]> g (float[N,4] x) => (float[N,4] y) {{ {body} }}'
    return ir.from_proto(onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text)))


@pytest.mark.parametrize(
    ("body", "labels", "kind"),
    [
        ("y = Softmax(x)", None, "probabilities"),
        ("s = Softmax(x) y = Identity(s)", None, "probabilities"),
        ("y = Softmax <axis = 0> (x)", None, "values"),
        ("y = LogSoftmax(x)", None, "log_probabilities"),
        ("y = Sigmoid(x)", None, "chances"),
        ("y = Relu(x)", None, "values"),
        ("y = Relu(x)", np.array([1, 2]), "logits"),
        ("y = Relu(x)", np.array([0.5, 2.0]), "values"),
    ],
)
def test_what_an_output_means_is_found(body: str, labels: np.ndarray | None, kind: OutputKind) -> None:
    assert output_kinds(_model(body), labels) == {"y": kind}


def _output(kind: OutputKind, seed: int) -> object:
    scores = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed))
    if kind == "chances":
        return scores.sigmoid()
    return {"probabilities": scores.softmax(-1), "log_probabilities": scores.log_softmax(-1)}.get(kind, scores)


@pytest.mark.parametrize("kind", ["probabilities", "log_probabilities", "logits", "values"])
def test_a_student_like_its_teacher_has_no_loss(kind: OutputKind) -> None:
    teacher, other = {"y": _output(kind, 0)}, {"y": _output(kind, 1)}
    assert float(distillation_loss(teacher, teacher, {"y": kind}, temperature=3.0)) == pytest.approx(0.0, abs=1e-6)
    assert float(distillation_loss(other, teacher, {"y": kind}, temperature=3.0)) > 0.05


def test_probabilities_and_their_scores_have_the_same_loss() -> None:
    first, second = (torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    by_scores = distillation_loss({"y": first}, {"y": second}, {"y": "logits"}, temperature=2.0)
    by_shares = distillation_loss(
        {"y": first.softmax(-1)}, {"y": second.softmax(-1)}, {"y": "probabilities"}, temperature=2.0
    )
    assert float(by_scores) == pytest.approx(float(by_shares), rel=1e-5)


@pytest.mark.parametrize("kind", ["probabilities", "log_probabilities", "logits"])
def test_right_labels_cost_less_than_wrong_ones(kind: OutputKind) -> None:
    output = _output(kind, 0)
    right = output.argmax(-1)  # type: ignore[attr-defined]
    assert float(label_loss(output, right, kind)) < float(label_loss(output, (right + 1) % 4, kind))


def test_targets_may_have_another_form_than_the_output() -> None:
    assert float(label_loss(torch.ones(3, 1), torch.tensor([1, 1, 1]), "values")) == 0.0


def test_rate_rises_and_falls() -> None:
    factors = [rate_factor(step, 100, warm_up=0.1) for step in range(100)]
    assert factors[:10] == sorted(factors[:10])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert max(factors) == 1.0
    assert factors[-1] < 0.01


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"epochs": 0}, "epochs"), ({"label_weight": 1.5}, "label_weight"), ({"device": "tpu"}, "tpu")],
)
def test_wrong_choices_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainingSpec(**wrong)  # type: ignore[arg-type]

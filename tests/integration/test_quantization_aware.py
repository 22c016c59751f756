"""Quantization-aware training on a small network trained here: what few bits cost is won back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.evaluate.metrics import get_metric
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES, Scheme
from edgeai_converters.train.examples import ArrayExamples
from edgeai_converters.train.fake_quantization import fake_quantize
from edgeai_converters.train.loop import fit
from edgeai_converters.train.losses import label_loss
from edgeai_converters.train.quantization_aware import QuantizedTraining, train_quantized
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.train.twin import make_twin, run_twin, write_back
from edgeai_runtime.errors import UsageError

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytestmark = [pytest.mark.onnxruntime, pytest.mark.torch, pytest.mark.slow]

Ranges = dict[str, tuple[float, float]]

MOST_FLIPS = 0.005
"""Share of values that may be one step apart: what lies between two steps is decided by the bias's int32 rounding."""

BODY = """
    c1 = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)  r1 = Relu(c1)
    c2 = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (r1, w2, b2)  r2 = Relu(c2)
    c3 = Conv <pads = [1, 1, 1, 1], group = 16> (r2, w3, b3)  s = Add(c3, r2)  r3 = Relu(s)
    m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r3)
    f = Flatten(m)  z = Gemm <transB = 1> (f, w4, b4)  y = Softmax(z)
"""
SHAPES = {"w1": (8, 1, 3, 3), "w2": (16, 8, 3, 3), "w3": (16, 1, 3, 3), "w4": (10, 64)}


@dataclass(frozen=True)
class Digits:
    """A trained float graph, its data and its ranges."""

    model: ir.Model
    train: ArrayExamples
    search: ArrayExamples
    test: ArrayExamples
    ranges: Ranges


def _untrained() -> ir.Model:
    proto = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 20]> g (float[N,1,8,8] x) => (float[N,10] y) {{ {BODY} }}'
    )
    random = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        arrays = {name: random.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:])), f"b{name[1]}": np.zeros(shape[0])}
        for key, array in arrays.items():
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), key))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _right(outputs: NDArray[Any], examples: ArrayExamples) -> float:
    assert examples.labels is not None
    return float((outputs.argmax(1) == examples.labels).mean())


@pytest.fixture(scope="module")
def digits() -> Digits:
    from sklearn.datasets import load_digits

    data = load_digits()
    x, y = (data.images[:, None] / 16).astype(np.float32), data.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(x))
    parts = np.split(order, [1000, 1300])
    train, search, test = (ArrayExamples(inputs={"x": x[part]}, labels=y[part]) for part in parts)
    model = _untrained()
    twin = make_twin(model)

    def loss_of(inputs: dict[str, Any], labels: Any) -> Any:
        return label_loss(twin.run(inputs)["y"], labels, "probabilities")

    def score() -> float:
        return _right(run_twin(twin, search.inputs)["y"], search)

    fit(twin, train, loss_of=loss_of, score=score, spec=TrainingSpec(epochs=12, learning_rate=3e-2))
    model = write_back(twin, model)
    ranges = collect_ranges(model, [dict(train.inputs)], methods=("minmax",)).tensors["minmax"]
    return Digits(model, train, search, test, ranges)


def _scheme(limit: int) -> Scheme:
    return replace(SCHEMES["onnx-u8s8"], weight_limit=limit)


def _plan(digits: Digits, model: ir.Model, limit: int, learned: Ranges | None = None) -> QuantizationPlan:
    return plan_quantization(model, digits.ranges | (learned or {}), _scheme(limit))


def _accuracy(digits: Digits, model: ir.Model, plan: QuantizationPlan | None = None) -> float:
    graph = model if plan is None else insert_qdq(model, plan)[0]
    return _right(GraphRunner(graph).run(digits.test.inputs)["y"], digits.test)


def _train(digits: Digits, **wanted: Any) -> tuple[ir.Model, QuantizedTraining]:
    spec = TrainingSpec(**{"epochs": 8, "learning_rate": 1e-2} | wanted.pop("spec", {}))
    plan = _plan(digits, digits.model, wanted.pop("limit", 1))
    return train_quantized(digits.model, plan, spec, digits.train, search=digits.search, **wanted)


@pytest.mark.parametrize(("limit", "with_labels"), [(3, True), (3, False), (2, True)])
def test_most_of_what_few_bits_cost_is_won_back(digits: Digits, limit: int, with_labels: bool) -> None:
    examples = digits.train if with_labels else ArrayExamples(inputs=digits.train.inputs)
    plan = _plan(digits, digits.model, limit)
    whole, rounded = _accuracy(digits, digits.model), _accuracy(digits, digits.model, plan)
    spec = TrainingSpec(epochs=10, learning_rate=2e-2)
    trained, report = train_quantized(digits.model, plan, spec, examples, search=digits.search)
    recovered = _accuracy(digits, trained, _plan(digits, trained, limit))
    assert whole - rounded > 0.05
    assert whole - recovered < 0.4 * (whole - rounded)  # of 497 samples: one is 0.2 points
    assert report.training.best_score > report.training.first_score


def test_learned_ranges_repair_ranges_that_are_far_too_wide(digits: Digits) -> None:
    wide = {name: (64 * low, 64 * high) if name != "x" else (low, high) for name, (low, high) in digits.ranges.items()}
    off = replace(digits, ranges=wide)
    spec = TrainingSpec(epochs=4, learning_rate=1e-2, label_weight=0.0)
    plan = _plan(off, off.model, 127)
    trained, report = train_quantized(off.model, plan, spec, off.train, search=off.search, learn_ranges=True)
    _, fixed = train_quantized(off.model, plan, spec, off.train, search=off.search)
    assert report.training.best_score > 0.7 * fixed.training.best_score  # both are losses, below zero
    assert all(report.ranges[name][1] < 0.8 * wide[name][1] for name in ("r1", "r2"))
    assert report.ranges["r3"] == report.ranges["m"]  # a pooling moves values: one scale
    assert fixed.ranges == {}
    gain = _accuracy(off, trained, _plan(off, trained, 127, report.ranges)) - _accuracy(off, off.model, plan)
    assert gain > 0.1


@pytest.mark.parametrize("scheme", ["onnx-u8s8", "tflite-int8", "openvino-u8s8"])
def test_fake_quantized_twin_computes_what_the_quantized_graph_computes(digits: Digits, scheme: str) -> None:
    plan = plan_quantization(digits.model, digits.ranges, SCHEMES[scheme])
    fake = fake_quantize(digits.model, plan)
    quantized = insert_qdq(digits.model, plan)[0]
    coarsest = max(found.scale[0] for found in plan.activations.values())
    for name in ("r1", "r2", "c3", "r3"):
        wanted = _inner(quantized, name, digits)
        found = next(iter(run_twin(make_twin(_only(fake.model, name), trained=()), digits.test.inputs).values()))
        difference = np.abs(wanted - found)
        assert difference.max() <= 1.001 * (plan.activations[name].scale[0] if name != "r3" else 2 * coarsest)
        assert (difference > 1e-5).mean() < MOST_FLIPS


def test_result_planned_anew_computes_what_the_student_computed(digits: Digits) -> None:
    trained, report = _train(digits, limit=7, learn_ranges=True, spec={"epochs": 2})
    plan = _plan(digits, trained, 7, report.ranges)
    fake = fake_quantize(trained, plan)
    student = run_twin(make_twin(fake.model, trained=()), digits.test.inputs)["y"]
    engine = GraphRunner(insert_qdq(trained, plan)[0]).run(digits.test.inputs)["y"]
    assert np.abs(student - engine).mean() < 1e-3
    score = get_metric("top1", has_labels=True).score({"y": student}, digits.test.labels, None)
    assert abs(score - _right(engine, digits.test)) < 0.005


def test_metric_chooses_the_weights_that_are_kept(digits: Digits) -> None:
    _, report = _train(digits, metric=get_metric("top1", has_labels=True), spec={"epochs": 2})
    assert 0.5 < report.training.best_score <= 1.0
    assert report.training.best_score == max(report.training.first_score, *report.training.scores)


def test_interrupted_training_goes_on_and_ends_with_the_same_weights(digits: Digits, tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    whole, _ = _train(digits, spec={"epochs": 3}, on_step=lambda *step: steps.append(step))
    half, report = _train(digits, spec={"epochs": 3}, folder=tmp_path, stop=lambda: True)
    assert report.training.ended == "interrupted"
    calls = iter(range(10**6))
    _, report = _train(digits, spec={"epochs": 3}, folder=tmp_path, stop=lambda: next(calls) == 40)
    assert (report.training.ended, report.training.epochs) == ("interrupted", 1)
    rest, report = _train(digits, spec={"epochs": 3}, folder=tmp_path)
    assert (report.training.ended, report.training.epochs) == ("finished", 3)
    for name in SHAPES:
        assert np.array_equal(_constant(rest, name), _constant(whole, name))
        assert not np.array_equal(_constant(half, name), _constant(whole, name))
    assert steps[-1][:2] == (96, 96)
    assert "epoch 3 of 3, 0:00 left" in steps[-1][2]


def test_given_graph_is_not_changed(digits: Digits) -> None:
    before = ir.to_proto(digits.model).SerializeToString()
    _train(digits, spec={"epochs": 1})
    assert ir.to_proto(digits.model).SerializeToString() == before


def test_plan_without_integers_is_refused(digits: Digits) -> None:
    with pytest.raises(UsageError, match="quantizes nothing"):
        train_quantized(
            digits.model, QuantizationPlan(scheme="onnx-u8s8"), TrainingSpec(), digits.train, search=digits.search
        )


def _only(model: ir.Model, name: str) -> ir.Model:
    """Return a copy that ends with an activation as the next layer reads it."""
    model = model.clone()
    values = ir.convenience.create_value_mapping(model.graph)
    found = values.get(f"{name}_dequantized", values[name])
    model.graph.outputs.clear()
    model.graph.outputs.append(found)
    return model


def _inner(model: ir.Model, name: str, digits: Digits) -> NDArray[Any]:
    ended = _only(model, name)
    return next(iter(GraphRunner(ended).run(digits.test.inputs).values()))


def _constant(model: ir.Model, name: str) -> NDArray[Any]:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()

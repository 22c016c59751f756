"""Fine-tuning on labels alone, and training in bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.evaluate.metrics import get_metric
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.train.distill import distill
from edgeai_converters.train.examples import ArrayExamples
from edgeai_converters.train.fine_tune import fine_tune
from edgeai_converters.train.loop import Training
from edgeai_converters.train.precision import choose_precision
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_runtime.errors import DataError

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.onnxruntime, pytest.mark.torch]

SPEC = {"epochs": 8, "batch_size": 32, "learning_rate": 3e-2, "precision": "float32"}


def _network(end: str = "y = Identity(z)", classes: int = 3) -> ir.Model:
    text = f"""<ir_version: 9, opset_import: ["" : 20]> g (float[N,2,8,8] x) => (float[N,{classes}] y) {{
        c = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) r = Relu(c) d = Conv <pads = [1, 1, 1, 1]> (r, w2, b2) s = Relu(d)
        m = GlobalAveragePool(s) f = Flatten(m) z = Gemm <transB = 1> (f, w3, b3) {end} }}"""
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    shapes = {
        "w1": (16, 2, 3, 3),
        "w2": (16, 16, 3, 3),
        "w3": (classes, 16),
        "b1": (16,),
        "b2": (16,),
        "b3": (classes,),
    }
    for name, shape in shapes.items():
        array = random.normal(size=shape) * np.sqrt(2 / max(1, np.prod(shape[1:]))) * (len(shape) > 1)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return prepare_graph(proto)


def _examples(n: int, seed: int) -> ArrayExamples:
    """Return noise with one of three patterns in it."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    patterns = np.random.default_rng(99).normal(size=(3, 2, 8, 8))
    return ArrayExamples(
        inputs={"x": (random.normal(size=(n, 2, 8, 8)) + patterns[labels]).astype(np.float32)}, labels=labels
    )


TRAIN, SEARCH, TEST = (_examples(n, seed) for n, seed in ((384, 1), (96, 2), (300, 3)))


def _right(model: ir.Model) -> float:
    return float((GraphRunner(model).run(TEST.inputs)["y"].argmax(1) == TEST.labels).mean())


def _tune(model: ir.Model, examples: Any = TRAIN, spec: dict[str, Any] | None = None, **more: Any) -> Any:
    search = more.pop("search", SEARCH)
    return fine_tune(model, TrainingSpec(**SPEC | (spec or {})), examples, search=search, **more)


@pytest.mark.parametrize("end", ["y = Identity(z)", "y = Softmax(z)"])
@pytest.mark.parametrize("metric", ["top1", None])
def test_network_learns_from_labels_alone(end: str, metric: str | None) -> None:
    model = _network(end)
    chosen = get_metric(metric, has_labels=True) if metric else None
    trained, training = _tune(model, metric=chosen)
    assert _right(model) < 0.6
    assert _right(trained) > 0.85
    assert training.best_score > training.first_score


def test_targets_of_real_numbers_are_learned() -> None:
    model = _network(classes=1)
    targets = [one.inputs["x"].mean((1, 2, 3), keepdims=False)[:, None] * 5 for one in (TRAIN, SEARCH)]
    examples, search = (
        ArrayExamples(inputs=one.inputs, labels=labels) for one, labels in zip((TRAIN, SEARCH), targets, strict=True)
    )
    _, training = _tune(model, examples, search=search)
    assert training.best_score > 0.5 * training.first_score  # both negative: errors


def test_without_labels_it_says_what_to_do() -> None:
    with pytest.raises(DataError, match="needs labels") as caught:
        _tune(_network(), ArrayExamples(inputs=TRAIN.inputs))
    assert "teacher" in str(caught.value.hint)


def test_labels_that_do_not_fit_the_output_are_refused() -> None:
    with pytest.raises(DataError, match="do not fit the first output"):
        _tune(_network(), ArrayExamples(inputs=TRAIN.inputs, labels=np.zeros((384, 5), np.float32)))


def test_search_split_without_labels_and_metric_is_refused() -> None:
    with pytest.raises(DataError, match="search split has no labels"):
        _tune(_network(), search=ArrayExamples(inputs=SEARCH.inputs))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_interrupted_fine_tuning_ends_with_the_same_weights(tmp_path: Path, precision: str) -> None:
    spec = {"epochs": 2, "precision": precision}
    whole, _ = _tune(_network(), spec=spec)
    asked = iter(range(1, 1000))
    _, training = _tune(_network(), spec=spec, folder=tmp_path, stop=lambda: next(asked) == 17)
    assert (training.ended, training.steps) == ("interrupted", 17)
    rest, _ = _tune(_network(), spec=spec, folder=tmp_path)
    assert _weights(rest) == _weights(whole)


def test_bfloat16_learns_as_float32_does() -> None:
    exact, _ = _tune(_network())
    rounded, _ = _tune(_network(), spec={"precision": "bfloat16"})
    assert abs(_right(exact) - _right(rounded)) < 0.05
    assert _weights(exact) != _weights(rounded)
    assert all(value.dtype == ir.DataType.FLOAT for value in rounded.graph.initializers.values())


def test_augmented_distillation_in_bfloat16_has_a_teacher_that_sees_the_same() -> None:
    teacher, _ = _tune(_network())
    seen: list[int] = []

    def flip(inputs: Any, random: np.random.Generator) -> dict[str, NDArray[Any]]:
        seen.append(len(inputs["x"]))
        return {"x": inputs["x"] + random.normal(0, 0.1, inputs["x"].shape).astype(np.float32)}

    results: list[tuple[ir.Model, Training]] = [
        distill(
            _network(),
            taught_by,
            TrainingSpec(**SPEC | {"precision": "bfloat16"}),  # type: ignore[arg-type]
            ArrayExamples(inputs=TRAIN.inputs),
            search=SEARCH,
            metric=get_metric("top1", has_labels=True),
            augment=flip,
        )
        for taught_by in (teacher, GraphRunner(teacher).run)
    ]
    assert sum(seen) == 2 * 8 * len(TRAIN)
    scores = [_right(model) for model, _ in results]
    assert min(scores) > 0.8
    assert abs(scores[0] - scores[1]) < 0.06  # the graph answers in bfloat16, the function in float32


def test_format_follows_from_graph_and_machine_and_can_be_asked_for() -> None:
    flags = torch.cpu.get_capabilities()
    able = bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))
    assert choose_precision("auto", _network(), "cpu") == ("bfloat16" if able else "float32")
    assert choose_precision("bfloat16", _network(), "cpu") == "bfloat16"
    dense = prepare_graph(
        onnx.parser.parse_model(
            '<ir_version: 9, opset_import: ["" : 20]> g (float[N,4] x) => (float[N,4] y) {y = Relu(x)}'
        )
    )
    assert choose_precision("auto", dense, "cpu") == "float32"


def _weights(model: ir.Model) -> dict[str, bytes]:
    return {
        name: value.const_value.tobytes()
        for name, value in model.graph.initializers.items()
        if value.const_value is not None
    }

"""Distillation of tiny networks: what was cut away is learned back from the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.evaluate.metrics import get_metric
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.train.distill import distill
from edgeai_converters.train.examples import ArrayExamples
from edgeai_converters.train.loop import Training
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_runtime.errors import UsageError

pytest.importorskip("torch")
pytestmark = [pytest.mark.onnxruntime, pytest.mark.torch]

WIDTH = 16
SPEC = {"epochs": 12, "batch_size": 32, "learning_rate": 2e-2}
BODY = """
    c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w1, b1)  r = Relu(c)
    m = GlobalAveragePool(r)  f = Flatten(m)  g = Gemm <transB = 1> (f, w2, b2)  s = Relu(g)
    z = Gemm <transB = 1> (s, w3, b3)
"""


def _network(width: int, seed: int, *, end: str = "y = Softmax(z)") -> ir.Model:
    proto = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 20]> g (float[N,2,8,8] x) => (float[N,4] y) {{ {BODY} {end} }}'
    )
    random = np.random.default_rng(seed)
    for name, shape in {"w1": (width, 2, 3, 3), "w2": (WIDTH, width), "w3": (4, WIDTH)}.items():
        weights = random.normal(size=shape) * np.sqrt(4 / np.prod(shape[1:]))
        for key, array in {name: weights, f"b{name[1]}": random.normal(size=shape[0]) * 0.1}.items():
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), key))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _cut(model: ir.Model, kept: int) -> ir.Model:
    """Return the network with the first channels of its convolution alone."""
    proto = ir.to_proto(model)
    for tensor in proto.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        cut = array[:kept] if tensor.name in ("w1", "b1") else array[:, :kept] if tensor.name == "w2" else array
        tensor.CopyFrom(onnx.numpy_helper.from_array(cut.copy(), tensor.name))
    del proto.graph.value_info[:]
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _images(n: int, seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    means = random.normal(size=(n, 2, 1, 1))
    return np.asarray(random.normal(size=(n, 2, 8, 8)) * random.uniform(0.2, 2, (n, 1, 1, 1)) + means, np.float32)


TEACHER = _network(WIDTH, seed=0)
STUDENT = _cut(TEACHER, 10)
TRAIN, SEARCH, TEST = (_images(n, seed) for n, seed in ((512, 1), (128, 2), (512, 3)))


def _classes(model: ir.Model, inputs: NDArray[Any] = TEST) -> NDArray[Any]:
    return np.asarray(GraphRunner(model).run({"x": inputs})["y"].argmax(1))


def _agreement(model: ir.Model) -> float:
    return float((_classes(model) == _classes(TEACHER)).mean())


def _distill(
    student: ir.Model = STUDENT, teacher: Any = TEACHER, *, spec: Mapping[str, Any] | None = None, **more: Any
) -> tuple[ir.Model, Training]:
    return distill(
        student,
        teacher,
        TrainingSpec(**SPEC | dict(spec or {})),
        ArrayExamples(inputs={"x": TRAIN}, labels=more.pop("labels", None)),
        search=ArrayExamples(inputs={"x": SEARCH}),
        **more,
    )


def _weights(model: ir.Model) -> dict[str, bytes]:
    return {
        name: value.const_value.tobytes()
        for name, value in model.graph.initializers.items()
        if value.const_value is not None
    }


def test_student_with_channels_cut_away_recovers_without_labels() -> None:
    before = _agreement(STUDENT)
    trained, training = _distill(metric=get_metric("agreement", has_labels=False))
    assert 1 - _agreement(trained) < 0.4 * (1 - before)
    assert training.best_score > training.first_score
    assert _weights(trained).keys() == _weights(STUDENT).keys()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("Softmax", "Identity"), ("Identity", "Softmax"), ("Identity", "Identity"), ("Sigmoid", "Identity")],
)
def test_student_learns_whatever_both_sides_give_out(ours: str, theirs: str) -> None:
    teacher = _network(WIDTH, seed=0, end=f"y = {theirs}(z)")
    student = _cut(_network(WIDTH, seed=0, end=f"y = {ours}(z)"), 10)
    before = _agreement(student)
    trained, _ = _distill(student, teacher)
    assert 1 - _agreement(trained) < 0.6 * (1 - before)


def test_student_of_its_own_width_follows_attention_of_the_teacher() -> None:
    random = _network(6, seed=5)
    plain, _ = _distill(random, spec={"epochs": 4})
    guided, _ = _distill(random, spec={"epochs": 4}, features={"r": "r"})
    assert _map_distance(guided) < 0.9 * _map_distance(plain)


def test_hidden_layer_of_the_same_width_follows_the_teachers() -> None:
    guided, _ = _distill(features={"s": "s"})
    plain, _ = _distill()

    def distance(model: ir.Model) -> float:
        ours, theirs = (GraphRunner(one, outputs=["s"]).run({"x": TEST})["s"] for one in (model, TEACHER))
        return float(np.square(ours - theirs).mean())

    assert distance(guided) < distance(plain)


def test_features_of_other_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="'f' has shape"):
        _distill(features={"f": "f"})


def test_labels_take_part_in_what_is_learned() -> None:
    wrong = (_classes(TEACHER, TRAIN) + 1) % 4
    with_labels, _ = _distill(labels=wrong, spec={"label_weight": 1.0}, metric=_Moved())
    assert float((_classes(with_labels) == (_classes(TEACHER) + 1) % 4).mean()) > 0.5


def test_function_teaches_as_the_graph_that_it_runs() -> None:
    runner = GraphRunner(TEACHER)
    of_graph, _ = _distill(spec={"epochs": 2})
    of_function, _ = _distill(teacher=lambda inputs: {"probabilities": runner.run(inputs)["y"]}, spec={"epochs": 2})
    assert _weights(of_function) == _weights(of_graph)


def test_teacher_in_the_other_layout_teaches_the_same() -> None:
    proto = ir.to_proto(TEACHER)
    for node in proto.graph.node:
        if node.op_type == "Conv":
            node.input[0] = "turned"
    turn = onnx.helper.make_node("Transpose", ["image"], ["turned"], perm=[0, 3, 1, 2])
    proto.graph.node.insert(0, turn)
    proto.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["N", 8, 8, 2]))
    other, _ = _distill(teacher=ir.from_proto(proto), spec={"epochs": 2})
    same, _ = _distill(spec={"epochs": 2})
    assert _weights(other) == _weights(same)


def test_teacher_of_another_task_is_refused() -> None:
    with pytest.raises(UsageError, match="teacher of the same task"):
        _distill(teacher=lambda inputs: {"y": np.zeros((len(inputs["x"]), 7), np.float32)})


def test_teacher_answers_once_per_sample_and_is_kept(tmp_path: Path) -> None:
    runner, asked = GraphRunner(TEACHER), []

    def teacher(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        asked.append(len(inputs["x"]))
        return runner.run(inputs)

    for _ in range(2):
        _distill(teacher=teacher, spec={"epochs": 3}, folder=tmp_path, key="the same")
    assert sum(asked) == len(TRAIN) + 2 * len(SEARCH)


@pytest.mark.parametrize("augmented", [False, True])
def test_interrupted_distillation_ends_with_the_same_weights(tmp_path: Path, augmented: bool) -> None:
    def noise(inputs: Mapping[str, NDArray[Any]], random: np.random.Generator) -> dict[str, NDArray[Any]]:
        return {"x": inputs["x"] + random.normal(0, 0.1, inputs["x"].shape).astype(np.float32)}

    options: dict[str, Any] = {"spec": {"epochs": 3}, "augment": noise if augmented else None}
    whole, _ = _distill(**options)
    calls = iter(range(10**6))
    half, training = _distill(**options, folder=tmp_path, stop=lambda: next(calls) == 20)
    assert (training.ended, training.epochs) == ("interrupted", 1)
    rest, training = _distill(**options, folder=tmp_path)
    assert (training.ended, training.epochs) == ("finished", 3)
    assert _weights(rest) == _weights(whole) != _weights(half)


def test_student_and_teacher_of_one_sample_at_a_time_learn_the_same() -> None:
    student, teacher = (_of_one_sample(one) for one in (STUDENT, TEACHER))
    spec = {"epochs": 1, "normalize": False}  # which graphs of a fixed batch are trained without
    free, _ = _distill(spec=spec, features={"s": "s"})
    fixed, _ = _distill(student, teacher, spec=spec, features={"s": "s"})
    for name, value in fixed.graph.initializers.items():
        other = free.graph.initializers[name].const_value
        assert value.const_value is not None
        assert other is not None
        assert np.allclose(value.const_value.numpy(), other.numpy(), atol=1e-3)


def test_given_graphs_are_not_changed() -> None:
    before = [ir.to_proto(one).SerializeToString() for one in (STUDENT, TEACHER)]
    _distill(spec={"epochs": 1}, features={"s": "s"})
    assert [ir.to_proto(one).SerializeToString() for one in (STUDENT, TEACHER)] == before


def _of_one_sample(model: ir.Model) -> ir.Model:
    """Return the network with a batch of 1."""
    proto = ir.to_proto(model)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del proto.graph.value_info[:]
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


class _Moved:
    """A metric that wants the class after the teacher's."""

    name, binary, higher_is_better, needs_labels, needs_class_labels = "moved", True, True, False, False

    def score(self, outputs: Any, labels: Any, reference: Any) -> float:
        return float((outputs["y"].argmax(1) == (reference["y"].argmax(1) + 1) % 4).mean())

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _map_distance(model: ir.Model) -> float:
    def attention(one: ir.Model) -> NDArray[Any]:
        flat = np.square(GraphRunner(one, outputs=["r"]).run({"x": TEST})["r"]).sum(1).reshape(len(TEST), -1)
        return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True))

    return float(np.square(attention(model) - attention(TEACHER)).sum(1).mean())

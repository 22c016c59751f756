"""Normalization that is there only while a network trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.train.examples import ArrayExamples
from edgeai_converters.train.fine_tune import fine_tune
from edgeai_converters.train.normalized import make_normalized_twin
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.train.twin import Twin, run_twin

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.onnxruntime, pytest.mark.torch]

TOLERANCE = 1e-4
"""Folding multiplies weights and divides by a deviation: float32 rounds both."""


def _network(batch: str = "N") -> ir.Model:
    text = f"""<ir_version: 9, opset_import: ["" : 20]> g (float[{batch},2,8,8] x) => (float[{batch},3] y) {{
        c = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) r = Relu(c) d = Conv <pads = [1, 1, 1, 1]> (r, w2, b2)
        a = Add(d, r) s = Relu(a) m = GlobalAveragePool(s) f = Flatten(m) y = Gemm <transB = 1> (f, w3, b3) }}"""
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"w1": (8, 2, 3, 3), "w2": (8, 8, 3, 3), "w3": (3, 8), "b1": (8,), "b2": (8,)}
    for name, shape in (shapes | {"b3": (3,)}).items():
        array = random.normal(size=shape) * np.sqrt(2 / max(1, np.prod(shape[1:])))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return prepare_graph(proto)


def _examples(n: int, seed: int) -> ArrayExamples:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    patterns = np.random.default_rng(99).normal(size=(3, 2, 8, 8))
    return ArrayExamples(
        inputs={"x": (random.normal(size=(n, 2, 8, 8)) + patterns[labels]).astype(np.float32)}, labels=labels
    )


TRAIN, TEST = _examples(256, 1), _examples(64, 2)


def _normalized(model: ir.Model) -> tuple[Twin, Callable[[], ir.Model]]:
    made = make_normalized_twin(model, TRAIN)
    assert made is not None
    return made


def test_network_computes_what_it_did_before_it_is_trained() -> None:
    model = _network()
    twin, fold = _normalized(model)
    wanted = GraphRunner(model).run(TEST.inputs)["y"]
    assert np.allclose(run_twin(twin, TEST.inputs)["y"], wanted, atol=TOLERANCE)
    assert np.allclose(GraphRunner(fold()).run(TEST.inputs)["y"], wanted, atol=TOLERANCE)


def test_folded_graph_computes_what_the_trained_twin_does_and_has_its_old_form() -> None:
    model = _network()
    twin, fold = _normalized(model)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    for _ in range(5):
        loss = twin.run({"x": torch.from_numpy(TRAIN.inputs["x"])})["y"].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    folded = fold()
    found = GraphRunner(folded).run(TEST.inputs)["y"]
    assert np.allclose(run_twin(twin, TEST.inputs)["y"], found, atol=TOLERANCE)
    assert not np.allclose(found, GraphRunner(model).run(TEST.inputs)["y"], atol=0.05)
    assert [node.op_type for node in folded.graph] == [node.op_type for node in model.graph]
    assert folded.graph.initializers.keys() == model.graph.initializers.keys()


def test_scoring_leaves_the_statistics_alone_and_training_moves_them() -> None:
    twin, _ = _normalized(_network())
    before = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
    run_twin(twin, TEST.inputs)
    assert all(torch.equal(before[name], tensor) for name, tensor in twin.state_dict().items())
    twin.run({"x": torch.from_numpy(TEST.inputs["x"])})
    moved = {name for name, tensor in twin.state_dict().items() if not torch.equal(before[name], tensor)}
    assert moved
    assert all(name.endswith(("mean", "variance")) for name in moved)


def test_graph_of_fixed_batch_is_trained_without() -> None:
    assert make_normalized_twin(_network("1"), TRAIN) is None


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_interrupted_training_with_normalization_ends_with_the_same_weights(tmp_path: Path, precision: str) -> None:
    spec = TrainingSpec(epochs=3, batch_size=32, learning_rate=2e-2, normalize=True, precision=precision)  # type: ignore
    whole, training = fine_tune(_network(), spec, TRAIN, search=TEST)
    assert training.best_score > training.first_score
    asked = iter(range(1, 1000))
    fine_tune(_network(), spec, TRAIN, search=TEST, folder=tmp_path, stop=lambda: next(asked) == 11)
    rest, _ = fine_tune(_network(), spec, TRAIN, search=TEST, folder=tmp_path)
    assert _weights(rest) == _weights(whole)


def _weights(model: ir.Model) -> dict[str, Any]:
    return {name: value.const_value.tobytes() for name, value in model.graph.initializers.items() if value.const_value}

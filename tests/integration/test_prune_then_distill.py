"""A dense network of digits, trained here: fewer weights by products, fewer blocks, and taught again by what it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.prune.depth import plan_depth, remove_blocks
from edgeai_converters.prune.depth_blocks import find_blocks
from edgeai_converters.prune.low_rank import factorise
from edgeai_converters.prune.low_rank_plan import plan_low_rank
from edgeai_converters.prune.low_rank_spectrum import layer_moments
from edgeai_converters.train.distill import distill
from edgeai_converters.train.examples import ArrayExamples
from edgeai_converters.train.loop import fit
from edgeai_converters.train.losses import label_loss
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.train.twin import make_twin, run_twin, write_back

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytestmark = [pytest.mark.torch, pytest.mark.onnxruntime]

_DENSE = """a = Gemm <transB = 1> (x, w1, b1) ar = Relu(a) c = Gemm <transB = 1> (ar, w2, b2) cr = Relu(c)
    d = Gemm <transB = 1> (cr, w3, b3) dr = Relu(d) e = Gemm <transB = 1> (dr, w4, b4) er = Relu(e)
    y = Gemm <transB = 1> (er, w5, b5)"""
_RESIDUAL = """a = Gemm <transB = 1> (x, w1, b1) ar = Relu(a) c = Gemm <transB = 1> (ar, w2, b2) cr = Relu(c)
    s1 = Add(a, cr) d = Gemm <transB = 1> (s1, w3, b3) dr = Relu(d) s2 = Add(s1, dr)
    e = Gemm <transB = 1> (s2, w4, b4) er = Relu(e) s3 = Add(s2, er) y = Gemm <transB = 1> (s3, w5, b5)"""
_SHAPES = {"w1": (64, 64), "w2": (64, 64), "w3": (64, 64), "w4": (64, 64), "w5": (10, 64)}


@dataclass(frozen=True, kw_only=True)
class Digits:
    model: ir.Model
    train: ArrayExamples
    search: ArrayExamples
    test: ArrayExamples


def _right(outputs: NDArray[Any], examples: ArrayExamples) -> float:
    assert examples.labels is not None
    return float((outputs.argmax(1) == examples.labels).mean())


@pytest.fixture(scope="module")
def digits() -> Digits:
    return _trained(_DENSE)


def _trained(body: str) -> Digits:
    from sklearn.datasets import load_digits

    data = load_digits()
    x, labels = (data.data / 16).astype(np.float32), data.target.astype(np.int64)
    parts = np.split(np.random.default_rng(0).permutation(len(x)), [1000, 1300])
    train, search, test = (ArrayExamples(inputs={"x": x[part]}, labels=labels[part]) for part in parts)
    proto = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 20]> g (float[N,64] x) => (float[N,10] y) {{ {body} }}'
    )
    random = np.random.default_rng(0)
    for name, shape in _SHAPES.items():
        arrays = {name: random.normal(size=shape) * np.sqrt(2 / shape[1]), f"b{name[1]}": np.zeros(shape[0])}
        for key, array in arrays.items():
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), key))
    model = prepare_graph(proto)
    twin = make_twin(model)
    fit(
        twin,
        train,
        loss_of=lambda inputs, labels: label_loss(twin.run(inputs)["y"], labels, "logits"),
        score=lambda: _right(run_twin(twin, search.inputs)["y"], search),
        spec=TrainingSpec(epochs=8, learning_rate=2e-2),
    )
    return Digits(model=simplify(write_back(twin, model))[0], train=train, search=search, test=test)


def _accuracy(digits: Digits, model: ir.Model) -> float:
    return _right(GraphRunner(model).run(digits.test.inputs)["y"], digits.test)


def _taught(digits: Digits, student: ir.Model) -> float:
    spec = TrainingSpec(epochs=8, learning_rate=1e-2)
    unlabelled = ArrayExamples(inputs=digits.train.inputs)
    model, _ = distill(student, digits.model, spec, unlabelled, search=ArrayExamples(inputs=digits.search.inputs))
    return _accuracy(digits, model)


def _of_low_rank(digits: Digits, share: float, *, aware: bool) -> ir.Model:
    moments = layer_moments(digits.model, [digits.train.inputs]) if aware else None
    return factorise(digits.model, plan_low_rank(digits.model, share=share, moments=moments), moments=moments)[0]


def test_half_the_weights_can_go_where_samples_say_which(digits: Digits) -> None:
    whole = _accuracy(digits, digits.model)
    aware, blind = (_accuracy(digits, _of_low_rank(digits, 0.5, aware=each)) for each in (True, False))
    assert whole > 0.95
    assert aware >= whole - 0.02  # of 497 samples: one is 0.2 points
    assert blind < aware


def test_a_quarter_of_the_weights_is_enough_for_a_network_that_is_taught(digits: Digits) -> None:
    smaller = _of_low_rank(digits, 0.75, aware=True)
    before, after = _accuracy(digits, smaller), _taught(digits, smaller)
    whole = _accuracy(digits, digits.model)
    assert before < whole - 0.02
    assert after >= whole - 0.015


def test_the_block_worth_least_costs_least_and_teaching_makes_up_for_it() -> None:
    digits = _trained(_RESIDUAL)
    blocks = find_blocks(digits.model)
    whole = _accuracy(digits, digits.model)
    kept = {block.id: _accuracy(digits, remove_blocks(digits.model, [block])[0]) for block in blocks}
    plan = plan_depth(digits.model, blocks, [digits.train.inputs], count=1)
    assert len(blocks) == 3
    assert kept[plan.removed[0].id] >= max(kept.values()) - 0.01
    shallower, _ = remove_blocks(digits.model, plan_depth(digits.model, blocks, [digits.train.inputs], count=2))
    lost = whole - _accuracy(digits, shallower)
    assert lost > 0.1
    assert whole - _taught(digits, shallower) < 0.1 * lost

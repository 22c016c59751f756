"""Weights written as products: exact at full rank, smaller below it, and better when samples decide."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.prune.low_rank import factorise
from edgeai_converters.prune.low_rank_layers import factorable_layers
from edgeai_converters.prune.low_rank_plan import LowRankLayer, LowRankPlan, plan_low_rank
from edgeai_converters.prune.low_rank_spectrum import layer_moments
from edgeai_runtime.errors import UsageError

pytestmark = pytest.mark.onnxruntime

# Two products of float32 instead of one.
FLOAT_TOLERANCE = 2e-5


def _model(signature: str, body: str, sizes: Mapping[str, tuple[int, ...]], **given: NDArray[Any]) -> ir.Model:
    random = np.random.default_rng(len(body))
    proto = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> g {signature} {{ {body} }}')
    drawn = {name: random.normal(size=size) / np.sqrt(max(1, np.prod(size[1:]))) for name, size in sizes.items()}
    for name, array in {**drawn, **given}.items():
        typed = array if array.dtype == np.int64 else array.astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(typed, name))
    return prepare_graph(proto)


def mlp() -> ir.Model:
    return _model(
        "(float[N,24] x) => (float[N,5] y)",
        "a = Gemm <transB = 1> (x, w1, b1) r = Relu(a) c = Gemm(r, w2) s = Relu(c) y = Gemm(s, w3, b3)",
        {"w1": (32, 24), "b1": (32,), "w2": (32, 40), "w3": (40, 5), "b3": (5,)},
    )


def attention() -> ir.Model:
    """One head over a table that is looked up; one matrix makes keys and values of the same rows."""
    return _model(
        "(int64[N,6] x) => (float[N,6,16] y)",
        """e = Gather(table, x) q = MatMul(e, wq) k = MatMul(e, wk) v = MatMul(q, wk)
        kt = Transpose <perm = [0, 2, 1]> (k)
        a = MatMul(q, kt) p = Softmax(a) o = MatMul(p, v) y = MatMul(o, wo)""",
        {"table": (50, 16), "wq": (16, 16), "wk": (16, 16), "wo": (16, 16)},
    )


def convolutions() -> ir.Model:
    return _model(
        "(float[N,3,9,9] x) => (float[N,4] y)",
        """a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) r = Relu(a)
        c = Conv <pads = [2, 2, 1, 1], strides = [2, 2], dilations = [2, 1]> (r, w2, b2) d = Conv(c, w3)
        g = Conv <group = 12, pads = [1, 1, 1, 1]> (d, w4) m = ReduceMean <keepdims = 0> (g, axes)
        y = Gemm <transB = 1> (m, w5, b5)""",
        {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (10, 8, 3, 3), "b2": (10,), "w3": (12, 10, 1, 1), "w4": (12, 1, 3, 3)}
        | {"w5": (4, 12), "b5": (4,)},
        axes=np.asarray([2, 3]),
    )


def recurrent(operator: str) -> Callable[[], ir.Model]:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator]

    def build() -> ir.Model:
        return _model(
            "(float[7,N,12] x) => (float[7,2,N,6] y)",
            f'y = {operator} <hidden_size = 6, direction = "bidirectional"> (x, w, r, b)',
            {"w": (2, gates * 6, 12), "r": (2, gates * 6, 6), "b": (2, gates * 12)},
        )

    return build


NETWORKS: dict[str, Callable[[], ir.Model]] = {
    "mlp": mlp,
    "attention": attention,
    "convolutions": convolutions,
    "lstm": recurrent("LSTM"),
    "gru": recurrent("GRU"),
    "rnn": recurrent("RNN"),
}
KINDS = {
    "mlp": ["dense"] * 3,
    "attention": ["dense"] * 3 + ["embedding"],
    "convolutions": ["dense", *["convolution"] * 3],
    "lstm": ["recurrent"],
    "gru": ["recurrent"],
    "rnn": ["recurrent"],
}


def _inputs(model: ir.Model, seed: int, n: int = 16) -> dict[str, NDArray[Any]]:
    value, random = model.graph.inputs[0], np.random.default_rng(seed)
    assert value.shape is not None
    shape = [size if isinstance(size, int) else n for size in value.shape]
    if value.dtype == ir.DataType.INT64:
        return {"x": random.integers(0, 50, size=shape)}
    return {"x": random.normal(size=shape).astype(np.float32)}


def _run(model: ir.Model, seed: int = 5) -> NDArray[Any]:
    return GraphRunner(model).run(_inputs(model, seed))["y"]


def _error(model: ir.Model, other: ir.Model) -> float:
    wanted = _run(model)
    return float(np.linalg.norm(_run(other) - wanted) / np.linalg.norm(wanted))


def _full(model: ir.Model, *, aware: bool) -> LowRankPlan:
    """A plan that loses nothing, though it makes the layers larger."""
    layers = tuple(
        LowRankLayer(
            weight=layer.name,
            kind=layer.kind,
            rank=layer.full_rank,
            full_rank=layer.full_rank,
            error=0.0,
            parameters_before=layer.parameters,
            parameters_after=layer.parameters_at(layer.full_rank),
        )
        for layer in factorable_layers(model, least_elements=0)
    )
    return LowRankPlan(layers=layers, aware=aware, parameters_before=sum(each.parameters_before for each in layers))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_large_weight_is_found(name: str) -> None:
    assert [layer.kind for layer in factorable_layers(NETWORKS[name](), least_elements=0)] == KINDS[name]


@pytest.mark.parametrize("aware", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_at_full_rank_nothing_changes(name: str, aware: bool) -> None:
    model = NETWORKS[name]()
    moments = layer_moments(model, [_inputs(model, 1)], least_elements=0) if aware else None
    smaller, changed = factorise(model, _full(model, aware=aware), moments=moments)
    assert changed
    assert len(smaller.graph) > len(model.graph)
    np.testing.assert_allclose(_run(smaller), _run(model), atol=FLOAT_TOLERANCE)
    assert [value.name for value in smaller.graph.outputs] == ["y"]


@pytest.mark.parametrize("name", NETWORKS)
def test_simplifying_does_not_multiply_the_factors_out(name: str) -> None:
    model = NETWORKS[name]()
    smaller, _ = factorise(model, plan_low_rank(model, rank=3, least_elements=0))
    again, _ = simplify(smaller)
    assert _parameters(again) <= _parameters(smaller)
    np.testing.assert_allclose(_run(again), _run(smaller), atol=FLOAT_TOLERANCE)


def _parameters(model: ir.Model) -> int:
    values = model.graph.initializers.values()
    return sum(v.const_value.size for v in values if v.const_value is not None and v.dtype == ir.DataType.FLOAT)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_plan_counts_the_weights_that_the_graph_has(name: str) -> None:
    model = NETWORKS[name]()
    plan = plan_low_rank(model, share=0.2, least_elements=0, floor=0)
    smaller, _ = factorise(model, plan)
    assert _parameters(smaller) - _parameters(model) == plan.parameters_after - plan.parameters_before < 0


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rank", [1, 4, 1000])
def test_no_rank_makes_a_layer_larger(name: str, rank: int) -> None:
    plan = plan_low_rank(NETWORKS[name](), rank=rank, least_elements=0)
    assert all(layer.parameters_after < layer.parameters_before for layer in plan.layers)
    assert bool(plan.layers) == (rank < 1000)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_weight_of_low_rank_costs_nothing_at_that_rank(name: str) -> None:
    model = NETWORKS[name]()
    for layer in factorable_layers(model, least_elements=0):
        left, singular, right = np.linalg.svd(layer.matrix, full_matrices=False)
        flat = (left[:, :2] * singular[:2]) @ right[:2]
        assert layer.value.const_value is not None
        old = layer.value.const_value.numpy()
        array = flat.T if np.array_equal(layer.matrix.T, old) else flat.reshape(old.shape)
        layer.value.const_value = ir.tensor(array.astype(np.float32), name=layer.name)
    plan = plan_low_rank(model, energy=1 - 1e-9, least_elements=0, floor=0)
    assert {layer.rank for layer in plan.layers} <= {2}
    assert plan.layers
    np.testing.assert_allclose(_run(factorise(model, plan)[0]), _run(model), atol=FLOAT_TOLERANCE)


def _narrow(seed: int, n: int = 64) -> dict[str, NDArray[Any]]:
    """Inputs that lie in three directions of twenty-four, around a mean that is none of them."""
    random = np.random.default_rng(0)
    directions, mean = random.normal(size=(3, 24)), 3 * random.normal(size=24)
    return {"x": (np.random.default_rng(seed).normal(size=(n, 3)) @ directions + mean).astype(np.float32)}


def _layer_error(model: ir.Model, other: ir.Model) -> float:
    wanted, found = (GraphRunner(each, outputs=["a"]).run(_narrow(2))["a"] for each in (model, other))
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def test_samples_find_the_directions_that_are_used() -> None:
    model = mlp()
    moments = layer_moments(model, [_narrow(1)], least_elements=0)
    blind = factorise(model, plan_low_rank(model, rank={"w1": 3}, least_elements=0))[0]
    plan = plan_low_rank(model, rank={"w1": 3}, moments=moments, least_elements=0)
    aware = factorise(model, plan, moments=moments)[0]
    assert _layer_error(model, blind) > 0.3
    assert _layer_error(model, aware) < 0.01


def test_the_bias_keeps_the_mean_of_what_a_layer_says() -> None:
    model = mlp()
    moments = layer_moments(model, [_narrow(1)], least_elements=0)
    plan = plan_low_rank(model, rank={"w1": 1}, moments=moments, least_elements=0)
    smaller, _ = factorise(model, plan, moments=moments)
    wanted, found = (GraphRunner(each, outputs=["a"]).run(_narrow(1))["a"].mean(0) for each in (model, smaller))
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("name", ["attention", "convolutions", "lstm"])
def test_samples_do_no_harm_to_what_they_were_not(name: str) -> None:
    model = NETWORKS[name]()
    moments = layer_moments(model, [_inputs(model, seed, 64) for seed in (1, 2)], least_elements=0)
    blind = factorise(model, plan_low_rank(model, rank=4, least_elements=0))[0]
    aware = factorise(model, plan_low_rank(model, rank=4, moments=moments, least_elements=0), moments=moments)[0]
    assert _error(model, aware) < 1.05 * _error(model, blind)


@pytest.mark.parametrize("weight", ["w1", "w3"])  # watched by what it reads, and by what it gives
def test_the_error_of_the_plan_is_that_of_the_layer(weight: str) -> None:
    model = mlp()
    stretch = np.geomspace(3, 0.3, 24)
    batch = {"x": (np.random.default_rng(3).normal(size=(4000, 24)) * stretch + 1).astype(np.float32)}
    moments = layer_moments(model, [batch], least_elements=0)
    plan = plan_low_rank(model, rank={weight: 4}, moments=moments, least_elements=0)
    smaller, _ = factorise(model, plan, moments=moments)
    output = {"w1": "a", "w3": "y"}[weight]
    wanted, found = (GraphRunner(each, outputs=[output]).run(batch)[output] for each in (model, smaller))
    measured = np.linalg.norm(found - wanted) / np.linalg.norm(wanted - wanted.mean(0))
    assert plan.layers[0].error == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("name", NETWORKS)
def test_one_rank_more_than_the_largest_would_not_pay(name: str) -> None:
    for layer in factorable_layers(NETWORKS[name](), least_elements=0):
        largest = layer.largest_rank
        assert layer.parameters_at(largest) < layer.parameters <= layer.parameters_at(largest + 1)


def test_the_share_is_reached_and_hardly_more() -> None:
    model = mlp()
    plan = plan_low_rank(model, share=0.4, least_elements=0)
    largest_step = max(layer.parameters_before // layer.full_rank + 72 for layer in plan.layers)
    assert 0.6 * plan.parameters_before - largest_step < plan.parameters_after <= 0.6 * plan.parameters_before


def test_layers_that_lose_nothing_give_more() -> None:
    model = mlp()
    value = model.graph.initializers["w2"]
    random = np.random.default_rng(4)
    value.const_value = ir.tensor(
        (random.normal(size=(32, 2)) @ random.normal(size=(2, 40))).astype(np.float32), name="w2"
    )
    plan = plan_low_rank(model, share=0.5, least_elements=0, floor=0)
    assert plan.ranks["w2"] == 2
    assert {layer.weight: layer.error for layer in plan.layers}["w2"] < 1e-3


def test_ranks_are_multiples() -> None:
    plan = plan_low_rank(mlp(), energy=0.7, least_elements=0, multiple_of=4)
    assert plan.layers
    assert all(layer.rank % 4 == 0 for layer in plan.layers)


def test_a_plan_survives_json() -> None:
    plan = plan_low_rank(mlp(), share=0.3, least_elements=0)
    assert LowRankPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_matrix_that_two_layers_read_is_stored_once() -> None:
    model = attention()
    smaller, _ = factorise(model, plan_low_rank(model, rank={"wk": 4}, least_elements=0))
    readers = [len(value.uses()) for name, value in smaller.graph.initializers.items() if name.startswith("wk")]
    assert readers == [2, 2]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "Say one of"),
        ({"share": 0.2, "rank": 3}, "Say one of"),
        ({"share": 1.0}, "lies in"),
        ({"energy": 0.0}, "lies in"),
        ({"share": 0.95}, "at most"),
        ({"rank": {"w9": 3}}, "'w9' cannot become a product"),
    ],
)
def test_what_can_not_be_asked_is_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan_low_rank(mlp(), least_elements=0, **asked)


def test_a_plan_of_samples_needs_them_again() -> None:
    model = mlp()
    moments = layer_moments(model, [_narrow(1)], least_elements=0)
    plan = plan_low_rank(model, rank=2, moments=moments, least_elements=0)
    with pytest.raises(UsageError, match="moments are needed"):
        factorise(model, plan)
    with pytest.raises(UsageError, match="no moments of 'w3'"):
        plan_low_rank(model, rank=2, moments={"w1": moments["w1"], "w2": moments["w2"]}, least_elements=0)
    with pytest.raises(UsageError, match="no weight 'gone'"):
        factorise(
            model,
            dataclasses.replace(plan, layers=(dataclasses.replace(plan.layers[0], weight="gone"),)),
            moments=moments,
        )

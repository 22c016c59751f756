"""Bisection: the first wrong tensor is named, whatever lies between it and the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.graph.bisect import Culprit, bisect, take_prefix
from edgeai_converters.graph.boundary import draw_inputs, input_specs
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.likely_cause import likely_cause
from edgeai_runtime.errors import ModelError

Build = Callable[..., ir.Model]

_BODY = """
    c0 = Conv<pads = [1, 1, 1, 1]>(x, w0) r0 = Relu(c0)
    c1 = Conv<pads = [1, 1, 1, 1]>(r0, w1) r1 = Relu(c1)
    c2 = Conv<pads = [1, 1, 1, 1]>(r0, w1) s2 = Neg(c2)
    a = Add(r1, s2) c3 = Conv<pads = [1, 1, 1, 1]>(a, w1) y = Relu(c3)
"""


@pytest.fixture
def model(build: Build) -> ir.Model:
    return build(_BODY, inputs="float[N,2,12,12] x", outputs="float[N,4,12,12] y", w0=(4, 2, 3, 3), w1=(4, 4, 3, 3))


def _search(
    model: ir.Model, faulty: ir.Model, *, blind: Sequence[str] = (), asked: list[Sequence[str]] | None = None
) -> Culprit | None:
    inputs = draw_inputs(input_specs(model), n=4, seed=0)

    def run(names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        if asked is not None:
            asked.append(names)
        if set(names) & set(blind):
            raise ModelError("cannot look there")
        return GraphRunner(take_prefix(faulty, names)).run(inputs)

    return bisect(model, run, inputs=inputs, max_rel=1e-3, min_cosine=0.9999)


def _shift_padding(model: ir.Model, output: str) -> ir.Model:
    faulty = model.clone()
    for node in faulty.graph:
        if node.outputs[0].name == output:
            node.attributes["pads"] = ir.AttrInt64s("pads", [2, 2, 0, 0])
    return faulty


def test_right_outputs_have_no_culprit(model: ir.Model) -> None:
    assert _search(model, model) is None


@pytest.mark.parametrize("tensor", ["c0", "c1", "c2", "c3"])
def test_the_first_wrong_tensor_is_named(model: ir.Model, tensor: str) -> None:
    culprit = _search(model, _shift_padding(model, tensor))
    assert culprit is not None
    assert (culprit.operation, culprit.tensor, culprit.inputs_right) == ("Conv", tensor, True)
    assert culprit.max_rel > 1e-3
    assert tensor in str(culprit)


def test_the_number_of_runs_grows_with_the_logarithm(build: Build) -> None:
    body = " ".join(f"v{i + 1} = Mul(v{i}, one{i})" for i in range(200))
    ones = {f"one{i}": np.full((1,), 1, np.float32) for i in range(200)}
    model = build(body, inputs="float[N,4] v0", outputs="float[N,4] v200", **ones)
    faulty = model.clone()
    faulty.graph.initializers["one70"].const_value = ir.tensor(np.full((1,), 1.5, np.float32), name="one70")
    asked: list[Sequence[str]] = []
    culprit = _search(model, faulty, asked=asked)
    assert culprit is not None
    assert culprit.tensor == "v71"
    assert "1.5 times" in culprit.cause
    assert len(asked) <= 12


@pytest.mark.parametrize("blind", [["r0"], ["a"], ["c1", "r1"], ["c2", "s2", "a"]], ids=" ".join)
def test_tensors_that_can_not_be_looked_at_are_passed_over(model: ir.Model, blind: list[str]) -> None:
    culprit = _search(model, _shift_padding(model, "c3"), blind=blind)
    assert culprit is not None
    assert culprit.tensor == "c3"
    assert culprit.inputs_right == ("a" not in blind)


def test_an_error_that_vanishes_on_one_path_is_found_on_the_other(build: Build) -> None:
    model = build(
        "n = Neg(x) z = Relu(n) p = Add(z, one) q = Mul(p, p) y = Add(q, n)",
        inputs="float[N,4] x",
        outputs="float[N,4] y",
        one=np.ones((1,), np.float32),
    )
    faulty = model.clone()
    node = next(node for node in faulty.graph if node.op_type == "Neg")
    constant = ir.tensor(np.array([-2], np.float32), name="two")
    two = ir.Value(name="two", const_value=constant, shape=ir.Shape([1]), type=ir.TensorType(ir.DataType.FLOAT))
    faulty.graph.register_initializer(two)
    double = ir.Node("", "Mul", [node.inputs[0], two], outputs=[ir.Value(name="n2", type=node.outputs[0].type)])
    faulty.graph.insert_before(node, double)
    ir.convenience.replace_all_uses_with(node.outputs[0], double.outputs[0])
    node.outputs[0].name, double.outputs[0].name = "unused", "n"
    inputs = {"x": np.abs(draw_inputs(input_specs(model), n=4, seed=0)["x"]) + 1}
    culprit = bisect(
        model,
        lambda names: GraphRunner(take_prefix(faulty, names)).run(inputs),
        inputs=inputs,
        max_rel=1e-3,
        min_cosine=0.9999,
    )
    assert culprit is not None
    assert culprit.tensor == "n"


_MAP = np.random.default_rng(0).normal(size=(2, 3, 10, 10)).astype(np.float32)
_BORDER = _MAP.copy()
_BORDER[:, :, 0, :] += 1


@pytest.mark.parametrize(
    ("operation", "expected", "received", "words"),
    [
        ("Conv", _MAP, _BORDER, "padding"),
        ("Conv", _MAP, np.roll(_MAP, (1, 0), (2, 3)), "moved by 1 rows and 0 columns"),
        ("Conv", _MAP, _MAP + np.sin(_MAP * 9), "padding, strides"),
        ("Conv", _MAP, _MAP.transpose(0, 1, 3, 2), "layout"),
        ("Conv", _MAP, _MAP[:, :, :5], "shape"),
        ("Conv", _MAP, np.maximum(_MAP, 0), "activation"),
        ("Conv", np.maximum(_MAP, 0), _MAP, "activation"),
        ("LeakyRelu", _MAP, _MAP * 1.25 + 0.5, "1.25 times"),
        ("Conv", _MAP, _MAP + np.random.default_rng(1).normal(size=_MAP.shape) * 0.003, "precision"),
        ("Log", _MAP, np.where(_MAP < 0, np.nan, _MAP), "NaN"),
        ("Mul", _MAP * 1e5, np.where(_MAP > 1, np.inf, _MAP * 1e5), "float16 overflows"),
        ("Elu", _MAP, _MAP + np.sin(_MAP * 9), "alpha=0.5"),
    ],
)
def test_the_likely_cause_is_told_from_the_difference(
    operation: str, expected: NDArray[Any], received: NDArray[Any], words: str
) -> None:
    node = ir.node(operation, [None], {"alpha": 0.5})
    assert words in likely_cause(node, expected, received)

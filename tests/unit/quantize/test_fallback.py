"""Ladders of what to give back to float: growing, without islands, and never empty of integers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import onnx_ir as ir
import pytest

from edgeai_converters.quantize.fallback import boundaries, fallback_ladder, islands_ladder
from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.plan_units import multiplications, planned_regions, planned_units, without
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.sensitivity import Sensitivity

Build = Callable[..., ir.Model]
RangesOf = Callable[..., dict[str, tuple[float, float]]]
SCHEME = SCHEMES["tflite-int8"]
LAYER = (4, 4, 1, 1)


@pytest.fixture
def chain(build: Build, ranges_of: RangesOf) -> tuple[ir.Model, QuantizationPlan]:
    """Five convolutions in a row, `a` to `e`; the first with a Relu."""
    model = build(
        "r = Conv(x, w1) a = Relu(r) b = Conv(a, w2) c = Conv(b, w3) d = Conv(c, w4) e = Conv(d, w5)",
        inputs="float[N,4,8,8] x",
        outputs="float[N,4,8,8] e",
        **{f"w{i}": LAYER for i in range(1, 6)},
    )
    return model, plan_quantization(model, ranges_of(model), SCHEME)


@pytest.fixture
def broken(build: Build, ranges_of: RangesOf) -> tuple[ir.Model, QuantizationPlan]:
    """Three regions with a Softplus, which no engine has in integers, between them; the middle one is small."""
    model = build(
        "a = Conv(x, w1) b = Conv(a, w2) s = Softplus(b) m = Conv(s, w3) "
        "t = Softplus(m) c = Conv(t, w4) y = Conv(c, w5)",
        inputs="float[N,32,8,8] x",
        outputs="float[N,32,8,8] y",
        w1=(32, 32, 1, 1),
        w2=(32, 32, 1, 1),
        w3=(1, 32, 1, 1),
        w4=(32, 1, 1, 1),
        w5=(32, 32, 1, 1),
    )
    return model, plan_quantization(model, ranges_of(model), SCHEME)


def _keys(model: ir.Model, plan: QuantizationPlan) -> list[str]:
    return [unit.key for unit in planned_units(model, plan)]


def _measured(node: str, alone: float | None, **rounding: float) -> Sensitivity:
    errors = {"input_rounding": 0.0, "weight_rounding": 0.1, "output_rounding": 0.0} | rounding
    return Sensitivity(node=node, op_type="Conv", output=node, alone=alone, reaching=0.1, in_place=0.1, **errors)


def test_a_unit_holds_the_clamp_folded_into_its_operator(chain: tuple[ir.Model, QuantizationPlan]) -> None:
    first = planned_units(*chain)[0]
    assert [node.op_type for node in first.nodes] == ["Conv", "Relu"]
    assert (first.reads, first.outputs) == (("x",), ("a",))


def test_units_without_floats_between_them_form_one_region(broken: tuple[ir.Model, QuantizationPlan]) -> None:
    assert [len(region) for region in planned_regions(planned_units(*broken))] == [2, 1, 2]


def test_the_work_of_a_convolution_is_its_multiplications(broken: tuple[ir.Model, QuantizationPlan]) -> None:
    assert multiplications(planned_units(*broken)[0]) == 8 * 8 * 32 * 32


def test_the_plan_without_a_unit_is_the_plan_made_anew(
    chain: tuple[ir.Model, QuantizationPlan], ranges_of: RangesOf
) -> None:
    model, plan = chain
    excluded = {"c": "a test"}
    anew = plan_quantization(model, ranges_of(model), SCHEME, excluded=excluded)
    left = without(model, plan, excluded)
    assert left.float_nodes == anew.float_nodes
    assert left.activations.keys() == anew.activations.keys()


def test_every_region_costs_a_boundary_on_each_side(broken: tuple[ir.Model, QuantizationPlan]) -> None:
    assert boundaries(planned_units(*broken)) == 6


def test_the_ladder_grows_from_the_most_sensitive_unit(chain: tuple[ir.Model, QuantizationPlan]) -> None:
    model, plan = chain
    a, b, *_, e = _keys(model, plan)
    ladder = fallback_ladder([_measured(e, 0.2), _measured(a, 0.5), _measured(b, 0.1)], plan=plan, model=model)
    assert list(ladder[0]) == [a]
    assert "50.0%" in ladder[0][a]
    assert set(ladder[1]) == {a, e}
    assert all(set(small) <= set(large) for small, large in pairwise(ladder))


def test_no_operation_is_left_alone_between_floats(chain: tuple[ir.Model, QuantizationPlan]) -> None:
    model, plan = chain
    a, b, c, d, e = _keys(model, plan)
    ladder = fallback_ladder([_measured(b, 0.5)], plan=plan, model=model)
    assert set(ladder[0]) == {b, a}
    assert "left alone" in ladder[0][a]
    assert {c, d, e}.isdisjoint(ladder[0])


def test_an_error_of_the_output_takes_its_readers_along(chain: tuple[ir.Model, QuantizationPlan]) -> None:
    model, plan = chain
    a, b, *_ = _keys(model, plan)
    ladder = fallback_ladder([_measured(a, 0.5, output_rounding=0.4)], plan=plan, model=model)
    assert set(ladder[0]) == {a, b}


def test_an_error_of_the_input_takes_its_maker_along(chain: tuple[ir.Model, QuantizationPlan]) -> None:
    model, plan = chain
    *_, d, e = _keys(model, plan)
    ladder = fallback_ladder([_measured(e, 0.5, input_rounding=0.4)], plan=plan, model=model)
    assert set(ladder[0]) == {d, e}


def test_the_last_rung_leaves_a_layer_in_integers(chain: tuple[ir.Model, QuantizationPlan]) -> None:
    model, plan = chain
    keys = _keys(model, plan)
    ladder = fallback_ladder([_measured(key, 0.5) for key in keys], plan=plan, model=model)
    assert ladder
    assert all(any(unit.weight for unit in planned_units(model, without(model, plan, rung))) for rung in ladder)


def test_units_that_were_not_followed_or_do_no_harm_stay(chain: tuple[ir.Model, QuantizationPlan]) -> None:
    model, plan = chain
    a, b, c, *_ = _keys(model, plan)
    ladder = fallback_ladder([_measured(a, 0.5), _measured(b, None), _measured(c, 1e-4)], plan=plan, model=model)
    assert [list(rung) for rung in ladder] == [[a]]


def test_small_regions_are_the_first_to_go_when_int8_is_slow(broken: tuple[ir.Model, QuantizationPlan]) -> None:
    model, plan = broken
    ladder = islands_ladder(model, plan)
    assert list(ladder[0]) == ["m"]
    assert "conversions" in ladder[0]["m"]
    counts = [boundaries(planned_units(model, without(model, plan, rung))) for rung in ladder]
    assert counts[0] < boundaries(planned_units(model, plan))


def test_the_largest_region_alone_is_on_the_ladder(broken: tuple[ir.Model, QuantizationPlan]) -> None:
    model, plan = broken
    assert any(set(rung) == {"m", "c", "y"} for rung in islands_ladder(model, plan))


def test_a_graph_wholly_in_integers_has_no_islands(chain: tuple[ir.Model, QuantizationPlan]) -> None:
    assert islands_ladder(*chain) == ()

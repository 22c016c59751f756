"""The table of layer timings: what it says at, between and beside the points that were timed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edgeai_converters.prune.latency_table import Anchor, LatencyTable, TimedLayer, fit_network, grid_of
from edgeai_converters.prune.layer_artifacts import Layer, Signature
from edgeai_converters.prune.layer_timing import settle, time_calls
from edgeai_converters.prune.widths_axes import AxisWidth

CONV = Signature(op="Conv", shape=(1, 0, 8, 8), attributes=(("pads", (1, 1, 1, 1)),), kernel=(3, 3))


def _axis(name: str, size: int) -> AxisWidth:
    return AxisWidth(fixed=0, terms=((name, size, 1.0),))


def _timed(name: str, inputs: AxisWidth, outputs: AxisWidth, signature: Signature = CONV) -> TimedLayer:
    return grid_of(Layer(name=name, signature=signature, inputs=inputs, outputs=outputs), grid=4, fine=16)


def _table(true: Callable[[int, int], float], *timed: TimedLayer) -> LatencyTable:
    points = {point for each in timed for point in each.points}
    return LatencyTable(
        format="tflite",
        precision="int8",
        threads=1,
        layers=timed,
        times={timed[0].layer.signature.text: {point: true(*point) for point in points}},
        call_ms=0.01,
        others=(((AxisWidth(fixed=64), _axis("b", 16)), 2),),
        anchors=(),
    )


LAYER = _timed("y", _axis("a", 16), _axis("b", 16))


def test_what_was_timed_is_told_exactly() -> None:
    table = _table(lambda a, b: a * b / 7 + (a % 4) + b, LAYER)
    assert table.layer_ms({"a": 8, "b": 12})["y"] == pytest.approx(8 * 12 / 7 + 12)


def test_between_points_of_the_grid_a_product_is_told_exactly() -> None:
    assert _table(lambda a, b: float(a * b), LAYER).predict_ms({"a": 6, "b": 10}) == pytest.approx(60)


@pytest.mark.parametrize("width", [5, 6, 7, 8, 9, 11, 15])
def test_stairs_between_points_of_the_grid_are_seen(width: int) -> None:
    table = _table(lambda a, b: float(-(-a // 8) * -(-b // 8)), LAYER)
    assert table.predict_ms({"b": width}) == pytest.approx(2 * -(-width // 8))
    assert table.predict_ms({"a": width}) == pytest.approx(2 * -(-width // 8))


def test_an_odd_width_is_paid_for_once() -> None:
    table = _table(lambda a, b: 2.0 if a % 4 or b % 4 else 1.0, LAYER)
    assert table.predict_ms({"a": 7, "b": 7}) == pytest.approx(2.0)


def test_channels_of_a_depthwise_layer_are_one_axis() -> None:
    deep = replace(CONV, groups=0)
    timed = _timed("y", _axis("a", 16), _axis("a", 16), deep)
    assert timed.points == {(width, width) for width in range(1, 17)}
    assert _table(lambda a, b: float(a), timed).predict_ms({"a": 5}) == pytest.approx(5)


def test_an_axis_that_groups_share_is_timed_at_every_width_they_make() -> None:
    shared = AxisWidth(fixed=0, terms=(("a", 16, 1.0), ("b", 16, 1.0)))
    timed = _timed("y", shared, AxisWidth(fixed=10))
    assert {a for a, _ in timed.points} >= {4 + 12, 8 + 12, 12 + 16}
    assert {b for _, b in timed.points} == {10}


def test_widths_of_grouped_layers_are_multiples_of_the_groups() -> None:
    timed = _timed("y", _axis("a", 18), _axis("b", 18), replace(CONV, groups=3))
    assert all(a % 3 == 0 and b % 3 == 0 for a, b in timed.points)


def test_the_network_is_fitted_to_what_whole_networks_took() -> None:
    table = _table(lambda a, b: a * b / 256, LAYER)
    widths = [{}, {"a": 8}, {"b": 8}, {"a": 4, "b": 4}, {"a": 12, "b": 8}]
    true = replace(table, scale=0.9, other_ms=1e-4, fixed_ms=0.05)
    table = replace(table, anchors=tuple(Anchor(widths=each, ms=true.predict_ms(each)) for each in widths))
    scale, other, fixed = fit_network(table)
    table = replace(table, scale=scale, other_ms=other, fixed_ms=fixed)
    assert table.error() < 0.05  # the scale is drawn to 1 a little
    assert table.predict_ratio({"a": 6, "b": 6}) == pytest.approx(true.predict_ratio({"a": 6, "b": 6}), rel=0.05)


def test_the_whole_network_is_the_unit() -> None:
    assert _table(lambda a, b: a + b, LAYER).predict_ratio({}) == 1.0


def test_a_table_survives_json() -> None:
    table = replace(
        _table(lambda a, b: a * b / 7, LAYER), anchors=(Anchor(widths={"a": 3}, ms=1.0),), scale=1.1, fixed_ms=0.1
    )
    assert LatencyTable.from_json(json.loads(json.dumps(table.to_json()))) == table


def test_a_slow_spell_that_the_yardstick_shares_does_not_count() -> None:
    true, spells = np.asarray([0.01, 0.05, 0.2]), np.asarray([1.0, 2.0, 1.0, 2.0, 2.0, 1.0, 2.0])
    blocks = true[:, None] * spells[None, :]
    yardsticks = np.repeat((0.03 * np.tile(spells, (3, 1)))[..., None], 2, axis=2)
    assert settle(blocks, yardsticks) == pytest.approx(true)


def test_calls_that_do_more_take_longer() -> None:
    few, many = np.ones(20_000), np.ones(400_000)
    short, long = time_calls([few.sum, many.sum], budget_s=0.0)
    assert 0 < short < long


def test_a_network_that_was_held_up_does_not_spoil_the_fit() -> None:
    table = _table(lambda a, b: a * b / 256, LAYER)
    widths = [{}, {"a": 8}, {"b": 8}, {"a": 4, "b": 4}, {"a": 12, "b": 8}, {"a": 4}]
    anchors = [Anchor(widths=each, ms=table.predict_ms(each)) for each in widths]
    table = replace(table, anchors=(Anchor(widths={}, ms=5.0), *anchors[1:]))
    scale, other, fixed = fit_network(table)
    fitted = replace(table, scale=scale, other_ms=other, fixed_ms=fixed)
    assert fitted.predict_ratio({"a": 8}) == pytest.approx(0.5, abs=0.1)

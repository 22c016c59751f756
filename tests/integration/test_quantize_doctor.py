"""Sensitivity and diagnosis on small graphs with one planted defect each: it is found, named, and the rest is left."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.diagnosis import QuantizationDiagnosis, diagnose
from edgeai_converters.quantize.fallback import fallback_ladder
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.patterns_inputs import alternatives
from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.sensitivity import measure_sensitivity
from edgeai_converters.quantize.units import node_keys
from edgeai_runtime.transforms.parse import parse_steps
from edgeai_runtime.transforms.pipeline import apply_steps

pytestmark = pytest.mark.onnxruntime

SCHEME = SCHEMES["tflite-int8"]
RANDOM = np.random.default_rng(0)
SAME = 1e-3
"""Relative tolerance between two ways to the same figure, both in float32."""


def _graph(body: str, *, inputs: str, outputs: str, **constants: NDArray[Any]) -> ir.Model:
    text = f'<ir_version: 9, opset_import: ["" : 20]> g ({inputs}) => ({outputs}) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.extend([onnx.numpy_helper.from_array(array, name) for name, array in constants.items()])
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _weights(*shape: int) -> NDArray[np.float32]:
    fan_in = int(np.prod(shape[1:]))
    return np.random.default_rng(shape).normal(size=shape, scale=fan_in**-0.5).astype(np.float32)


def _images(n: int = 16, channels: int = 8) -> NDArray[np.float32]:
    return np.random.default_rng(7).normal(size=(n, channels, 8, 8)).astype(np.float32)


def _chain(**changed: NDArray[np.float32]) -> ir.Model:
    """A convolution, a depthwise one, one that mixes, a pool and a dense layer."""
    constants = {
        "w1": _weights(8, 8, 3, 3),
        "w2": _weights(8, 1, 3, 3),
        "w3": _weights(8, 8, 1, 1),
        "w4": _weights(8, 4),
    } | changed
    return _graph(
        "a = Conv<pads=[1,1,1,1]>(x, w1) ar = Relu(a) b = Conv<pads=[1,1,1,1], group=8>(ar, w2) br = Relu(b) "
        "c = Conv(br, w3) cr = Relu(c) p = GlobalAveragePool(cr) f = Flatten(p) y = MatMul(f, w4)",
        inputs="float[N,8,8,8] x",
        outputs="float[N,4] y",
        **constants,
    )


def _plan(model: ir.Model, batches: list[Mapping[str, NDArray[Any]]]) -> QuantizationPlan:
    return plan_quantization(model, collect_ranges(model, batches, methods=("minmax",)).tensors["minmax"], SCHEME)


def _diagnose(model: ir.Model, samples: NDArray[np.float32], **given: Any) -> QuantizationDiagnosis:
    batches = [{"x": samples[i : i + 8]} for i in range(0, len(samples), 8)]
    ranges = collect_ranges(model, batches, methods=("minmax",), channels=True)
    return diagnose(model, ranges, given.pop("scheme", SCHEME), batches, method="minmax", **given)


def _relative(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def test_the_error_alone_is_that_of_a_plan_with_this_unit_only() -> None:
    model = _chain()
    samples = {"x": _images()}
    plan = _plan(model, [samples])
    found = {one.output: one for one in measure_sensitivity(model, plan, [samples])}
    keys = {str(node.outputs[0].name): key for node, key in node_keys(model).items()}
    only = replace(
        plan,
        activations={name: plan.activations[name] for name in ("br", "cr")},
        weights={"w3": plan.weights["w3"]},
        float_nodes={key: "" for name, key in keys.items() if name not in ("c", "cr")},
    )
    wanted = GraphRunner(model).run(samples)["y"]
    alone = GraphRunner(insert_qdq(model, only)[0]).run(samples)["y"]
    assert found["cr"].alone == pytest.approx(_relative(alone, wanted), rel=SAME)


def test_the_error_that_reaches_the_end_is_that_of_the_quantized_graph() -> None:
    model = _chain()
    samples = {"x": _images()}
    plan = _plan(model, [samples])
    found = {one.output: one for one in measure_sensitivity(model, plan, [samples])}
    quantized = GraphRunner(insert_qdq(model, plan)[0]).run(samples)["y"]
    assert found["y"].reaching == pytest.approx(_relative(quantized, GraphRunner(model).run(samples)["y"]), rel=SAME)


def test_the_first_unit_is_reached_by_its_own_error_only() -> None:
    model = _chain()
    samples = {"x": _images()}
    found = {one.output: one for one in measure_sensitivity(model, _plan(model, [samples]), [samples])}
    assert found["ar"].reaching == pytest.approx(found["ar"].in_place, rel=SAME)
    assert found["y"].reaching > found["y"].in_place


def test_batches_do_not_change_the_errors() -> None:
    model = _chain()
    images = _images()
    plan = _plan(model, [{"x": images}])
    whole = measure_sensitivity(model, plan, [{"x": images}])
    parts = measure_sensitivity(model, plan, [{"x": images[:5]}, {"x": images[5:]}])
    assert [one.node for one in whole] == [one.node for one in parts]
    assert [one.alone for one in whole] == pytest.approx([one.alone for one in parts], rel=SAME)


def test_of_a_large_graph_the_units_with_the_least_error_in_place_are_not_followed() -> None:
    model = _chain()
    samples = {"x": _images()}
    found = measure_sensitivity(model, _plan(model, [samples]), [samples], most_units=2)
    assert sum(one.alone is not None for one in found) == 2
    assert json.loads(json.dumps([asdict(one) for one in found]))[-1]["alone"] is None


def test_a_residual_read_before_and_behind_a_stage_is_handed_over() -> None:
    body = "a0 = Conv(x, w0) "
    for i in range(6):
        body += f"b{i} = Conv(a{i}, w{i + 1}) a{i + 1} = Add(a0, b{i}) "
    weights = {f"w{i}": _weights(8, 8, 1, 1) for i in range(7)}
    model = _graph(body, inputs="float[N,8,8,8] x", outputs="float[N,8,8,8] a6, float[N,8,8,8] a1", **weights)
    samples = {"x": _images()}
    found = {one.output: one for one in measure_sensitivity(model, _plan(model, [samples]), [samples])}
    assert all(one.alone is not None and one.alone > 0 for one in found.values())


def test_the_ladder_lowers_the_error_rung_by_rung() -> None:
    model = _chain()
    samples = {"x": _images()}
    ranges = collect_ranges(model, [samples], methods=("minmax",)).tensors["minmax"]
    plan = plan_quantization(model, ranges, SCHEME)
    wanted = GraphRunner(model).run(samples)["y"]
    ladder = fallback_ladder(measure_sensitivity(model, plan, [samples]), plan=plan, model=model)
    plans = [plan, *(plan_quantization(model, ranges, SCHEME, excluded=rung) for rung in ladder)]
    errors = [_relative(GraphRunner(insert_qdq(model, one)[0]).run(samples)["y"], wanted) for one in plans]
    assert ladder
    assert errors[-1] < errors[0]


def test_a_healthy_network_gets_a_clean_bill() -> None:
    found = _diagnose(_chain(), _images())
    assert found.healthy
    assert (found.repairs, found.excluded) == ((), {})
    json.dumps(found.to_json())


def test_a_depthwise_channel_a_thousand_times_larger_is_named_and_equalized() -> None:
    depthwise, mixing = _weights(8, 1, 3, 3), _weights(8, 8, 1, 1)
    depthwise[3] *= 1000
    mixing[:, 3] /= 1000
    found = _diagnose(_chain(w2=depthwise, w3=mixing), _images())
    assert "depthwise_range" in [pattern.name for pattern in found.patterns]
    assert "equalize" in found.repairs
    assert "depthwise_range" in [unit.pattern for unit in found.units[:2]]


def test_boxes_joined_with_scores_are_named_and_split() -> None:
    model = _graph(
        "h = Conv(x, w) r = Relu(h) b = Conv(r, wb) s = Conv(r, ws) t = Sigmoid(s) y = Concat<axis=1>(b, t)",
        inputs="float[N,8,8,8] x",
        outputs="float[N,7,8,8] y",
        w=_weights(8, 8, 1, 1),
        wb=_weights(4, 8, 1, 1) * 100,
        ws=_weights(3, 8, 1, 1),
    )
    found = _diagnose(model, _images(), scheme=SCHEMES["onnx-u8s8"])
    assert [pattern.name for pattern in found.patterns] == ["unlike_concat"]
    assert found.repairs == ("split_outputs",)
    assert not found.healthy


def test_unlike_parts_joined_inside_the_graph_are_brought_to_one_range() -> None:
    model = _graph(
        "h = Conv(x, w) b = Conv(h, wb) s = Conv(h, ws) j = Concat<axis=1>(b, s) y = Conv(j, wy)",
        inputs="float[N,8,8,8] x",
        outputs="float[N,2,8,8] y",
        w=_weights(8, 8, 1, 1),
        wb=_weights(4, 8, 1, 1) * 100,
        ws=_weights(4, 8, 1, 1),
        wy=np.concatenate([_weights(2, 4, 1, 1) / 100, _weights(2, 4, 1, 1)], axis=1),
    )
    found = _diagnose(model, _images())
    assert "unlike_concat" in [pattern.name for pattern in found.patterns]
    assert "unlike_concats" in found.repairs


@pytest.mark.parametrize("mask", [-1e9, -3e38], ids=["a billion", "the least float"])
def test_a_huge_mask_before_a_softmax_is_named_and_clamped(mask: float) -> None:
    masked = np.where(np.arange(6) < 4, 0, mask).astype(np.float32)
    model = _graph(
        "q = MatMul(x, w) r = Relu(q) k = MatMul(r, v) a = Add(k, mask) s = Softmax(a)",
        inputs="float[N,6] x",
        outputs="float[N,6] s",
        w=_weights(6, 6),
        v=_weights(6, 6),
        mask=np.broadcast_to(masked, (1, 6)).copy(),
    )
    found = _diagnose(model, RANDOM.normal(size=(16, 6)).astype(np.float32))
    assert [pattern.name for pattern in found.patterns] == ["mask_constants"]
    assert "clamp_masks" in found.repairs


def test_features_of_unlike_scale_keep_the_first_layer_in_float() -> None:
    samples = RANDOM.normal(size=(32, 8)).astype(np.float32)
    samples[:, 0] *= 500
    first = _weights(8, 8)
    first[0] /= 500
    model = _graph(
        "h = MatMul(x, w) r = Relu(h) y = MatMul(r, v)",
        inputs="float[N,8] x",
        outputs="float[N,4] y",
        w=first,
        v=_weights(8, 4),
    )
    found = _diagnose(model, samples)
    assert "unlike_features" in [pattern.name for pattern in found.patterns]
    assert "h" in found.excluded


def test_a_channel_that_says_nothing_is_told() -> None:
    images = _images()
    images[:, 2] = 0.5
    (pattern,) = _diagnose(_chain(), images).patterns
    assert pattern.name == "constant_channel"
    assert "channel 2" in pattern.why


def test_a_border_that_is_the_same_in_all_images_is_no_lost_channel() -> None:
    images = _images(channels=1)
    images[..., 0] = 0.0
    model = _graph(
        "a = Conv<pads=[1,1,1,1]>(x, w) ar = Relu(a) p = GlobalAveragePool(ar) f = Flatten(p) y = MatMul(f, v)",
        inputs="float[N,1,8,8] x",
        outputs="float[N,4] y",
        w=_weights(8, 1, 3, 3),
        v=_weights(8, 4),
    )
    assert "constant_channel" not in [pattern.name for pattern in _diagnose(model, images).patterns]


def test_dead_channels_are_a_note() -> None:
    weights = _weights(8, 8, 3, 3)
    weights[:2] = 0
    found = _diagnose(_chain(w1=weights), _images())
    assert found.healthy
    assert [pattern.name for pattern in found.notes][:1] == ["dead_channels"]


@pytest.mark.parametrize(("isa", "named"), [(("avx2",), True), (("avx2", "avx512_vnni"), False), ((), False)])
def test_saturation_is_told_where_the_processor_has_no_vnni(isa: tuple[str, ...], named: bool) -> None:
    found = _diagnose(_chain(), _images(), scheme=SCHEMES["onnx-u8s8"], architecture="x86_64", isa=isa)
    assert ("saturation" in [pattern.name for pattern in found.patterns]) is named


def test_narrow_weights_do_not_saturate() -> None:
    found = _diagnose(_chain(), _images(), scheme=SCHEMES["onnx-u8s8-narrow"], architecture="x86_64", isa=("avx2",))
    assert "saturation" not in [pattern.name for pattern in found.patterns]


def _classifier() -> tuple[ir.Model, NDArray[np.float32], NDArray[np.int64]]:
    """A model that tells colours from images of 0 … 1, with samples and labels."""
    labels = np.arange(48) % 3
    images = RANDOM.uniform(0, 0.2, size=(48, 3, 4, 4)).astype(np.float32)
    images[np.arange(48), labels] += 0.5
    offset = np.array([-4.0, -4.0, -4.0], np.float32)  # a dense layer behind a saturating one: scale matters
    model = _graph(
        "p = GlobalAveragePool(x) f = Flatten(p) g = MatMul(f, w) h = Add(g, offset) t = Tanh(h) y = MatMul(t, v)",
        inputs="float[N,3,4,4] x",
        outputs="float[N,3] y",
        w=np.eye(3, dtype=np.float32) * 10,
        offset=offset,
        v=np.eye(3, dtype=np.float32) + np.array([[0, 0, 0.5]] * 3, np.float32),
    )
    return model, images, labels


def _score(labels: NDArray[np.int64]) -> Callable[[Mapping[str, NDArray[Any]]], float]:
    return lambda outputs: float((outputs["y"].argmax(axis=1) == labels).mean())


def test_samples_in_the_wrong_range_are_found_by_trying_others() -> None:
    model, images, labels = _classifier()
    found = _diagnose(model, images * 255, score=_score(labels))
    pattern = next(pattern for pattern in found.patterns if pattern.name == "preprocessing")
    assert "bringing 0 … 1" in pattern.why
    assert pattern.remedy["steps"].startswith("scale:factor=0.0039215686")


def test_reversed_colours_are_found_by_trying_others() -> None:
    model, images, labels = _classifier()
    found = _diagnose(model, images[:, ::-1].copy(), score=_score(labels))
    pattern = next(pattern for pattern in found.patterns if pattern.name == "preprocessing")
    assert pattern.remedy["steps"] == "channels:order=[2,1,0],axis=1"


def test_right_samples_are_not_complained_of() -> None:
    model, images, labels = _classifier()
    assert "preprocessing" not in [pattern.name for pattern in _diagnose(model, images, score=_score(labels)).patterns]


def test_labels_in_another_order_are_told_as_guessing() -> None:
    model, images, labels = _classifier()
    found = _diagnose(model, images, score=_score((labels + 1) % 3))
    assert "guessing" in next(pattern.why for pattern in found.patterns if pattern.name == "preprocessing")


@pytest.mark.parametrize("high", [255.0, 1.0, 3.0])
def test_every_alternative_is_written_in_steps_that_do_the_same(high: float) -> None:
    images = RANDOM.uniform(-2 if high == 3.0 else 0, high, size=(4, 3, 5, 5)).astype(np.float32)
    others = alternatives(images, colours=True)
    written = [apply_steps(parse_steps(other.steps.format(axis=1)), images) for other in others]
    assert [np.allclose(a, b.apply(images, 1), rtol=1e-4, atol=1e-4) for a, b in zip(written, others, strict=True)] == [
        True
    ] * len(others)

"""Values of unlike ranges under one scale: a head split into its parts, concatenations kept in float."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.split_outputs import split_outputs
from edgeai_converters.quantize.unlike_concats import find_unlike_concats

pytestmark = pytest.mark.onnxruntime

# The convolutions of the parts sum in another order.
FLOAT_TOLERANCE = 1e-5

BOXES, SCORES = 4, 6

ENDS = {
    "at the output": ("y = Conv(ar, w2, b2)", "float[N,10,8,8] y"),
    "moved to the output": ("h = Conv(ar, w2, b2) t = Transpose <perm = [0, 2, 3, 1]> (h) y = Flatten <axis = 3> (t)",
                            "float[N,10] y"),
    "sliced": ("""h = Conv(ar, w2, b2) boxes = Slice(h, zero, four, one) s = Slice(h, four, ten, one)
               scores = Sigmoid(s) y = Concat <axis = 1> (boxes, scores)""", "float[N,10,8,8] y"),
    "split": ("""h = Conv(ar, w2, b2) boxes, s = Split <axis = 1> (h, sizes)
              scores = Sigmoid(s) y = Concat <axis = 1> (boxes, scores)""", "float[N,10,8,8] y"),
    "dense": ("g = GlobalAveragePool(ar) f = Flatten(g) y = Gemm <transB = 1> (f, w3, b2)", "float[N,10] y"),
    "dense, not transposed": ("g = GlobalAveragePool(ar) f = Flatten(g) y = Gemm(f, w4, b2)", "float[N,10] y"),
    "matrix": ("g = GlobalAveragePool(ar) f = Flatten(g) y = MatMul(f, w4)", "float[N,10] y"),
}  # fmt: skip


def _detector(end: str = "at the output", *, boxes: float = 200.0) -> ir.Model:
    body, output = ENDS[end]
    proto = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 20]> g (float[N,3,8,8] x) => ({output}) '
        f"{{ a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) ar = Relu(a) {body} }}"
    )
    random = np.random.default_rng(0)
    size = np.where(np.arange(BOXES + SCORES) < BOXES, boxes, 1.0)
    head = random.normal(size=(10, 8)) / 3 * size[:, None]
    arrays: dict[str, NDArray[Any]] = {
        "w1": random.normal(size=(8, 3, 3, 3)) / 5,
        "b1": random.normal(size=8) * 0.1,
        "w2": head[:, :, None, None],
        "w3": head,
        "w4": head.T,
        "b2": random.normal(size=10) * 0.1 * size,
    }
    constants = {"zero": [0], "four": [4], "ten": [10], "one": [1], "sizes": [4, 6]}
    proto.graph.initializer.extend(
        [onnx.numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()]
        + [onnx.numpy_helper.from_array(np.array(a), n) for n, a in constants.items()]
    )
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _samples() -> dict[str, NDArray[Any]]:
    return {"x": np.random.default_rng(7).normal(size=(32, 3, 8, 8)).astype(np.float32)}


def _ranges(model: ir.Model) -> Ranges:
    return collect_ranges(model, [_samples()], methods=("minmax",), channels=True)


def _run(model: ir.Model) -> NDArray[Any]:
    found = GraphRunner(model).run(_samples())["y"]
    return found.reshape(-1, 10) if found.ndim == 2 else np.moveaxis(found, 1, -1).reshape(-1, 10)


def _score_error(model: ir.Model, wanted: NDArray[Any], *, repair: bool = False) -> float:
    """Return the relative error of the scores alone after quantizing for LiteRT."""
    ranges = _ranges(model).tensors["minmax"]
    excluded = find_unlike_concats(model, ranges) if repair else {}
    found = _run(insert_qdq(model, plan_quantization(model, ranges, SCHEMES["tflite-int8"], excluded=excluded))[0])
    return float(np.linalg.norm((found - wanted)[:, BOXES:]) / np.linalg.norm(wanted[:, BOXES:]))


@pytest.mark.parametrize("end", ENDS)
def test_a_split_head_computes_the_same(end: str) -> None:
    model = _detector(end)
    split, changed = split_outputs(model, _ranges(model).channel_maxima)
    assert changed
    wanted = _run(model)
    assert np.abs(_run(split) - wanted).max() < FLOAT_TOLERANCE * np.abs(wanted).max()


@pytest.mark.parametrize("end", ENDS)
def test_scores_beside_boxes_survive_8_bits_after_the_repair(end: str) -> None:
    model = _detector(end)
    wanted = _run(model)
    split, _ = split_outputs(model, _ranges(model).channel_maxima)
    before, after = _score_error(model, wanted), _score_error(split, wanted, repair=True)
    assert before > 0.2
    assert after < 0.1 * before


def test_slices_along_the_parts_are_gone_after_the_split() -> None:
    model = _detector("sliced")
    split, _ = split_outputs(model, _ranges(model).channel_maxima)
    assert [node.op_type for node in split.graph].count("Conv") == 3
    assert not {"Slice"} & {node.op_type for node in split.graph}


@pytest.mark.parametrize("end", ENDS)
def test_parts_of_like_ranges_are_not_split(end: str) -> None:
    model = _detector(end, boxes=4.0)
    assert split_outputs(model, _ranges(model).channel_maxima) == (model, False)


def test_channels_of_mixed_sizes_are_no_parts() -> None:
    model = _detector()
    maxima = {"y": tuple([200.0, 1.0] * 5)}
    assert split_outputs(model, maxima) == (model, False)


def test_a_concat_of_unlike_inputs_is_named_with_the_reason() -> None:
    model = _detector("sliced")
    found = find_unlike_concats(model, _ranges(model).tensors["minmax"])
    assert list(found) == ["y"]
    assert "'boxes'" in found["y"]
    assert "'scores'" in found["y"]


def test_a_concat_of_like_inputs_is_not_named() -> None:
    model = _detector("sliced", boxes=3.0)
    assert find_unlike_concats(model, _ranges(model).tensors["minmax"]) == {}


def test_layers_that_read_an_unlike_concat_are_named_with_it() -> None:
    proto = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 20]> g (float[N,4,5,5] a, float[N,4,5,5] b) => (float[N,2,2,2] y)'
        "{ c = Concat <axis = 1> (a, b) m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c) y = Conv(m, w) }"
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((2, 8, 1, 1), np.float32), "w"))
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto))
    found = find_unlike_concats(model, {"a": (-1.0, 1.0), "b": (0.0, 50.0)})
    assert list(found) == ["c", "y"]


def test_the_graph_given_is_not_changed() -> None:
    model = _detector("sliced")
    before = ir.to_proto(model).SerializeToString()
    split_outputs(model, _ranges(model).channel_maxima)
    assert ir.to_proto(model).SerializeToString() == before

"""Running the graph, its boundary and shapes, parity, and the form every graph is brought to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.graph.boundary import check_inputs, draw_inputs, infer_layouts, input_specs, output_specs
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import measure_parity, require_parity
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.shapes import batch_shapes, fix_batch, fix_shapes, shape_of
from edgeai_converters.graph.simplify import simplify
from edgeai_runtime.errors import DataError, ParityError, UsageError
from edgeai_runtime.manifest import TensorSpec

Build = Callable[..., Any]


def test_inner_values_can_be_read(build: Build) -> None:
    model = build("a = Relu(x) z = Neg(a)", inputs="float[N,2] x", outputs="float[N,2] z")
    x = np.array([[-1, 2]], np.float32)
    results = GraphRunner(model, outputs=["a", "z", "x"]).run({"x": x})
    assert {name: array.tolist() for name, array in results.items()} == {"a": [[0, 2]], "z": [[0, -2]], "x": [[-1, 2]]}


def test_an_unknown_value_is_named(build: Build) -> None:
    model = build("z = Relu(x)", inputs="float[N,2] x", outputs="float[N,2] z")
    with pytest.raises(UsageError, match="nowhere"):
        GraphRunner(model, outputs=["nowhere"])


def test_a_fixed_batch_is_run_in_pieces(build: Build) -> None:
    model = build("z = ReduceSum<keepdims = 1>(x)", inputs="float[1,2] x", outputs="float[1,1] z")
    result = GraphRunner(model).run({"x": np.arange(6, dtype=np.float32).reshape(3, 2)})
    assert result["z"].tolist() == [[1], [5], [9]]


def test_a_number_of_samples_that_does_not_fit_the_batch_is_told(build: Build) -> None:
    model = build("z = Relu(x)", inputs="float[2,2] x", outputs="float[2,2] z")
    with pytest.raises(DataError, match=r"2 samples at a time\. Received: 3"):
        GraphRunner(model).run({"x": np.zeros((3, 2), np.float32)})


@pytest.mark.parametrize("feed", [{}, {"x": np.zeros((1, 3), np.float32)}, {"x": np.zeros((1, 2), np.float64)}])
def test_wrong_inputs_are_data_errors(build: Build, feed: dict[str, Any]) -> None:
    model = build("z = Relu(x)", inputs="float[N,2] x", outputs="float[N,2] z")
    with pytest.raises(DataError, match="x"):
        GraphRunner(model).run(feed)


def test_specs_say_free_dimensions_and_types(build: Build) -> None:
    model = build(
        "c = Conv(x, w) z = Cast<to = 7>(c)", inputs="float[N,3,8,8] x", outputs="int64[N,2,8,8] z", w=(2, 3, 1, 1)
    )
    infer_layouts(model)
    assert input_specs(model) == (TensorSpec(name="x", shape=(None, 3, 8, 8), dtype="float32", layout="NCHW"),)
    assert output_specs(model) == (TensorSpec(name="z", shape=(None, 2, 8, 8), dtype="int64"),)


def test_an_input_transposed_before_the_conv_is_nhwc(build: Build) -> None:
    model = build(
        "s = Mul(x, k) t = Transpose<perm = [0, 3, 1, 2]>(s) z = Conv(t, w)",
        inputs="float[N,8,8,3] x",
        outputs="float[N,2,8,8] z",
        w=(2, 3, 1, 1),
        k=(1,),
    )
    infer_layouts(model)
    assert input_specs(model)[0].layout == "NHWC"


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("uint8", 0, 255), ("int8", -128, 127), ("int64", 0, 9), ("bool", 0, 1)]
)
def test_drawn_integers_stay_in_their_range(dtype: str, low: int, high: int) -> None:
    drawn = draw_inputs([TensorSpec(name="x", shape=(None, 50), dtype=dtype)], n=4, seed=1)["x"]
    assert drawn.shape == (4, 50)
    assert drawn.dtype == np.dtype(dtype)
    assert low <= drawn.min() <= drawn.max() <= high


def test_drawn_inputs_follow_the_seed() -> None:
    specs = [TensorSpec(name="x", shape=(None, 5), dtype="float32")]
    first, again, other = (draw_inputs(specs, n=3, seed=seed)["x"] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_samples_of_another_shape_are_told_with_both_shapes() -> None:
    spec = TensorSpec(name="x", shape=(None, 3, 8), dtype="float32")
    with pytest.raises(DataError, match=r"float32 \['n', 3, 8\]. Received: float32 \[2, 8, 3\]"):
        check_inputs([spec], {"x": np.zeros((2, 8, 3), np.float32)}, where="samples")


def test_fixing_a_shape_fixes_what_follows_and_leaves_the_original(build: Build) -> None:
    model = build("z = Relu(x)", inputs="float[N,3,H] x", outputs="float[N,3,H] z")
    fixed = fix_shapes(model, {"x": (2, 3, 7)})
    assert shape_of(fixed.graph.outputs[0]) == (2, 3, 7)
    assert shape_of(model.graph.outputs[0]) == ("N", 3, "H")
    assert shape_of(fix_batch(model, 5).graph.outputs[0]) == (5, 3, "H")


@pytest.mark.parametrize(
    ("shapes", "words"),
    [({"y": (1,)}, "no input named 'y'"), ({"x": (1, 3)}, "3 dimensions"), ({"x": (1, 4, 7)}, "fixed shape")],
)
def test_shapes_that_do_not_fit_are_refused(build: Build, shapes: dict[str, tuple[int, ...]], words: str) -> None:
    model = build("z = Relu(x)", inputs="float[N,3,H] x", outputs="float[N,3,H] z")
    with pytest.raises(UsageError, match=words):
        fix_shapes(model, shapes)


def test_parity_tells_the_worst_output() -> None:
    reference = {"a": np.array([[1.0, -2.0]]), "b": np.array([[100.0]])}
    other = {"a": np.array([[1.0, -1.5]]), "b": np.array([[101.0]])}
    parity = measure_parity(reference, other)
    assert (parity.max_abs, parity.max_rel, parity.n) == (1.0, 0.25, 1)
    assert parity.cosine == pytest.approx(4 / np.sqrt(5 * 3.25))


@pytest.mark.parametrize(("value", "same"), [(np.nan, True), (np.inf, True), (-np.inf, False), (0.0, False)], ids=str)
def test_values_that_are_not_finite_must_stand_at_the_same_places(value: float, same: bool) -> None:
    reference = np.array([[1.0, np.nan if np.isnan(value) else np.inf]])
    parity = measure_parity({"a": reference}, {"a": np.array([[1.0, value]])})
    assert (parity.max_abs == 0) is same


@pytest.mark.parametrize("other", [{}, {"a": np.zeros((1, 3))}], ids=["missing", "misshapen"])
def test_a_missing_or_misshapen_output_is_a_parity_error(other: dict[str, Any]) -> None:
    with pytest.raises(ParityError, match="keras → graph: Output 'a'"):
        require_parity({"a": np.zeros((1, 2))}, other, what="keras → graph", max_rel=1, min_cosine=0)


def test_the_gate_closes_beyond_its_tolerance() -> None:
    arrays = {"a": np.array([[1.0, 2.0]])}, {"a": np.array([[1.0, 2.1]])}
    require_parity(*arrays, what="x", max_rel=0.06, min_cosine=0.99)
    with pytest.raises(ParityError, match=r"Relative difference 0\.05"):
        require_parity(*arrays, what="x", max_rel=0.04, min_cosine=0.99)


def test_old_opsets_are_raised_and_constants_lifted() -> None:
    proto = onnx.parser.parse_model(
        """<ir_version: 3, opset_import: ["" : 11]> g (float[?,3] x) => (float[?,1] z)
        { k = Constant<value = float[1] {2.0}>() y = Mul(x, k) z = ReduceSum<axes = [1], keepdims = 1>(y) }"""
    )
    model = prepare_graph(proto)
    assert model.graph.opset_imports[""] == 18
    assert [node.op_type for node in model.graph] == ["Mul", "ReduceSum"]
    assert shape_of(model.graph.inputs[0]) == ("batch", 3)
    result = GraphRunner(model).run({"x": np.ones((2, 3), np.float32)})
    assert result["z"].tolist() == [[6], [6]]


def test_simplify_leaves_the_model_it_was_given(build: Build) -> None:
    model = build("a = Identity(x) z = Relu(a)", inputs="float[N,2] x", outputs="float[N,2] z")
    simple, names = simplify(model)
    assert names == ["remove_no_ops"]
    assert [node.op_type for node in simple.graph] == ["Relu"]
    assert [node.op_type for node in model.graph] == ["Identity", "Relu"]


def test_simplify_brings_a_network_from_tensorflow_to_plain_layers(build: Build) -> None:
    model = build(
        """t = Transpose<perm = [0, 3, 1, 2]>(x) p = Pad(t, pads) c = Conv<strides = [2, 2]>(p, w)
        n = BatchNormalization(c, g, b, m, v) r = Relu(n) u = Transpose<perm = [0, 2, 3, 1]>(r)
        q = ReduceMean<keepdims = 0>(u, axes) d = MatMul(q, k) e = Add(d, s) z = Softmax(e)""",
        inputs="float[N,9,9,3] x",
        outputs="float[N,5] z",
        pads=np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        w=(4, 3, 3, 3),
        g=(4,),
        b=(4,),
        m=(4,),
        v=np.ones(4, np.float32),
        axes=np.array([1, 2], np.int64),
        k=(4, 5),
        s=(5,),
    )
    simple, _ = simplify(model)
    assert [node.op_type for node in simple.graph] == [
        "Transpose",
        "Conv",
        "Relu",
        "GlobalAveragePool",
        "Reshape",
        "Gemm",
        "Softmax",
    ]
    x = draw_inputs(input_specs(model), n=3, seed=0)
    require_parity(GraphRunner(model).run(x), GraphRunner(simple).run(x), what="", max_rel=1e-5, min_cosine=0.99999)


@pytest.mark.parametrize("as_file", [False, True], ids=["graph", "file"])
def test_float_weights_between_quantized_activations_stay_as_they_are(
    build: Build, tmp_path: Path, as_file: bool
) -> None:
    weights = np.random.default_rng(1).normal(size=(8, 4)).astype(np.float32)
    model = build(
        "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) m = Gemm(d, w) "
        "p = QuantizeLinear(m, t, z) y = DequantizeLinear(p, t, z)",
        inputs="float[N,8] x",
        outputs="float[N,4] y",
        w=weights,
        s=np.array(1 / 32, np.float32),
        t=np.array(1 / 64, np.float32),
        z=np.array(0, np.int8),
    )
    x = np.random.default_rng(2).uniform(-2, 2, size=(64, 8)).astype(np.float32)
    rounded = np.clip(np.rint(x * 32), -128, 127) / 32
    expected = np.clip(np.rint(rounded @ weights * 64), -128, 127) / 64
    source: ir.Model | Path = model
    if as_file:
        source = tmp_path / "model.onnx"
        ir.save(model, source)
    np.testing.assert_allclose(GraphRunner(source).run({"x": x})["y"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("float[N,5] x, float[N,T] y", {"x": (1, -1), "y": (1, -1)}),
        ("float[N,T,4] x, float[2,N,3] h", {"x": (1, -1, -1), "h": (-1, 1, -1)}),
        ("float[12,N,4] x, float[2,N,3] h, float[3] z", {"x": (-1, 1, -1), "h": (-1, 1, -1)}),
        ("float[12,N,T] x, float[2,N,T] h", {}),
        ("float[12,4] x", {}),
    ],
    ids=["first everywhere", "second in a state", "second everywhere", "not told which", "none"],
)
def test_the_batch_is_fixed_wherever_it_stands(inputs: str, expected: dict[str, tuple[int, ...]]) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 18]> g ({inputs}) => (y_out) {{ y_out = Identity(x) }}"""
    model = prepare_graph(onnx.parser.parse_model(text))
    assert batch_shapes(model, 1) == expected

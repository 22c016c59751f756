"""Folding steps into the graph: the same results from raw samples, and nothing folded where that cannot be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edgeai_converters.graph.boundary import input_specs
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.fold_preprocessing import fold_preprocessing
from edgeai_converters.graph.simplify import simplify
from edgeai_runtime.transforms.parse import format_steps, parse_steps
from edgeai_runtime.transforms.pipeline import apply_steps

Build = Callable[..., ir.Model]

ROUNDING = 1e-5
"""Relative to the largest output: sums of float32 products in another order, constants computed in float64."""

MEAN = "normalize:mean=[123.7,116.3,103.5],std=[58.4,57.1,57.4]"
SAME = "scale:0.0078125,-1"


def check(
    model: ir.Model, text: str, raw: Any, *, left: str = "", raw_dtype: str = ""
) -> tuple[Counter[str], ir.Model]:
    """Fold, compare what comes out of raw samples before and after, and return the operators and the graph."""
    steps = parse_steps(text)
    dtypes = {"x": raw_dtype} if raw_dtype else None
    before = GraphRunner(model).run({"x": np.asarray(apply_steps(steps, raw), np.float32)})
    folded, remaining, changed = fold_preprocessing(model, {"x": steps}, raw_dtypes=dtypes)
    assert format_steps(remaining.get("x", ())) == left
    assert changed == (left != format_steps(steps) or bool(raw_dtype))
    (spec,) = input_specs(folded)
    fed = np.asarray(apply_steps(remaining.get("x", ()), raw))
    if not raw_dtype:
        fed = fed.astype(np.float32)
    assert spec.dtype == str(fed.dtype)
    assert all(wanted in (None, got) for wanted, got in zip(spec.shape[1:], fed.shape[1:], strict=True))
    after = GraphRunner(folded).run({"x": fed})
    for name, expected in before.items():
        np.testing.assert_allclose(after[name], expected, rtol=0, atol=ROUNDING * np.abs(expected).max())
    return Counter(node.op_type for node in folded.graph), folded


def images(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def conv(build: Build, pads: str = "0,0,0,0", *, extra: str = "", channels: int = 3, bias: bool = True) -> ir.Model:
    inputs = f"x, w{', b' if bias else ''}"
    return build(
        f"y = Conv<pads=[{pads}]{extra}> ({inputs})",
        inputs=f"float[batch,{channels},9,8] x",
        outputs="float[batch,4,c,d] y",
        w=(4, 3, 3, 3),
        **({"b": (4,)} if bias else {}),
    )


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "text", [f"{MEAN};layout:NHWC>NCHW", f"layout:NHWC>NCHW;{MEAN},axis=1", SAME + ";layout:NHWC>NCHW"]
)
def test_an_affine_goes_into_weights_and_bias_where_nothing_is_padded(build: Build, text: str, bias: bool) -> None:
    operators, folded = check(conv(build, bias=bias), "cast:float32;" + text, images(2, 9, 8, 3))
    assert operators == {"Transpose": 1, "Conv": 1}
    assert input_specs(folded)[0].layout == "NHWC"


def test_without_a_layout_step_the_conv_is_all_there_is(build: Build) -> None:
    operators, _ = check(conv(build), f"cast:float32;{MEAN},axis=1", images(2, 3, 9, 8))
    assert operators == {"Conv": 1}


def test_padding_is_written_out_where_one_value_becomes_zero(build: Build) -> None:
    operators, folded = check(conv(build, "1,2,0,1"), f"{SAME}", images(2, 3, 9, 8))
    assert operators == {"Pad": 1, "Conv": 1}
    assert simplify(folded)[0].graph is not None


def test_padding_that_differs_by_channel_keeps_an_addition(build: Build) -> None:
    operators, _ = check(conv(build, "1,1,1,1"), f"{MEAN},axis=1", images(2, 3, 9, 8))
    assert operators == {"Add": 1, "Conv": 1}


def test_a_scale_alone_does_not_mind_padding(build: Build) -> None:
    operators, _ = check(conv(build, "1,1,1,1"), "scale:0.00390625", images(2, 3, 9, 8))
    assert operators == {"Conv": 1}


def test_automatic_padding_is_left_to_the_conv(build: Build) -> None:
    model = build(
        'y = Conv<auto_pad="SAME_UPPER", strides=[2,2]> (x, w)',
        inputs="float[batch,3,9,8] x",
        outputs="float[batch,4,c,d] y",
        w=(4, 3, 3, 3),
    )
    operators, _ = check(model, SAME, images(2, 3, 9, 8))
    assert operators["Conv"] == 1
    assert operators["Add"] + operators["Pad"] == 1


@pytest.mark.parametrize("pads", ["0,0,0,0", "1,1,1,1"])
def test_the_order_of_channels_goes_into_the_weights(build: Build, pads: str) -> None:
    text = f"channels:[1,0,2];{MEAN};channels:[0,2,1];layout:NHWC>NCHW"
    operators, _ = check(conv(build, pads), text, images(2, 9, 8, 3))
    assert operators["Conv"] == 1
    assert "Gather" not in operators


def test_groups_have_their_own_channels(build: Build) -> None:
    model = build(
        "y = Conv<group=3> (x, w)",
        inputs="float[batch,6,9,8] x",
        outputs="float[batch,9,c,d] y",
        w=(9, 2, 3, 3),
    )
    text = "normalize:mean=[1,2,3,4,5,6],std=[2,3,4,5,6,7],axis=1"
    assert check(model, text, images(2, 6, 9, 8))[0] == {"Conv": 1}
    order = "channels:order=[5,4,3,2,1,0],axis=1"
    check(model, order, images(2, 6, 9, 8), left=order)


def test_layers_behind_a_transpose_of_the_graph_are_found(build: Build) -> None:
    model = build(
        "t = Transpose<perm=[0,3,1,2]> (x) y = Conv<pads=[1,1,1,1]> (t, w)",
        inputs="float[batch,9,8,3] x",
        outputs="float[batch,4,c,d] y",
        w=(4, 3, 3, 3),
    )
    assert check(model, f"cast:float32;{MEAN}", images(2, 9, 8, 3))[0]["Conv"] == 1


@pytest.mark.parametrize(
    "body", ["y = Gemm<transB=1> (x, w, b)", "t = MatMul (x, w) y = Add (t, b)", "y = MatMul (x, w)"]
)
def test_vectors_go_into_the_first_matrix(build: Build, body: str) -> None:
    shape = (4, 5) if "transB" in body else (5, 4)
    constants = {"w": shape, "b": (4,)} if "b)" in body else {"w": shape}
    model = build(body, inputs="float[batch,5] x", outputs="float[batch,4] y", **constants)
    text = "normalize:mean=[1,2,3,4,5],std=[2,3,4,5,6]"
    check(model, text, images(3, 5))
    check(model, "channels:[4,3,2,1,0];" + text, images(3, 5))


def test_one_number_goes_through_a_reshape_and_a_vector_does_not(build: Build) -> None:
    model = build(
        "t = Flatten (x) y = Gemm (t, w, b)",
        inputs="float[batch,3,2,2] x",
        outputs="float[batch,4] y",
        w=(12, 4),
        b=(4,),
    )
    assert check(model, "dequantize:scale=0.5,zero_point=3", images(2, 3, 2, 2))[0]["Gemm"] == 1
    vector = "normalize:mean=[1.0,2.0,3.0],std=[2.0,3.0,4.0],axis=1"
    check(model, vector, images(2, 3, 2, 2), left=vector)


def test_every_layer_that_reads_the_input_is_changed(build: Build) -> None:
    body = "y = Conv (x, w) z = Conv<strides=[2,2]> (x, v, b)"
    model = build(
        body,
        inputs="float[batch,3,9,8] x",
        outputs="float[batch,4,c,d] y, float[batch,2,e,f] z",
        w=(4, 3, 3, 3),
        v=(2, 3, 1, 1),
        b=(2,),
    )
    assert check(model, f"{MEAN},axis=1", images(2, 3, 9, 8))[0] == {"Conv": 2}


@pytest.mark.parametrize(
    "body",
    [
        "y = Conv (x, w) z = Relu (x)",
        "t = Relu (x) y = Conv (t, w) z = Identity (t)",
        "y = Conv (x, w) z = Identity (x)",
    ],
)
def test_nothing_goes_past_another_reader(build: Build, body: str) -> None:
    model = build(
        body,
        inputs="float[batch,3,9,8] x",
        outputs="float[batch,4,c,d] y, float[batch,3,9,8] z",
        w=(4, 3, 3, 3),
    )
    check(model, SAME, images(2, 3, 9, 8), left="scale:factor=0.0078125,offset=-1")


def test_steps_that_are_not_affine_stay_and_all_before_them(build: Build) -> None:
    text = f"scale:2;resize:9,8;cast:float32;{MEAN};layout:NHWC>NCHW"
    check(conv(build), text, images(2, 12, 10, 3), left="scale:factor=2;resize:height=9,width=8")


@pytest.mark.parametrize("pads", ["0,0,0,0", "1,1,1,1"])
def test_raw_bytes_are_cast_by_the_graph(build: Build, pads: str) -> None:
    text = f"resize:9,8;cast:float32;{SAME};layout:NHWC>NCHW"
    operators, folded = check(
        conv(build, pads), text, images(2, 12, 10, 3), left="resize:height=9,width=8", raw_dtype="uint8"
    )
    assert operators["Cast"] == 1
    assert input_specs(folded)[0].dtype == "uint8"


def test_bytes_are_not_cast_where_a_step_made_floats_of_them(build: Build) -> None:
    model = build("y = Relu (x)", inputs="float[batch,3] x", outputs="float[batch,3] y")
    folded, remaining, changed = fold_preprocessing(model, {"x": parse_steps("scale:2")}, raw_dtypes={"x": "uint8"})
    assert not changed
    assert len(remaining["x"]) == 1
    assert input_specs(folded)[0].dtype == "float32"


def test_the_graph_given_is_not_changed(build: Build) -> None:
    model = conv(build)
    x = {"x": images(2, 3, 9, 8).astype(np.float32)}
    before = GraphRunner(model).run(x)
    fold_preprocessing(model, {"x": parse_steps(f"{MEAN},axis=1")})
    np.testing.assert_array_equal(GraphRunner(model).run(x)["y"], before["y"])


def test_a_factor_of_zero_stays(build: Build) -> None:
    check(conv(build), "scale:0,1", images(2, 3, 9, 8), left="scale:factor=0,offset=1")

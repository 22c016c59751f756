"""Blocks that go as a whole: found where shapes allow it, ranked by what is lost, removed without a trace."""

from __future__ import annotations

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
from edgeai_converters.prune.depth import DepthPlan, plan_depth, rank_blocks, remove_blocks
from edgeai_converters.prune.depth_blocks import Block, find_blocks
from edgeai_runtime.errors import DataError, UsageError

pytestmark = pytest.mark.onnxruntime

Sizes = Mapping[str, tuple[int, ...]]

_RESNET_SIZES: Sizes = {
    "w0": (6, 3, 3, 3),
    "w1": (6, 6, 3, 3),
    "w2": (6, 6, 3, 3),
    "w3": (8, 6, 3, 3),
    "w4": (8, 8, 3, 3),
    "ws": (8, 6, 1, 1),
    "w5": (8, 8, 3, 3),
    "w6": (8, 8, 3, 3),
    "w7": (4, 8),
}
_SAME = "<pads = [1, 1, 1, 1]>"
_HALF = "<pads = [1, 1, 1, 1], strides = [2, 2]>"


def _model(signature: str, body: str, sizes: Sizes, **given: NDArray[Any]) -> ir.Model:
    """Parse a graph; constants are drawn by name, so that graphs with parts left out have the same ones."""
    proto = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> g {signature} {{ {body} }}')
    drawn = {
        name: np.random.default_rng(list(name.encode())).normal(size=size) / np.sqrt(np.prod(size[1:]))
        for name, size in sizes.items()
    }
    for name, array in {**drawn, **given}.items():
        typed = array if array.dtype == np.int64 else array.astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(typed, name))
    return prepare_graph(proto)


def resnet(*, first: bool = True, last: bool = True) -> ir.Model:
    """A stem, a block, a block that halves the map, and another block; with blocks left out by hand."""
    one = f"c1 = Conv {_SAME} (r0, w1) r1 = Relu(c1) c2 = Conv {_SAME} (r1, w2) s1 = Add(r0, c2)"
    two = f"c5 = Conv {_SAME} (r3, w5) r4 = Relu(c5) c6 = Conv {_SAME} (r4, w6) s3 = Add(c6, r3)"
    body = f"""c0 = Conv {_SAME} (x, w0) r0 = Relu(c0) {one if first else "s1 = Identity(r0)"} r2 = Relu(s1)
        c3 = Conv {_HALF} (r2, w3) r5 = Relu(c3) c4 = Conv {_SAME} (r5, w4)
        cs = Conv <strides = [2, 2]> (r2, ws) s2 = Add(cs, c4) r3 = Relu(s2) {two if last else "s3 = Identity(r3)"}
        r6 = Relu(s3) g = ReduceMean <keepdims = 0> (r6, axes) y = Gemm <transB = 1> (g, w7)"""
    return _model("(float[N,3,8,8] x) => (float[N,4] y)", body, _RESNET_SIZES, axes=np.asarray([2, 3]))


def transformer(*, before: bool) -> ir.Model:
    """Two layers, each attention with a mask and a feed-forward half; norms before the halves, or behind the sums."""
    sizes: dict[str, tuple[int, ...]] = {"embed": (20, 8)}
    body = "n0 = Gather(embed, x) lo = Sub(one, m) big = Mul(lo, minus) mask = Unsqueeze(big, axes)\n"
    norm = "{0} = LayerNormalization <axis = -1> ({1}, scale_{0}, shift_{0})"
    flow = "n0"
    for i in (1, 2):
        read = f"l{i}a" if before else flow
        body += norm.format(read, flow) + "\n" if before else ""
        body += f"""q{i} = MatMul({read}, wq{i}) k{i} = MatMul({read}, wk{i}) v{i} = MatMul({read}, wv{i})
            t{i} = Transpose <perm = [0, 2, 1]> (k{i}) d{i} = MatMul(q{i}, t{i}) e{i} = Add(d{i}, mask)
            p{i} = Softmax(e{i}) o{i} = MatMul(p{i}, v{i}) a{i} = MatMul(o{i}, wo{i}) sa{i} = Add({flow}, a{i})\n"""
        flow = f"sa{i}"
        if not before:
            body += norm.format(f"na{i}", flow) + "\n"
            flow = f"na{i}"
        read = f"l{i}f" if before else flow
        body += norm.format(read, flow) + "\n" if before else ""
        body += f"f{i} = MatMul({read}, wf{i}) g{i} = Relu(f{i}) h{i} = MatMul(g{i}, wg{i}) sf{i} = Add(h{i}, {flow})\n"
        flow = f"sf{i}"
        if not before:
            body += norm.format(f"nf{i}", flow) + "\n"
            flow = f"nf{i}"
        norms = (f"l{i}a", f"l{i}f") if before else (f"na{i}", f"nf{i}")
        sizes |= {f"{part}_{name}": (8,) for name in norms for part in ("scale", "shift")}
        sizes |= {f"w{name}{i}": (8, 8) for name in "qkvo"} | {f"wf{i}": (8, 16), f"wg{i}": (16, 8)}
    body += f"y = MatMul({flow}, end)"
    return _model(
        "(int64[N,5] x, float[N,5] m) => (float[N,5,3] y)",
        body,
        {**sizes, "end": (8, 3)},
        one=np.asarray(1.0),
        minus=np.asarray(-1e4),
        axes=np.asarray([1]),
    )


def depthwise() -> ir.Model:
    """A stem and three stages: the middle one halves the map, so that it has to stay."""
    body = "c0 = Conv <pads = [1, 1, 1, 1]> (x, w0) r0 = Relu(c0)\n"
    for i, way in ((1, _SAME), (2, _HALF), (3, _SAME)):
        deep = way.replace("<", "<group = 6, ")
        body += f"d{i} = Conv {deep} (r{i - 1}, wd{i}) e{i} = Relu(d{i}) p{i} = Conv(e{i}, wp{i}) r{i} = Relu(p{i})\n"
    body += "g = ReduceMean <keepdims = 0> (r3, axes) y = Gemm <transB = 1> (g, w9)"
    sizes = {"w0": (6, 3, 3, 3), "w9": (4, 6)} | {f"wp{i}": (6, 6, 1, 1) for i in (1, 2, 3)}
    sizes |= {f"wd{i}": (6, 1, 3, 3) for i in (1, 2, 3)}
    return _model("(float[N,3,8,8] x) => (float[N,4] y)", body, sizes, axes=np.asarray([2, 3]))


def dense() -> ir.Model:
    body = "a = Gemm(x, w1) ar = Relu(a) c = Gemm(ar, w2) cr = Relu(c) d = Gemm(cr, w3) dr = Relu(d) y = Gemm(dr, w4)"
    sizes = {"w1": (5, 12), "w2": (12, 12), "w3": (12, 12), "w4": (12, 3)}
    return _model("(float[N,5] x) => (float[N,3] y)", body, sizes)


def stacked_lstm() -> ir.Model:
    body, flow = "", "x"
    for i in (1, 2, 3):
        body += f"h{i} = LSTM <hidden_size = 6> ({flow}, w{i}, r{i}) z{i} = Squeeze(h{i}, axes)\n"
        flow = f"z{i}"
    sizes = {"w1": (1, 24, 4), "w2": (1, 24, 6), "w3": (1, 24, 6), "end": (6, 2)}
    sizes |= {f"r{i}": (1, 24, 6) for i in (1, 2, 3)}
    signature = "(float[7,N,4] x) => (float[7,N,2] y)"
    return _model(signature, body + "y = MatMul(z3, end)", sizes, axes=np.asarray([1]))


def denoiser() -> ir.Model:
    """A chain of layers with a sum around all of it."""
    body = f"""a = Conv {_SAME} (x, w1) ar = Relu(a) c = Conv {_SAME} (ar, w2) cr = Relu(c)
        d = Conv {_SAME} (cr, w3) dr = Relu(d) e = Conv {_SAME} (dr, w4) y = Add(x, e)"""
    sizes = {"w1": (6, 3, 3, 3), "w2": (6, 6, 3, 3), "w3": (6, 6, 3, 3), "w4": (3, 6, 3, 3)}
    return _model("(float[N,3,8,8] x) => (float[N,3,8,8] y)", body, sizes)


def upscaler() -> ir.Model:
    """Two blocks, a sum around both, and layers enough behind them."""
    body = f"""a = Conv {_SAME} (x, w1) p = Conv {_SAME} (a, w2) b = Conv {_SAME} (p, w3) s1 = Add(p, b)
        c = Conv {_SAME} (s1, w8) s2 = Add(s1, c) s3 = Add(a, s2) t = Tanh(s3)
        d = Conv {_SAME} (t, w4) dr = Relu(d) e = Conv {_SAME} (dr, w5) er = Sigmoid(e)
        f = Conv {_SAME} (er, w6) fr = Tanh(f) y = Conv {_SAME} (fr, w7)"""
    sizes = {"w1": (6, 3, 3, 3), "w2": (6, 6, 3, 3), "w3": (6, 6, 3, 3), "w4": (8, 6, 3, 3), "w5": (9, 8, 3, 3)}
    sizes |= {"w6": (10, 9, 3, 3), "w7": (3, 10, 3, 3), "w8": (6, 6, 3, 3)}
    return _model("(float[N,3,8,8] x) => (float[N,3,8,8] y)", body, sizes)


def shortcuts_from_the_input() -> ir.Model:
    """What enters the second sum is not what enters the layer before it."""
    body = "a = MatMul(x, w1) s = Add(a, x) b = MatMul(s, w2) t = Add(b, x) y = Relu(t)"
    return _model("(float[N,6] x) => (float[N,6] y)", body, {"w1": (6, 6), "w2": (6, 6)})


NETWORKS: dict[str, tuple[Callable[[], ir.Model], dict[str, str]]] = {
    "resnet": (resnet, {"s1": "r0", "s3": "r3"}),
    "norms before": (
        lambda: transformer(before=True),
        {"sa1": "n0", "sf1": "sa1", "sa2": "sf1", "sf2": "sa2"},
    ),
    "norms behind": (
        lambda: transformer(before=False),
        {"sa1": "n0", "sf1": "na1", "sa2": "nf1", "sf2": "na2"},
    ),
    "depthwise": (depthwise, {"r1": "r0", "r3": "r2"}),
    "dense": (dense, {"cr": "ar", "dr": "cr"}),
    "stacked lstm": (stacked_lstm, {"z2": "z1", "z3": "z2"}),
    "denoiser": (denoiser, {"cr": "ar", "dr": "cr"}),
    "upscaler": (upscaler, {"s1": "p", "s2": "s1"}),
    "shortcuts from the input": (shortcuts_from_the_input, {"s": "x"}),
}


def _batches(model: ir.Model, n: int = 8) -> list[dict[str, NDArray[Any]]]:
    random = np.random.default_rng(1)
    batch = {}
    for value in model.graph.inputs:
        shape = [size if isinstance(size, int) else n for size in value.shape or ()]
        drawn = random.normal(size=shape).astype(np.float32)
        batch[str(value.name)] = random.integers(0, 20, size=shape) if value.dtype == ir.DataType.INT64 else drawn
    if "m" in batch:
        batch["m"] = (batch["m"] > -1).astype(np.float32)
    return [batch]


def _run(model: ir.Model) -> NDArray[Any]:
    return GraphRunner(model).run(_batches(model)[0])["y"]


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_are_found(name: str) -> None:
    build, wanted = NETWORKS[name]
    assert {block.id: block.entry for block in find_blocks(build())} == wanted


@pytest.mark.parametrize("name", NETWORKS)
def test_any_set_of_blocks_can_go(name: str) -> None:
    model = NETWORKS[name][0]()
    blocks = find_blocks(model)
    for gone in (blocks, blocks[:1], blocks[-1:]):
        smaller, changed = remove_blocks(model, gone)
        assert changed
        assert _run(smaller).shape == _run(model).shape
        assert _parameters(model) - _parameters(smaller) == sum(block.parameters for block in gone)


def _parameters(model: ir.Model) -> int:
    arrays = [value.const_value for value in model.graph.initializers.values() if value.dtype == ir.DataType.FLOAT]
    return sum(array.size for array in arrays if array is not None and array.size > 1)


@pytest.mark.parametrize(("gone", "by_hand"), [("s1", {"first": False}), ("s3", {"last": False})])
def test_a_network_without_a_block_is_the_one_built_without_it(gone: str, by_hand: dict[str, bool]) -> None:
    model = resnet()
    smaller, _ = remove_blocks(model, [block for block in find_blocks(model) if block.id == gone])
    np.testing.assert_array_equal(_run(smaller), _run(resnet(**by_hand)))


def test_the_last_block_hands_its_name_to_what_is_left() -> None:
    body = "a = Gemm(x, w1) ar = Relu(a) c = Gemm(ar, w2) y = Add(ar, c)"
    model = _model("(float[N,5] x) => (float[N,12] y)", body, {"w1": (5, 12), "w2": (12, 12)})
    smaller, _ = remove_blocks(model, find_blocks(model))
    assert [node.op_type for node in smaller.graph] == ["Gemm", "Relu"]
    assert [value.name for value in smaller.graph.outputs] == ["y"]


def test_a_value_that_is_read_behind_the_block_keeps_it() -> None:
    body = "a = Gemm(x, w1) ar = Relu(a) c = Gemm(ar, w2) cr = Relu(c) d = Gemm(cr, w3) e = Mul(d, c) y = Relu(e)"
    sizes = {"w1": (5, 12), "w2": (12, 12), "w3": (12, 12)}
    model = _model("(float[N,5] x) => (float[N,12] y)", body, sizes)
    assert "cr" not in {block.id for block in find_blocks(model)}


def test_weights_that_blocks_share_belong_to_none_of_them() -> None:
    body = "a = MatMul(x, w) s = Add(x, a) b = MatMul(s, w) y = Add(s, b)"
    model = _model("(float[N,6] x) => (float[N,6] y)", body, {"w": (6, 6)})
    assert [(block.parameters, block.weights) for block in find_blocks(model)] == [(0, ()), (0, ())]


def _with_a_useless_block() -> ir.Model:
    model = resnet()
    value = model.graph.initializers["w6"]
    value.const_value = ir.tensor(np.full((8, 8, 3, 3), 1e-4, np.float32), name="w6")
    return model


def test_the_block_that_does_nothing_goes_first() -> None:
    model = _with_a_useless_block()
    plan = plan_depth(model, find_blocks(model), _batches(model), count=1)
    assert [block.id for block in plan.removed] == ["s3"]
    assert plan.worth["s3"] < 0.01 < plan.worth["s1"]


def test_worth_is_the_error_of_the_outputs() -> None:
    model = resnet()
    wanted, found = _run(model), _run(resnet(first=False))
    worth = rank_blocks(model, find_blocks(model), _batches(model))
    assert worth["s1"] == pytest.approx(np.linalg.norm(found - wanted) / np.linalg.norm(wanted), rel=1e-5)


def test_blocks_that_stand_in_for_each_other_do_not_both_go() -> None:
    """Two steps that do the same, each idle behind the other, and one that loses less than both of them together."""
    body = "a = MatMul(x, w1) s = Add(x, a) c = MatMul(s, w2) t = Add(s, c) d = MatMul(t, w3) y = Add(t, d)"
    project, other = np.diag([-0.999, 0.0]), np.diag([0, 1.2])
    model = _model("(float[N,2] x) => (float[N,2] y)", body, {}, w1=project, w2=project, w3=other)
    blocks = find_blocks(model)
    drawn = np.random.default_rng(0).normal(size=(64, 2)) * [1, 0.1]
    batches = [{"x": drawn.astype(np.float32)}]
    worth = rank_blocks(model, blocks, batches)
    plan = plan_depth(model, blocks, batches, count=2)
    assert set(sorted(worth, key=lambda name: worth[name])[:2]) == {"s", "t"}
    assert {block.id for block in plan.removed} != {"s", "t"}


def test_the_share_of_weights_is_reached() -> None:
    model = _with_a_useless_block()
    blocks = find_blocks(model)
    share = {block.id: block.parameters / sum(each.parameters for each in blocks) for block in blocks}["s3"]
    for least, gone in ((share, ["s3"]), (share + 0.01, ["s1", "s3"])):
        assert [block.id for block in plan_depth(model, blocks, _batches(model), share=least).removed] == gone


def test_a_plan_survives_json() -> None:
    model = resnet()
    plan = plan_depth(model, find_blocks(model), _batches(model), count=1)
    again = DepthPlan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert remove_blocks(model, again)[1]


def test_what_can_not_be_asked_is_refused() -> None:
    model = resnet()
    blocks, batches = find_blocks(model), _batches(model)
    with pytest.raises(UsageError, match="Say either"):
        plan_depth(model, blocks, batches)
    with pytest.raises(UsageError, match="2 blocks"):
        plan_depth(model, blocks, batches, count=3)
    with pytest.raises(UsageError, match="no block that ends at 'gone'"):
        remove_blocks(model, [Block(id="gone", kind="chain", entry="x", values=(), weights=(), parameters=0)])
    with pytest.raises(DataError, match="no calibration samples"):
        rank_blocks(model, blocks, [])

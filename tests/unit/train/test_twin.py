"""The trainable twin: it computes what the graph computes, trains its weights, and gives them back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import measure_parity
from edgeai_converters.train.parameters import trained_constants
from edgeai_converters.train.twin import make_twin, run_twin, save_twin, write_back
from edgeai_runtime.errors import DataError, ModelError, UnsupportedOperationError

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.onnxruntime]

ROUNDING = 1e-5
"""Two engines that add the same float32 products in another order differ by less."""

NETWORK = """
    c = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
    r = Relu(c)
    g = GlobalAveragePool(r)
    f = Reshape(g, shape)
    y = Gemm <transB = 1> (f, w2, b2)
"""


def _model(body: str, inputs: str, outputs: str, **constants: Any) -> ir.Model:
    text = f'<ir_version: 9, opset_import: ["" : 20]> g ({inputs}) => ({outputs}) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, given in constants.items():
        array = random.normal(size=given).astype(np.float32) if isinstance(given, tuple) else np.asarray(given)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _network(batch: str = "N") -> ir.Model:
    rows = -1 if batch == "N" else int(batch)
    return _model(
        NETWORK,
        f"float[{batch},3,8,8] x",
        f"float[{batch},5] y",
        w1=(4, 3, 3, 3),
        b1=(4,),
        shape=np.array([rows, 4]),
        w2=(5, 4),
        b2=(5,),
    )


def _samples(n: int = 6) -> dict[str, NDArray[np.float32]]:
    return {"x": np.random.default_rng(1).normal(size=(n, 3, 8, 8)).astype(np.float32)}


@pytest.mark.parametrize("batch", ["N", "1", "2"])
def test_twin_computes_what_the_graph_computes(batch: str) -> None:
    model = _network(batch)
    assert measure_parity(GraphRunner(model).run(_samples()), run_twin(make_twin(model), _samples())).max_rel < ROUNDING


def test_samples_that_do_not_fill_the_fixed_batch_are_refused() -> None:
    with pytest.raises(DataError, match="2 samples at a time"):
        run_twin(make_twin(_network("2")), _samples(5))


@pytest.mark.parametrize("batch", ["N", "1"])
def test_every_weight_gets_a_gradient(batch: str) -> None:
    twin = make_twin(_network(batch))
    twin(torch.from_numpy(_samples()["x"]))[0].square().sum().backward()
    assert [name for name, weight in twin.weights.items() if weight.grad is None or not weight.grad.any()] == []


def test_only_what_is_a_weight_by_its_use_is_trained() -> None:
    body = (
        "n = Sub(x, mean) s = MatMul(n, w) c = Add(s, b) m = Add(c, mask) p = Softmax(m) h = Mul(p, half) y = Add(h, h)"
    )
    model = _model(
        body,
        "float[N,3] x",
        "float[N,4] y",
        mean=(3,),
        w=(3, 4),
        b=(4,),
        mask=(4,),
        half=np.float32(0.5),
    )
    assert trained_constants(model) == ["w", "b"]


def test_trained_weights_are_written_back_into_a_copy() -> None:
    model = _network()
    before = GraphRunner(model).run(_samples())["y"]
    twin = make_twin(model)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        (twin(torch.from_numpy(_samples()["x"]))[0] - 1.0).square().mean().backward()
        optimizer.step()
    written = write_back(twin, model)
    after = GraphRunner(written).run(_samples())
    assert np.abs(after["y"] - before).max() > 0.1
    assert measure_parity(after, run_twin(twin, _samples())).max_rel < ROUNDING
    assert np.array_equal(GraphRunner(model).run(_samples())["y"], before)


def test_weights_of_another_graph_are_refused() -> None:
    other = _model("y = MatMul(x, v)", "float[N,3] x", "float[N,4] y", v=(3, 4))
    with pytest.raises(ModelError, match="no constant named 'v'"):
        write_back(make_twin(other), _network())


def test_unknown_operator_is_named_with_its_node() -> None:
    model = _model("d = Det(x) y = Relu(d)", "float[2,2] x", "float y")
    with pytest.raises(UnsupportedOperationError, match=r"no operator Det; the node"):
        make_twin(model)


def test_unsupported_form_of_an_operator_is_named_with_its_node() -> None:
    model = _model(
        "y, places = MaxPool <kernel_shape = [2, 2]> (x)", "float[1,1,4,4] x", "float[1,1,3,3] y, int64[1,1,3,3] places"
    )
    with pytest.raises(UnsupportedOperationError, match=r"MaxPool.*places of the maxima"):
        make_twin(model)


@pytest.mark.filterwarnings("ignore")  # PyTorch's exporter warns of its own parts
@pytest.mark.parametrize("batch", ["N", "1"])
def test_saved_program_gives_the_same_outputs(batch: str, tmp_path: Path) -> None:
    model = _network(batch)
    twin = make_twin(model)
    save_twin(twin, model, tmp_path / "twin.pt2")
    loaded = torch.export.load(tmp_path / "twin.pt2").module()
    x = torch.from_numpy(_samples(1 if batch == "1" else 5)["x"])
    assert torch.allclose(loaded(x)[0], twin(x)[0], atol=1e-6)
    assert [file.name for file in tmp_path.iterdir()] == ["twin.pt2"]


@pytest.mark.filterwarnings("ignore")
def test_sizes_computed_from_a_free_batch_stay_free_in_the_program(tmp_path: Path) -> None:
    body = """
        s = Shape <start = 0, end = 1> (x) t = Concat <axis = 0> (s, tail)
        e = Expand(token, t) y = Concat <axis = 1> (e, x)
    """
    model = _model(body, "float[N,2,3] x", "float[N,3,3] y", tail=np.array([1, 3]), token=(1, 1, 3))
    save_twin(make_twin(model), model, tmp_path / "twin.pt2")
    loaded = torch.export.load(tmp_path / "twin.pt2").module()
    assert loaded(torch.zeros(7, 2, 3))[0].shape == (7, 3, 3)


def test_names_with_dots_and_slashes_become_parameters() -> None:
    model = _network()
    for old, new in {"w1": "layer.1/weight:0", "w2": "layer_1_weight_0"}.items():
        model.graph.initializers[old].name = new
    twin = make_twin(model)
    assert {"layer.1/weight:0", "layer_1_weight_0"} <= set(twin.weights)
    assert len(twin.state_dict()) == len(twin.weights) == 4

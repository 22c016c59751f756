"""State kept between calls: inputs fed with outputs, and variables inside LiteRT's and OpenVINO's models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.errors import DataError, UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import TensorSpec
from edgeai_runtime.model import Model
from edgeai_runtime.stream import pair_states

X = np.arange(1, 7, dtype=np.float32).reshape(6, 1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))


def write_sum(path: Path, *, state: str = "sum", batch: int | str = "n", after: str = "new_sum") -> Path:
    """Write `y = 2 · new_sum`, `new_sum = sum + x`: a running sum."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    values = [helper.make_tensor_value_info(name, 1, [batch, 1]) for name in ("x", state, "y", after)]
    two = onnx.numpy_helper.from_array(np.array([2], np.float32), "two")
    nodes = [helper.make_node("Add", ["x", state], [after]), helper.make_node("Mul", [after, "two"], ["y"])]
    graph = helper.make_graph(nodes, "sum", values[:2], values[2:], [two])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def write_cache(path: Path) -> Path:
    """Write `present = concat(past, x)` along axis 1 and `y = sum(present)`: a growing cache."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    x, past = (
        helper.make_tensor_value_info(*given) for given in (("x", 1, [1, 1]), ("past_key_values.0.key", 1, [1, "p"]))
    )
    y, present = (helper.make_tensor_value_info(*given) for given in (("y", 1, [1, 1]), ("present.0.key", 1, [1, "t"])))
    axes = onnx.numpy_helper.from_array(np.array([1], np.int64), "axes")
    nodes = [
        helper.make_node("Concat", ["past_key_values.0.key", "x"], ["present.0.key"], axis=1),
        helper.make_node("ReduceSum", ["present.0.key", "axes"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "cache", [x, past], [y, present], [axes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def write_openvino_sum(path: Path) -> Path:
    """Write a running sum whose state is a variable."""
    openvino = pytest.importorskip("openvino")
    op = openvino.opset13
    x = op.parameter([1, 1], np.float32, name="x")
    x.output(0).get_tensor().set_names({"x"})
    zero = op.constant(np.zeros((1, 1), np.float32))
    total = op.add(op.read_value(zero, "sum", np.float32, openvino.PartialShape([1, 1])), x)
    kept = op.assign(total, "sum")
    y = op.multiply(total, np.array([[2]], np.float32))
    y.output(0).get_tensor().set_names({"y"})
    result = op.result(y)
    openvino.save_model(openvino.Model([result], [kept], [x], "sum"), path, compress_to_fp16=False)
    return path


@pytest.fixture
def lstm(assets: Path) -> Path:
    """A real recurrent network with its state inside."""
    return assets / "mnist" / "mnist_lstm_float.tflite"


ONNX = pytest.mark.onnxruntime
SUMS = [
    pytest.param(lambda folder: write_sum(folder / "s.onnx", state="sum_state", after="sum_state_out"), marks=ONNX),
    pytest.param(lambda folder: write_openvino_sum(folder / "s.xml"), marks=pytest.mark.openvino),
]


@pytest.mark.parametrize("write", SUMS)
def test_a_stream_goes_on_and_a_plain_call_begins_anew(write: Callable[[Path], Path], tmp_path: Path) -> None:
    with load(write(tmp_path), threads=1, isolate=False) as model, model.stream() as stream:
        assert [float(stream(x[None])[0, 0]) for x in X] == [2, 6, 12, 20, 30, 42]
        if len(model.inputs) == 1:
            assert [float(model(x[None])[0, 0]) for x in X] == [2, 4, 6, 8, 10, 12]
        stream.reset()
        assert float(stream(X[:1])[0, 0]) == 2


@pytest.mark.parametrize("write", SUMS)
def test_clones_go_their_own_ways(write: Callable[[Path], Path], tmp_path: Path) -> None:
    with load(write(tmp_path), threads=1, isolate=False) as model:
        stream = model.stream()
        stream(X[:1])
        other = stream.clone()
        assert float(stream(X[1:2])[0, 0]) == 6
        assert float(other(X[5:6])[0, 0]) == 14
        assert float(stream(X[2:3])[0, 0]) == 12
        assert float(model.stream()(X[:1])[0, 0]) == 2


@pytest.mark.parametrize("write", SUMS)
def test_a_single_sample_needs_no_batch_axis(write: Callable[[Path], Path], tmp_path: Path) -> None:
    with load(write(tmp_path), threads=1, isolate=False) as model:
        stream = model.stream()
        assert [stream(x).tolist() for x in X[:3]] == [[2], [6], [12]]


@ONNX
def test_several_sequences_are_a_batch(tmp_path: Path) -> None:
    path = write_sum(tmp_path / "s.onnx", state="h_in", after="h_out")
    with load(path, threads=1, isolate=False) as model:
        stream = model.stream()
        stream(X[:3])
        np.testing.assert_array_equal(stream(X[3:]), 2 * (X[:3] + X[3:]))
        np.testing.assert_array_equal(stream.state["h_in"], X[:3] + X[3:])
        with pytest.raises(DataError, match="keeps the shape it began with"):
            stream(X[:2])
        stream.state = {"h_in": np.zeros((3, 1), np.float32)}
        np.testing.assert_array_equal(stream(X[:3]), 2 * X[:3])
        with pytest.raises(DataError, match="there is no state 'x'"):
            stream.state = {"x": X}
        stream.reset()
        np.testing.assert_array_equal(stream(X[:2]), 2 * X[:2])


@ONNX
def test_a_cache_grows_from_nothing(tmp_path: Path) -> None:
    with load(write_cache(tmp_path / "c.onnx"), threads=1, isolate=False) as model:
        stream = model.stream()
        assert stream.states == {"past_key_values.0.key": "present.0.key"}
        assert [float(stream(x[None])[0, 0]) for x in X] == [1, 3, 6, 10, 15, 21]
        assert stream.state["past_key_values.0.key"].shape == (1, 6)


@ONNX
def test_names_that_tell_nothing_have_to_be_said(tmp_path: Path) -> None:
    with load(write_sum(tmp_path / "s.onnx", state="a", after="b"), threads=1, isolate=False) as model:
        with pytest.raises(UsageError, match="has no state"):
            model.stream()
        with pytest.raises(UsageError, match="no input and output of the model"):
            model.stream({"a": "c"})
        stream = model.stream({"a": "b"})
        assert [float(stream(x[None])[0, 0]) for x in X[:3]] == [2, 6, 12]


@pytest.mark.litert
@pytest.mark.assets
def test_a_stream_keeps_the_variables_of_litert(lstm: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    draw = np.random.default_rng(0)
    with load(lstm, threads=1, isolate=False) as model:
        x = draw.normal(size=tuple(size or 1 for size in model.inputs[0].shape)).astype(np.float32)
        first = model(x)
        stream = model.stream()
        np.testing.assert_array_equal(stream(x), first)
        second = stream(x)
        assert np.abs(second - first).max() > 1e-5, "the state matters"
        np.testing.assert_array_equal(model(x), first)
        other = stream.clone()
        third = stream(x)
        np.testing.assert_array_equal(other(x), third)
        stream.reset()
        np.testing.assert_array_equal(stream(x), first)
        np.testing.assert_array_equal(stream(x), second)


@pytest.mark.openvino
def test_batches_are_not_run_one_into_another(tmp_path: Path) -> None:
    with load(write_openvino_sum(tmp_path / "s.xml"), threads=1, isolate=False) as model:
        stream = model.stream()
        with pytest.raises(DataError, match=r"'x' of a stream wants shape \[1, 1\]. Received: \[2, 1\]"):
            stream(X[:2])


def _use(model: Model, stream: Any) -> None:
    model.close()
    stream(X[:1])


@pytest.mark.parametrize("write", SUMS)
def test_a_stream_ends_with_its_model(write: Callable[[Path], Path], tmp_path: Path) -> None:
    model = load(write(tmp_path), threads=1, isolate=False)
    stream = model.stream()
    with pytest.raises(UsageError, match="was closed"):
        _use(model, stream)


@pytest.mark.parametrize(
    ("into", "out", "paired"),
    [
        ("h_in", "h_out", True),
        ("state", "new_state", True),
        ("cell_state", "cell_state_out", True),
        ("past.1.value", "present.1.value", True),
        ("past_key_values.3.key", "present.3.key", True),
        ("image_in", "image_out", False),
        ("input", "output", False),
        ("h", "h", False),
        ("past.1.value", "present.2.value", False),
    ],
)
def test_states_are_told_by_names(into: str, out: str, paired: bool) -> None:
    def spec(name: str, dtype: str = "float32") -> TensorSpec:
        return TensorSpec(name=name, shape=(1, 4), dtype=dtype)

    assert pair_states([spec("x"), spec(into)], [spec("y"), spec(out)]) == ({into: out} if paired else {})
    assert pair_states([spec(into)], [spec(out, "int8")]) == {}

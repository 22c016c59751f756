"""What every engine adapter promises, run over LiteRT, ONNX Runtime and OpenVINO on the same little network.

The network is `y = relu(x · W + b)`, x `[n, 4]`, y `[n, 3]`, float32. Its batch is free, or one by the declared input,
or one deep inside where the input does not show it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from edgeai_runtime.engines.protocol import Session
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import DataError, ModelError, PlacementError
from edgeai_runtime.loading import load

Batch = Literal["free", "one", "hidden"]

#: One addition in another order: a few units in the last place of values up to about 10.
TOLERANCE = 1e-5

WEIGHTS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
BIAS = np.array([0.5, -0.5, 0.25], np.float32)

ENGINES = [
    pytest.param(("litert", "litert:xnnpack"), marks=pytest.mark.litert, id="litert"),
    pytest.param(("litert", "litert:reference"), marks=pytest.mark.litert, id="litert-reference"),
    pytest.param(("onnxruntime", "onnxruntime:cpu"), marks=pytest.mark.onnxruntime, id="onnxruntime"),
    pytest.param(("openvino", "openvino:cpu"), marks=pytest.mark.openvino, id="openvino"),
]


def expected(x: Any) -> Any:
    """Return what the network gives."""
    return np.maximum(x @ WEIGHTS + BIAS, 0)


def write_tflite(path: Path, batch: Batch) -> Path:
    """Write the network as a flatbuffer, with the schema that comes with LiteRT."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    import flatbuffers

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT()], []
    graph.tensors, graph.operators = [], []

    def tensor(name: str, shape: list[int], content: Any = None, *, free: bool = False) -> int:
        one = schema.TensorT()
        one.name, one.shape, one.type, one.buffer = name, shape, schema.TensorType.FLOAT32, 0
        if free:
            one.shapeSignature = [-1, *shape[1:]]
        if content is not None:
            one.type = schema.TensorType.INT32 if content.dtype == np.int32 else schema.TensorType.FLOAT32
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(content.tobytes(), np.uint8)
            one.buffer = len(model.buffers)
            model.buffers.append(buffer)
        graph.tensors.append(one)
        return len(graph.tensors) - 1

    def operator(code: int, inputs: list[int], output: int, options: Any = None, kind: int = 0) -> None:
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, code, 1
        model.operatorCodes.append(entry)
        one = schema.OperatorT()
        one.opcodeIndex, one.inputs, one.outputs = len(model.operatorCodes) - 1, inputs, [output]
        one.builtinOptions, one.builtinOptionsType = options, kind
        graph.operators.append(one)

    free = batch != "one"
    x = tensor("x", [1, 4], free=free)
    weights, bias = tensor("w", [3, 4], np.ascontiguousarray(WEIGHTS.T)), tensor("b", [3], BIAS)
    inner = x
    if batch == "hidden":
        inner = tensor("r", [1, 4])
        shape = tensor("shape", [2], np.array([1, 4], np.int32))
        operator(schema.BuiltinOperator.RESHAPE, [x, shape], inner)
    y = tensor("y", [1, 3], free=free)
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    kind = schema.BuiltinOptions.FullyConnectedOptions
    operator(schema.BuiltinOperator.FULLY_CONNECTED, [inner, weights, bias], y, options, kind)
    graph.inputs, graph.outputs = [x], [y]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def write_onnx(path: Path, batch: Batch) -> Path:
    """Write the network as ONNX."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    first = 1 if batch == "one" else "n"
    constants = [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(BIAS, "b")]
    nodes = [helper.make_node("Gemm", ["r", "w", "b"], ["g"]), helper.make_node("Relu", ["g"], ["y"])]
    if batch == "hidden":
        constants.append(numpy_helper.from_array(np.array([1, 4], np.int64), "shape"))
        nodes.insert(0, helper.make_node("Reshape", ["x", "shape"], ["r"]))
    else:
        nodes[0].input[0] = "x"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [first, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [first, 3])
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def write_openvino(path: Path, batch: Batch) -> Path:
    """Write the network as OpenVINO IR."""
    openvino = pytest.importorskip("openvino")
    operations = openvino.opset13
    x = operations.parameter([1 if batch == "one" else -1, 4], np.float32, name="x")
    x.output(0).get_tensor().set_names({"x"})
    inner = operations.reshape(x, np.array([1, 4]), False) if batch == "hidden" else x
    y = operations.relu(operations.add(operations.matmul(inner, WEIGHTS, False, False), BIAS))
    y.output(0).get_tensor().set_names({"y"})
    openvino.save_model(openvino.Model([y], [x], "net"), path, compress_to_fp16=False)
    return path


WRITERS = {
    "litert": (write_tflite, "net.tflite"),
    "onnxruntime": (write_onnx, "net.onnx"),
    "openvino": (write_openvino, "net.xml"),
}


def write(engine: str, folder: Path, batch: Batch) -> Path:
    """Write the network in the engine's format."""
    writer, name = WRITERS[engine]
    return writer(folder / name, batch)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[str, str]:
    """An installed engine's name and one of its delegates."""
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))
    name, delegate = request.param
    info = get_engine(name).info()
    if not info.present:
        pytest.skip(info.reason)
    return name, delegate


@pytest.fixture
def session(engine: tuple[str, str], tmp_path: Path) -> Iterator[Session]:
    """The network with a free batch, loaded."""
    name, delegate = engine
    opened = get_engine(name).open(write(name, tmp_path, "free"), delegate=delegate, threads=1, options={})
    yield opened
    opened.close()


def drawn(batch: int, seed: int = 1) -> Any:
    """Return drawn samples."""
    return np.random.default_rng(seed).normal(size=(batch, 4)).astype(np.float32)


def test_boundary_tells_names_shapes_and_dtypes(session: Session) -> None:
    (x,), (y,) = session.inputs, session.outputs

    assert (x.name, x.shape, x.dtype) == ("x", (None, 4), "float32")
    assert (y.name, y.shape, y.dtype) == ("y", (None, 3), "float32")


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_outputs_are_right_for_any_batch(session: Session, batch: int) -> None:
    np.testing.assert_allclose(session.run([drawn(batch)])[0], expected(drawn(batch)), atol=TOLERANCE)


def test_outputs_stay_right_when_the_batch_changes_back_and_forth(session: Session) -> None:
    for batch in (1, 5, 1, 3, 5, 2, 4, 6, 1):
        x = drawn(batch, seed=batch)
        np.testing.assert_allclose(session.run([x])[0], expected(x), atol=TOLERANCE)


def test_results_are_not_written_by_a_later_call(session: Session) -> None:
    first = session.run([drawn(1, seed=1)])[0]
    kept = first.copy()
    session.run([drawn(1, seed=2)])

    np.testing.assert_array_equal(first, kept)


def test_the_input_may_change_after_the_call(session: Session) -> None:
    x = drawn(1)
    result = session.run([x])[0].copy()
    x[:] = 0
    session.run([drawn(1, seed=9)])

    np.testing.assert_array_equal(session.run([drawn(1)])[0], result)


@pytest.mark.parametrize("how", ["strided", "transposed", "read-only"])
def test_an_array_may_lie_in_memory_as_it_likes(session: Session, how: str) -> None:
    x = drawn(2)
    views = {"strided": np.repeat(x, 2, axis=1)[:, ::2], "transposed": np.asfortranarray(x), "read-only": x.copy()}
    views["read-only"].setflags(write=False)

    np.testing.assert_allclose(session.run([views[how]])[0], expected(x), atol=TOLERANCE)


@pytest.mark.parametrize("shape", [(1, 5), (4,), (1, 1, 4), (2, 3)])
def test_a_wrong_shape_is_a_data_error_that_says_both(session: Session, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"'x' wants shape \[n, 4\]"):
        session.run([np.zeros(shape, np.float32)])
    np.testing.assert_allclose(session.run([drawn(1)])[0], expected(drawn(1)), atol=TOLERANCE)


@pytest.mark.parametrize("dtype", ["float64", "int32", "uint8"])
def test_a_wrong_dtype_is_a_data_error(session: Session, dtype: str) -> None:
    with pytest.raises(DataError, match=f"'x' wants float32. Received: {dtype}"):
        session.run([np.zeros((1, 4), dtype)])


def test_a_wrong_number_of_arrays_is_a_data_error(session: Session) -> None:
    with pytest.raises(DataError, match="1 inputs"):
        session.run([drawn(1), drawn(1)])


@pytest.mark.parametrize("batch", ["one", "hidden"])
def test_a_baked_in_batch_is_run_sample_by_sample(engine: tuple[str, str], tmp_path: Path, batch: Batch) -> None:
    name, delegate = engine
    opened = get_engine(name).open(write(name, tmp_path, batch), delegate=delegate, threads=1, options={})

    for samples in (3, 1, 4):
        x = drawn(samples, seed=samples)
        result = opened.run([x])[0]
        assert result.shape == (samples, 3)
        np.testing.assert_allclose(result, expected(x), atol=TOLERANCE)


def test_every_operation_is_placed_on_the_cpu(session: Session, engine: tuple[str, str]) -> None:
    report = session.placement()

    assert report.delegate == engine[1]
    assert report.operations
    assert report.shares()["cpu"] == 1.0


def test_a_delegate_of_another_engine_is_refused(engine: tuple[str, str], tmp_path: Path) -> None:
    name, _ = engine
    with pytest.raises(PlacementError, match="no delegate 'cuda:0'"):
        get_engine(name).open(write(name, tmp_path, "free"), delegate="cuda:0", threads=1, options={})


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.95])
def test_a_truncated_file_is_a_model_error_that_names_it(engine: tuple[str, str], tmp_path: Path, keep: float) -> None:
    path = write(engine[0], tmp_path, "free")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])

    with pytest.raises(ModelError, match=path.name):
        load(path)


def test_a_file_of_noise_is_a_model_error(engine: tuple[str, str], tmp_path: Path) -> None:
    path = write(engine[0], tmp_path, "free")
    noise = np.random.default_rng(0).integers(0, 256, size=2000, dtype=np.uint8).tobytes()
    path.write_bytes({"litert": b"\x1c\0\0\0TFL3", "openvino": b"<?xml ", "onnxruntime": b"\x08"}[engine[0]] + noise)

    with pytest.raises(ModelError, match=path.name):
        load(path)


def test_a_missing_file_is_a_model_error(engine: tuple[str, str], tmp_path: Path) -> None:
    name, delegate = engine
    with pytest.raises(ModelError, match="there is no file"):
        get_engine(name).open(tmp_path / WRITERS[name][1], delegate=delegate, threads=1, options={})


@pytest.mark.parametrize("batch", ["one", "hidden"])
def test_a_model_with_a_baked_in_batch_takes_any_batch(engine: tuple[str, str], tmp_path: Path, batch: Batch) -> None:
    with load(write(engine[0], tmp_path, batch), threads=1) as model:
        for samples in (3, 1, 2):
            np.testing.assert_allclose(model(drawn(samples)), expected(drawn(samples)), atol=TOLERANCE)
        np.testing.assert_allclose(model(drawn(1)[0]), expected(drawn(1)[0]), atol=TOLERANCE)


def test_load_runs_a_bare_file(engine: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with load(write(engine[0], tmp_path, "free"), threads=1) as model:
        np.testing.assert_allclose(model(drawn(2)), expected(drawn(2)), atol=TOLERANCE)
        np.testing.assert_allclose(model(drawn(1)[0]), expected(drawn(1)[0]), atol=TOLERANCE)

    assert capfd.readouterr() == ("", "")

"""Bound arrays and the queue, on the real engines: the same numbers as a plain call, whatever comes in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.loading import load
from edgeai_runtime.model import Model

onnx = pytest.importorskip("onnx")

WEIGHTS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
#: One addition in another order.
TOLERANCE = 1e-5


def write_onnx(path: Path, batch: int | str) -> Path:
    """Write `y = relu(x · W)`."""
    weights = onnx.numpy_helper.from_array(WEIGHTS, "w")
    x = onnx.helper.make_tensor_value_info("x", 1, [batch, 4])
    y = onnx.helper.make_tensor_value_info("y", 1, [batch, 3])
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["m"]), onnx.helper.make_node("Relu", ["m"], ["y"])]
    graph = onnx.helper.make_graph(nodes, "net", [x], [y], [weights])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def write(engine: str, folder: Path, batch: int | str) -> Path:
    """Write the network for an engine."""
    path = write_onnx(folder / "net.onnx", batch)
    if engine == "openvino":
        openvino = pytest.importorskip("openvino")
        openvino.save_model(openvino.convert_model(str(path)), path.with_suffix(".xml"), compress_to_fp16=False)
        return path.with_suffix(".xml")
    if engine == "litert":
        import onnx_ir

        from edgeai_converters.emit.tflite.writer import emit_tflite

        return emit_tflite(onnx_ir.load(path), folder).path
    return path


@pytest.fixture(
    params=[
        pytest.param("litert", marks=pytest.mark.litert),
        pytest.param("onnxruntime", marks=pytest.mark.onnxruntime),
        pytest.param("openvino", marks=pytest.mark.openvino),
    ]
)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The name of an installed engine."""
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))
    info = get_engine(request.param).info()
    if not info.present:
        pytest.skip(info.reason)
    return str(request.param)


@pytest.fixture
def model(engine: str, tmp_path: Path) -> Iterator[Model]:
    """The network with a batch of one, on two threads."""
    with load(write(engine, tmp_path, 1), threads=2, isolate=False) as opened:
        yield opened


def expected(x: Any) -> Any:
    """Return what the network gives."""
    return np.maximum(x @ WEIGHTS, 0)


def drawn(seed: int, batch: int = 1) -> Any:
    """Return drawn samples."""
    return np.random.default_rng(seed).normal(size=(batch, 4)).astype(np.float32)


def test_bound_arrays_follow_what_is_written_into_them(model: Model) -> None:
    x, y = np.zeros((1, 4), np.float32), np.zeros((1, 3), np.float32)
    for seed in range(6):
        x[:] = drawn(seed)
        model.run_into([x], [y])
        np.testing.assert_allclose(y, expected(x), atol=TOLERANCE)
    assert model._binder is not None
    assert model._binder._call is not None, "the engine binds"


def test_two_bound_sets_and_plain_calls_do_not_disturb_each_other(model: Model) -> None:
    sets = [(drawn(seed), np.zeros((1, 3), np.float32)) for seed in range(2)]
    for _ in range(4):
        for x, y in sets:
            y[:] = -1
            model.run_into([x], [y])
            kept = y.copy()
            np.testing.assert_allclose(model(x + 1), expected(x + 1), atol=TOLERANCE)
            np.testing.assert_array_equal(y, kept)
            np.testing.assert_allclose(y, expected(x), atol=TOLERANCE)


def test_a_bound_set_is_right_after_other_batches_came(engine: str, tmp_path: Path) -> None:
    sets = [(drawn(batch, batch), np.zeros((batch, 3), np.float32)) for batch in (1, 3)]
    with load(write(engine, tmp_path, "n"), threads=1, isolate=False) as model:
        for _ in range(3):
            for x, y in sets:
                y[:] = -1
                model.run_into([x], [y])
                np.testing.assert_allclose(y, expected(x), atol=TOLERANCE)


def test_arrays_with_gaps_are_copied(model: Model) -> None:
    x, y = drawn(0, 2)[::2], np.zeros((1, 6), np.float32)[:, ::2]
    for _ in range(3):
        model.run_into([x], [y])
        np.testing.assert_allclose(y, expected(x), atol=TOLERANCE)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_submitted_calls_give_what_calls_give(model: Model, workers: int) -> None:
    model.open_queue(workers=workers, queue_size=8)
    samples = [drawn(seed) for seed in range(100)]
    futures = []
    submitter = threading.Thread(target=lambda: futures.extend(model.submit(x) for x in samples))
    submitter.start()
    for x in samples:
        np.testing.assert_allclose(model(x), expected(x), atol=TOLERANCE)  # the model itself stays usable
    submitter.join()
    for x, future in zip(samples, futures, strict=True):
        np.testing.assert_allclose(future.result(30), expected(x), atol=TOLERANCE)


def test_submitted_batches_may_differ_in_size(engine: str, tmp_path: Path) -> None:
    with load(write(engine, tmp_path, "n"), threads=2, isolate=False) as model:
        samples = [drawn(seed, 1 + seed % 4) for seed in range(30)]
        for x, future in [(x, model.submit(x)) for x in samples]:
            np.testing.assert_allclose(future.result(30), expected(x), atol=TOLERANCE)

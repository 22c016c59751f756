"""Zeros and clusters from calibration samples to the written file: what is asked for is what LiteRT reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.emit.tflite.writer import emit_tflite
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.prune.clustering import cluster_weights
from edgeai_converters.prune.sparsity import sparsify
from edgeai_converters.prune.weight_values import packed_size
from edgeai_converters.quantize.store_int8_weights import store_int8_weights


def _network() -> ir.Model:
    """Two convolutions of groups and none, a dense layer; inputs of the second say much the same."""
    text = """<ir_version: 9, opset_import: ["" : 20]> g (float[N,2,8,8] x) => (float[N,16] y) {
        a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) ar = Relu(a)
        c = Conv <pads = [1, 1, 1, 1], group = 2> (ar, w2) cr = Relu(c) g = GlobalAveragePool(cr) f = Flatten(g)
        y = Gemm <transB = 1> (f, w3) }"""
    random = np.random.default_rng(0)
    sizes = {"w1": (32, 2, 3, 3), "b1": (32,), "w2": (64, 16, 3, 3), "w3": (16, 64)}
    proto = onnx.parser.parse_model(text)
    for name, size in sizes.items():
        array = random.normal(size=size) / np.sqrt(np.prod(size[1:]))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return prepare_graph(proto)


def _samples(seed: int) -> dict[str, NDArray[Any]]:
    smooth = np.random.default_rng(seed).normal(size=(64, 2, 4, 4)).repeat(2, axis=2).repeat(2, axis=3)
    return {"x": smooth.astype(np.float32)}


def _error(model: ir.Model, other: ir.Model) -> float:
    wanted, found = (GraphRunner(each, outputs=["c"]).run(_samples(9))["c"] for each in (model, other))
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.onnxruntime
@pytest.mark.parametrize("asked", [{"share": 0.6}, {"pattern": (2, 4)}])
def test_samples_choose_better_zeros_than_magnitude(asked: dict[str, Any]) -> None:
    model = _network()
    told: list[str] = []
    plain, _ = sparsify(model, **asked)
    made_up, _ = sparsify(
        model, batches=[_samples(1), _samples(2)], on_step=lambda done, total, label: told.append(label), **asked
    )
    assert _zeros(made_up) == _zeros(plain)
    assert _error(model, made_up) < 0.7 * _error(model, plain)
    assert told[-1] == "w3"


def _zeros(model: ir.Model) -> dict[str, int]:
    arrays = {name: value.const_value for name, value in model.graph.initializers.items() if name.startswith("w")}
    return {name: int((array.numpy() == 0).sum()) for name, array in arrays.items() if array is not None}


def _stored_integers(path: Path) -> dict[tuple[int, ...], NDArray[np.int8]]:
    """Return the large int8 constants of a TFLite file, by shape."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    found = {}
    for detail in interpreter.get_tensor_details():
        if detail["dtype"] == np.int8 and np.prod(detail["shape"]) >= 512:
            found[tuple(int(size) for size in detail["shape"])] = interpreter.get_tensor(detail["index"])
    return found


@pytest.mark.litert
def test_zeros_and_clusters_are_in_the_file_that_is_written_and_it_packs_smaller(tmp_path: Path) -> None:
    sparse, _ = sparsify(_network(), share=0.6)
    stored, _ = store_int8_weights(sparse, format="tflite")
    clustered, _ = cluster_weights(stored, clusters=8)
    whole = emit_tflite(store_int8_weights(_network(), format="tflite")[0], tmp_path / "whole")
    smaller = emit_tflite(clustered, tmp_path / "smaller")
    integers = _stored_integers(smaller.path)
    assert len(integers) == 3 - 1  # the first weight is small enough to stay float
    assert all(len(np.unique(array)) <= 8 and (array == 0).mean() > 0.59 for array in integers.values())
    assert packed_size(smaller.path) < 0.5 * packed_size(whole.path)
    assert smaller.size_bytes == whole.size_bytes

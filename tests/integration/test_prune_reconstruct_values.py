"""Values of a graph, stage by stage: what each node gives, however few times it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.prune import reconstruct_values
from edgeai_converters.prune.reconstruct_values import StagedValues

pytestmark = pytest.mark.onnxruntime

STAGES = [["x"], ["a"], ["b", "s"], ["y"]]


def _network(batch: str = "N") -> ir.Model:
    text = f"""<ir_version: 9, opset_import: ["" : 20]> g (float[{batch},4] x) => (float[{batch},4] y) {{
        a = Gemm (x, w1, b1) r = Relu(a) b = Gemm (r, w2, b1) s = Add(b, x) t = Relu(s) y = Gemm (t, w3, b1) }}"""
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, shape in {"w1": (4, 4), "w2": (4, 4), "w3": (4, 4), "b1": (4,)}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name))
    return prepare_graph(proto)


def _batches() -> list[dict[str, NDArray[Any]]]:
    random = np.random.default_rng(1)
    return [{"x": random.normal(size=(size, 4)).astype(np.float32)} for size in (4, 2)]


def _all_at_once(model: ir.Model, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return GraphRunner(model, outputs=["a", "b", "s", "y"]).run(batch) | batch


@pytest.mark.parametrize("held", [2**30, 0])
def test_stages_give_what_the_graph_gives_at_once(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconstruct_values, "LARGEST_HELD", held)
    model = _network()
    staged = StagedValues(model, _batches(), STAGES)
    for names in STAGES:
        for found, batch in zip(staged.next_stage(), _batches(), strict=True):
            wanted = _all_at_once(model, batch)
            assert list(found) == names
            assert all(np.allclose(found[name], wanted[name], atol=1e-6) for name in names)


def test_weights_changed_between_stages_are_seen_by_later_ones() -> None:
    model = _network()
    staged = StagedValues(model, _batches(), STAGES)
    staged.next_stage()
    before = staged.next_stage()[0]["a"]
    model.graph.initializers["w2"].const_value = ir.tensor(np.zeros((4, 4), np.float32), name="w2")
    after = staged.next_stage()[0]
    assert np.allclose(after["b"], model.graph.initializers["b1"].const_value.numpy())  # type: ignore[union-attr]
    assert np.allclose(before, _all_at_once(_network(), _batches()[0])["a"])


def test_graph_of_fixed_batch_is_run_in_its_own_pieces() -> None:
    staged = StagedValues(_network("2"), _batches(), STAGES)
    assert staged.sizes == (2, 2, 2)
    staged.next_stage()
    found = np.concatenate([batch["a"] for batch in staged.next_stage()])
    wanted = np.concatenate([_all_at_once(_network(), batch)["a"] for batch in _batches()])
    assert np.allclose(found, wanted, atol=1e-6)

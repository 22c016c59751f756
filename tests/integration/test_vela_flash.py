"""Weights that take few values need less of an Ethos-U's flash, as Arm's compiler tells it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.prune.ethos_flash import DEVICE, FlashGain, flash_gain, has_vela
from edgeai_converters.prune.sparsity import sparsify
from edgeai_devices.catalog import find_profile

pytestmark = pytest.mark.litert

TEXT = """<ir_version: 9, opset_import: ["" : 20]> g (float[N,8,8,8] x) => (float[N,10] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w1) ar = Relu(a)
    c = Conv <pads = [1, 1, 1, 1]> (ar, w2) cr = Relu(c)
    m = GlobalAveragePool(cr) f = Flatten(m) y = Gemm <transB = 1> (f, w3) }"""
SIZES = {"w1": (32, 8, 3, 3), "w2": (64, 32, 3, 3), "w3": (10, 64)}
ELEMENTS = sum(int(np.prod(size)) for size in SIZES.values())


@pytest.fixture(scope="module")
def model() -> ir.Model:
    """Two convolutions and a dense layer; skips where the compiler is not installed."""
    if not has_vela():
        pytest.skip("Vela is not installed: pip install ethos-u-vela")
    pytest.importorskip("ai_edge_litert")
    random = np.random.default_rng(0)
    proto = onnx.parser.parse_model(TEXT)
    for name, size in SIZES.items():
        array = random.normal(size=size) / np.sqrt(np.prod(size[1:]))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return prepare_graph(proto)


def _gain(whole: ir.Model, smaller: ir.Model, clusters: int | None = None) -> FlashGain:
    found = flash_gain(whole, smaller, clusters=clusters)
    assert found is not None
    return found


def test_fewer_clusters_need_less_flash(model: ir.Model) -> None:
    gains = [_gain(model, model, clusters) for clusters in (32, 8)]
    assert gains[0].whole_bytes == gains[1].whole_bytes > 0.7 * ELEMENTS  # a byte per weight, packed without a loss
    assert gains[0].smaller_bytes < 0.85 * gains[0].whole_bytes
    assert gains[1].smaller_bytes < 0.65 * gains[1].whole_bytes


def test_the_same_weights_need_the_same_flash(model: ir.Model) -> None:
    gain = _gain(model, model)
    assert gain.smaller_bytes == gain.whole_bytes


def test_zeros_need_less_flash(model: ir.Model) -> None:
    gain = _gain(model, sparsify(model, share=0.7)[0])
    assert gain.smaller_bytes < 0.75 * gain.whole_bytes


def test_the_profile_says_that_both_gain_flash() -> None:
    gains = {(gain.method, gain.effect) for rules in find_profile(DEVICE).rules_for("vela") for gain in rules.gains}
    assert gains == {("clusters", "flash"), ("sparse", "flash")}


def test_clusters_of_a_pruned_file_come_with_the_figure(model: ir.Model, tmp_path: Path) -> None:
    from edgeai.pruning import prune

    source = tmp_path / "net.onnx"
    ir.save(model, source)
    x = np.random.default_rng(1).normal(size=(64, 8, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    done = prune(
        source, tmp_path / "x.npz", method="clusters", clusters=16, metric="cosine", work=tmp_path / "work",
        out=tmp_path / "few.onnx",
    )  # fmt: skip
    flash = done.to_json()["flash"]
    assert flash["accelerator"] == DEVICE
    assert flash["smaller_bytes"] < 0.75 * flash["whole_bytes"]

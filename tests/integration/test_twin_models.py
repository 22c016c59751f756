"""The trainable twin of whole models: real ones, and one of every family of architectures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import measure_parity
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.sources.table import import_source
from edgeai_converters.train.twin import make_twin, run_twin

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.onnxruntime, pytest.mark.slow]

ROUNDING = 1e-5
"""Two engines that add the same float32 products in another order differ by less, over all layers of these models."""

ASSETS = (
    "cifar10/resnet20.onnx",
    "imagenet_sample/squeezenet_v1.1_f32.onnx",
    "mlperf_tiny/anomaly_detection/ad01_fp32.tflite",
    "mlperf_tiny/image_classification/pretrainedResnet.tflite",
    "mlperf_tiny/keyword_spotting/kws_ref_model_float32.tflite",
    "mnist/mnist_lstm_float.tflite",
    "speech_commands/gru_s.onnx",
    "speech_commands/kwt1.onnx",
    "tflite_micro/hello_world_float.tflite",
)
FAMILIES = ("squeeze_excite", "detector", "lstm_state", "gru", "simple_rnn", "encoder_gelu", "decoder", "dynamic_axis")


def _compare(imported: Any) -> None:
    model, _ = simplify(imported.model)
    twin = make_twin(model)
    wanted = GraphRunner(model).run(imported.probe_inputs)
    assert measure_parity(wanted, run_twin(twin, imported.probe_inputs)).max_rel < ROUNDING
    outputs = twin.run({name: torch.from_numpy(array) for name, array in imported.probe_inputs.items()})
    sum(tensor.double().square().sum() for tensor in outputs.values() if tensor.is_floating_point()).backward()
    assert [name for name, weight in twin.weights.items() if weight.grad is None] == []


@pytest.mark.assets
@pytest.mark.litert
@pytest.mark.parametrize("file", ASSETS)
def test_twin_of_a_real_model_computes_what_its_graph_computes(assets: Path, file: str) -> None:
    pytest.importorskip("ai_edge_litert")
    _compare(import_source(assets / file))


@pytest.mark.filterwarnings("ignore")  # PyTorch's exporter warns of its own parts
@pytest.mark.parametrize("family", FAMILIES)
def test_twin_of_a_family_computes_what_its_graph_computes(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "benchmarks"), *sys.path])
    from families.table import build_torch

    network = build_torch(family)
    shapes = {name: tuple(size or -1 for size in shape) for name, shape in network.shapes.items()}
    _compare(import_source(network.model, samples=network.draw(), input_shapes=shapes))

"""TorchScript as a source: traced and scripted, by both ways, under the names of the arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_converters.graph.boundary import input_specs, output_specs
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import measure_parity
from edgeai_converters.sources.imported import Imported
from edgeai_converters.sources.table import import_source
from edgeai_runtime.errors import ModelError, UsageError

pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ROUNDING = 1e-5


def _difference(imported: Imported) -> float:
    answers = GraphRunner(imported.model).run(imported.probe_inputs)
    return measure_parity(imported.probe_outputs, answers).max_rel


@pytest.fixture(scope="module")
def torch() -> Any:
    pytest.importorskip("onnxscript")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return torch


@pytest.fixture(scope="module")
def recurrent(torch: Any) -> Any:
    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(6, 5, batch_first=True)
            self.head = torch.nn.Linear(5, 3)

        def forward(self, frames: Any) -> Any:
            y, (h, _) = self.lstm(frames)
            return self.head(y[:, -1]), h[0]

    return torch.jit.trace(Net().eval(), torch.zeros(2, 7, 6), check_trace=False)


@pytest.fixture(scope="module")
def encoder(torch: Any) -> Any:
    """An encoder whose trace holds PyTorch's fused kernel, which ONNX does not have."""
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu", dropout=0.0)
    with torch.no_grad():
        return torch.jit.trace(torch.nn.TransformerEncoder(layer, 1).eval(), torch.zeros(2, 7, 8), check_trace=False)


def test_a_file_comes_to_the_graph_with_a_free_batch(recurrent: Any, torch: Any, tmp_path: Path) -> None:
    torch.jit.save(recurrent, str(tmp_path / "m.pt"))
    samples = np.random.default_rng(0).normal(size=(3, 7, 6)).astype(np.float32)
    imported = import_source(tmp_path / "m.pt", samples={"frames": samples})
    assert imported.kind == "torchscript"
    assert [(spec.name, spec.shape) for spec in input_specs(imported.model)] == [("frames", (None, 7, 6))]
    assert [spec.name for spec in output_specs(imported.model)] == ["output_0", "output_1"]
    with torch.no_grad():
        expected = recurrent(torch.from_numpy(samples))[0].numpy()
    np.testing.assert_allclose(imported.probe_outputs["output_0"][:3], expected, rtol=1e-4, atol=1e-6)
    assert _difference(imported) < ROUNDING


def test_a_fused_encoder_is_recorded_and_written_out(encoder: Any) -> None:
    imported = import_source(encoder, input_shapes={"src": (-1, 7, 8)})
    assert "recorded operations" in imported.route
    assert any("_transformer_encoder_layer_fwd" in note for note in imported.notes)
    assert input_specs(imported.model)[0].shape == (None, 7, 8)
    assert _difference(imported) < ROUNDING


def test_scripted_branches_and_integers_come_to_the_graph(torch: Any) -> None:
    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(12, 4)

        def forward(self, ids: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            y = self.table(ids)
            if y.size(1) > 3:
                y = y + 1
            return y * scale

    scripted = torch.jit.script(Net().eval())
    imported = import_source(scripted, input_shapes={"ids": (1, 5), "scale": (1, 5, 4)})
    assert [(spec.name, spec.dtype) for spec in input_specs(imported.model)] == [
        ("ids", "int64"),
        ("scale", "float32"),
    ]
    assert _difference(imported) < ROUNDING


def test_shapes_must_be_given_and_fit(recurrent: Any, encoder: Any) -> None:
    with pytest.raises(UsageError, match="Its arguments: frames") as caught:
        import_source(recurrent)
    assert "--shape frames=" in caught.value.hint
    with pytest.raises(UsageError, match="no argument named 'image'"):
        import_source(recurrent, input_shapes={"image": (1, 7, 6)})
    with pytest.raises(ModelError, match=r"does not run on zeros of src \[1, 7, 9\]"):
        import_source(encoder, input_shapes={"src": (1, 7, 9)})


def test_an_argument_that_is_no_tensor_is_named(torch: Any) -> None:
    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, items: list[torch.Tensor]) -> torch.Tensor:
            return items[0]

    with pytest.raises(ModelError, match=r"'items' .* is a List\[Tensor\]"):
        import_source(torch.jit.script(Net()), input_shapes={"items": (1, 2)})

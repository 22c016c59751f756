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
from edgeai_converters.sources.torch_values import reads_values
from edgeai_runtime.errors import ModelError, UnsupportedOperationError, UsageError

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


class _Sized:
    """Modules whose traces and scripts make numbers of tensors."""

    @staticmethod
    def traced(torch: Any) -> Any:
        class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
            def forward(self, x: Any) -> Any:
                return x.unflatten(-1, (2, x.size(-1) // 2)).unsqueeze(0).transpose(0, -2).squeeze(-2) * 2

        return torch.jit.trace(Net(), torch.zeros(1, 5, 8))

    @staticmethod
    def scripted(torch: Any) -> Any:
        class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x * int(x.sum())

        return torch.jit.script(Net())


def test_numbers_made_of_sizes_are_kept_in_a_recording(torch: Any) -> None:
    imported = import_source(_Sized.traced(torch), input_shapes={"x": (1, 5, 8)}, way="record")
    assert _difference(imported) < ROUNDING


def test_numbers_made_of_values_are_never_kept_in_a_recording(torch: Any) -> None:
    with pytest.raises(UnsupportedOperationError, match="recorded"):
        import_source(_Sized.scripted(torch), input_shapes={"x": (1, 8)}, way="record")


def test_values_that_pass_through_a_view_are_still_values(torch: Any) -> None:
    def through_a_view(items: Any) -> list[Any]:
        store = torch.zeros(3)
        store[1:].copy_(items[0])
        return [items[0] * int(store.sum())]

    assert reads_values(torch, through_a_view, [torch.ones(2)])
    assert not reads_values(torch, lambda items: [items[0] * int(torch.tensor(items[0].shape[0]))], [torch.ones(2)])


def test_outputs_have_the_keys_of_a_dictionary(torch: Any) -> None:
    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"scores": x * 2, "boxes": x + 1}

    imported = import_source(torch.jit.script(Net()), input_shapes={"x": (1, 3)})
    assert [spec.name for spec in output_specs(imported.model)] == ["scores", "boxes"]
    assert np.array_equal(imported.probe_outputs["boxes"], imported.probe_inputs["x"] + 1)


def test_an_exported_program_tells_the_names_it_knows(torch: Any) -> None:
    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            return x * 2, {"boxes": x + 1}

    program = torch.export.export(Net(), (torch.zeros(1, 3),))
    assert [spec.name for spec in output_specs(import_source(program).model)] == ["output_0", "boxes"]


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

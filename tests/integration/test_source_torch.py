"""PyTorch files and live modules as sources: the graph answers as PyTorch does."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_converters.graph.boundary import input_specs
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.sources.table import import_source
from edgeai_runtime.errors import ModelError, UsageError

pytestmark = [pytest.mark.torch, pytest.mark.slow]


@pytest.fixture(scope="module")
def module() -> Any:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Sequential(
                torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU6()
            )
            self.head = torch.nn.Linear(4, 5)

        def forward(self, image: Any) -> Any:
            return self.head(self.body(image).mean((2, 3)))

    torch.manual_seed(0)
    return Net()


@pytest.mark.filterwarnings("ignore")
def test_a_live_module_keeps_its_batch_free_and_its_mode(module: Any) -> None:
    module.train()
    imported = import_source(module, input_shapes={"image": (-1, 3, 8, 8)})
    assert module.training
    (spec,) = input_specs(imported.model)
    assert (spec.name, spec.shape, spec.layout) == ("image", (None, 3, 8, 8), "NCHW")
    kinds = {node.op_type for node in simplify(imported.model)[0].graph}
    assert kinds == {"Conv", "Clip", "GlobalAveragePool", "Reshape", "Gemm"}


@pytest.mark.filterwarnings("ignore")
def test_a_batch_of_one_is_fixed(module: Any) -> None:
    imported = import_source(module, input_shapes={"image": (1, 3, 8, 8)})
    assert input_specs(imported.model)[0].shape == (1, 3, 8, 8)
    assert imported.probe_outputs[next(iter(imported.probe_outputs))].shape == (8, 5)


@pytest.mark.filterwarnings("ignore")
def test_a_file_comes_to_the_graph(tmp_path: Path, module: Any) -> None:
    torch = pytest.importorskip("torch")
    batch = torch.export.Dim("batch")
    program = torch.export.export(module.eval(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "m.pt2")
    samples = np.random.default_rng(1).random((3, 3, 8, 8)).astype(np.float32)
    imported = import_source(tmp_path / "m.pt2", samples={"image": samples})
    with torch.no_grad():
        expected = module(torch.from_numpy(samples)).numpy()
    np.testing.assert_allclose(next(iter(imported.probe_outputs.values()))[:3], expected, rtol=1e-4, atol=1e-6)


def test_a_module_without_shapes_says_what_to_give(module: Any) -> None:
    with pytest.raises(UsageError, match="does not state the shape"):
        import_source(module)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("m/archive_format", "pt2")
    with pytest.raises(ModelError, match=r"cannot read .*m\.pt2"):
        import_source(tmp_path / "m.pt2")

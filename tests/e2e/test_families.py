"""One network of each family, from PyTorch's ONNX to TFLite, held strictly against PyTorch's own answers.

The whole matrix of sources and formats is `benchmarks/conversion_matrix.py`; these are the cells that must never break.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeai
import edgeai_runtime

pytest.importorskip("ai_edge_litert")
pytestmark = [pytest.mark.torch, pytest.mark.litert]

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 2e-5  # of the largest output: float32 sums taken in another order, through a dozen layers
FREE_BATCH = ("dynamic_batch",)
FAMILIES = ("cnn", "depthwise", "squeeze_excite", "detector", "lstm", "gru", "simple_rnn", "lstm_state", "gru_state",
            "bidirectional", "encoder_gelu", "encoder_gelu_tanh", "decoder", "many", "dynamic_batch")  # fmt: skip

Arrays = dict[str, Any]


@pytest.fixture(scope="module")
def programs() -> Iterator[None]:
    """The folder of benchmark programs among the places that modules come from."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def saved(programs: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Arrays, Arrays]]:
    """Every family as ONNX, with inputs and PyTorch's answers."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from families.save_torch import export, write_onnx
    from families.table import build_torch

    folder = tmp_path_factory.mktemp("families")
    made = {}
    for name in FAMILIES:
        network = build_torch(name)
        inputs = network.draw()
        with torch.no_grad():
            answers = network.model(*(torch.from_numpy(array) for array in inputs.values()))
        listed = [answers] if isinstance(answers, torch.Tensor) else answers
        outputs = {key: answer.numpy() for key, answer in zip(network.outputs, listed, strict=True)}
        write_onnx(network, export(network), folder / f"{name}.onnx")
        made[name] = (folder / f"{name}.onnx", inputs, outputs)
    return made


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch.export and torch.onnx, about themselves
@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_of_the_family_answers_in_litert_as_in_pytorch(
    family: str, saved: dict[str, tuple[Path, Arrays, Arrays]], tmp_path: Path
) -> None:
    path, inputs, wanted = saved[family]
    conversion = edgeai.convert(path, "tflite", out=tmp_path / "model.tflite")
    assert conversion.route[-1] == "emit tflite"  # our own road, no other converter
    with edgeai_runtime.load(tmp_path / "model.tflite", threads=1) as model:
        assert [spec.name for spec in model.inputs] == list(inputs)
        assert {spec.name for spec in model.outputs} == set(wanted)
        feeds = [inputs[spec.name].astype(spec.dtype) for spec in model.inputs]
        names = [spec.name for spec in model.outputs]
        first = dict(zip(names, model.run_raw(feeds), strict=True))
        second = dict(zip(names, model.run_raw(feeds), strict=True))
        assert (model.inputs[0].shape[0] is None) == (family in FREE_BATCH)
    for name, array in wanted.items():
        assert first[name].shape == array.shape
        np.testing.assert_allclose(first[name], array, rtol=0, atol=TOLERANCE * np.abs(array).max())
        np.testing.assert_array_equal(second[name], first[name])  # nothing is remembered between calls


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_check_of_the_matrix_sees_swapped_states(
    saved: dict[str, tuple[Path, Arrays, Arrays]], tmp_path: Path
) -> None:
    from conversion.attempt import CHECK_LIMIT
    from conversion.check import check

    path, inputs, wanted = saved["lstm_state"]
    edgeai.convert(path, "tflite", out=tmp_path / "model.tflite")
    outputs = {f"out_{name}": array for name, array in wanted.items()}
    swapped = {"in_steps": inputs["steps"], "in_hidden": inputs["cell"], "in_cell": inputs["hidden"]}
    np.savez(tmp_path / "right.npz", **{f"in_{name}": array for name, array in inputs.items()}, **outputs)
    np.savez(tmp_path / "swapped.npz", **swapped, **outputs)
    assert check(tmp_path / "model.tflite", tmp_path / "right.npz")["max_rel"] < CHECK_LIMIT
    assert check(tmp_path / "model.tflite", tmp_path / "swapped.npz")["max_rel"] > 100 * CHECK_LIMIT


def test_every_family_of_pytorch_is_here_but_the_one_whose_length_must_be_told(programs: None) -> None:
    from families.table import FAMILIES as ALL

    assert {name for name, family in ALL.items() if family.torch} - set(FAMILIES) == {"dynamic_axis"}

"""One search that quantizes, prunes and distills: narrower networks when the limits ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import edgeai
from edgeai.cli.compress_table import summary
from edgeai.result import CompressResult
from edgeai_converters.recipe import Recipe, read_recipes
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_runtime.manifest import Step

pytestmark = [pytest.mark.onnxruntime, pytest.mark.torch]
_TRAINING = TrainingSpec(epochs=10, batch_size=32, learning_rate=0.01)
_HIDDEN = 96


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    datasets = pytest.importorskip("sklearn.datasets")
    loaded = datasets.load_digits()
    return (loaded.data / 16).astype(np.float32), loaded.target.astype(np.int64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, digits: tuple[NDArray[Any], NDArray[Any]]) -> Path:
    """A wide network for digits, trained on the first 900 of them."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(64, _HIDDEN),
        torch.nn.ReLU(),
        torch.nn.Linear(_HIDDEN, _HIDDEN),
        torch.nn.ReLU(),
        torch.nn.Linear(_HIDDEN, 10),
    )
    x, y = torch.from_numpy(digits[0][:900]), torch.from_numpy(digits[1][:900])
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("digits") / "digits.onnx"
    weights = [(each.weight.detach().numpy(), each.bias.detach().numpy()) for each in net[::2]]
    _write(path, weights)
    return path


def _write(path: Path, weights: list[tuple[NDArray[Any], NDArray[Any]]]) -> None:
    nodes, constants, value = [], [], "x"
    for number, (weight, bias) in enumerate(weights):
        constants += [
            onnx.numpy_helper.from_array(weight, f"w{number}"),
            onnx.numpy_helper.from_array(bias, f"b{number}"),
        ]
        last = number == len(weights) - 1
        made = "scores" if last else f"dense{number}"
        nodes.append(onnx.helper.make_node("Gemm", [value, f"w{number}", f"b{number}"], [made], transB=1))
        if not last:
            nodes.append(onnx.helper.make_node("Relu", [made], [f"relu{number}"]))
        value = f"relu{number}"
    graph = onnx.helper.make_graph(
        nodes,
        "digits",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 64])],
        [onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["n", 10])],
        constants,
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path)


@pytest.fixture(scope="module")
def narrower(
    tmp_path_factory: pytest.TempPathFactory, model: Path, digits: tuple[NDArray[Any], NDArray[Any]]
) -> CompressResult:
    return _compress(tmp_path_factory.mktemp("work"), model, digits, max_size=9000)


def _compress(work: Path, model: Path, digits: tuple[NDArray[Any], NDArray[Any]], **options: Any) -> CompressResult:
    x, y = digits
    return edgeai.compress(
        model,
        (x[900:], y[900:]),
        train_data=(x[:900], y[:900]),
        **{"formats": ("tflite",), "precisions": ("float32", "int8"), "max_drop": 0.03, **options},
        training=_TRAINING,
        work=work,
    )


def test_a_limit_on_size_that_int8_misses_is_met_by_a_narrower_network(narrower: CompressResult) -> None:
    plain = next(one for one in narrower.candidates if one.recipe.precision == "int8" and not one.recipe.base)
    assert plain.limit == "max_size"
    assert narrower.within_budget
    assert narrower.best is not None
    assert [step.op for step in narrower.best.recipe.base][-2:] == ["prune", "distill"]
    assert narrower.best.size_bytes is not None
    assert narrower.best.size_bytes <= 9000
    document = narrower.to_json()
    assert document["best"]["network"].endswith("-distilled")
    assert document["candidates"][0]["network"] is None
    assert f"of {document['best']['network']}" in summary(document)


def test_the_narrower_network_can_be_read_and_trained_on(narrower: CompressResult, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    files = {file.suffix: file for file in narrower.save_models(tmp_path)}
    graph = onnx.load(files[".onnx"]).graph
    assert all(dim != _HIDDEN for one in graph.initializer for dim in one.dims)
    program = torch.export.load(files[".pt2"]).module()
    program(torch.zeros(2, 64))[0].sum().backward()
    assert all(weight.grad is not None for weight in program.parameters())


def test_a_narrower_recipe_is_replayed(
    narrower: CompressResult, model: Path, digits: tuple[NDArray[Any], NDArray[Any]], tmp_path: Path
) -> None:
    assert narrower.best is not None
    recipes = read_recipes(narrower.best.to_json(), where="here")
    replayed = _compress(tmp_path, model, digits, recipes=recipes)
    assert replayed.best is not None
    assert replayed.best.id == narrower.best.id
    assert replayed.best.size_bytes == narrower.best.size_bytes


def test_no_narrower_network_is_tried_without_need(
    narrower: CompressResult, model: Path, digits: tuple[NDArray[Any], NDArray[Any]], tmp_path: Path
) -> None:
    found = _compress(tmp_path, model, digits, max_size=100_000)
    assert not any(one.recipe.base for one in found.candidates)
    assert found.best is not None
    assert found.best.certificate is not None
    assert narrower.best is not None
    claim = narrower.best.certificate  # against the same whole float network, on the same samples
    assert claim is not None
    assert (claim.source_score, claim.n) == (found.best.certificate.source_score, found.best.certificate.n)
    assert (claim.split, claim.drop <= 0.03) == ("certification", True)


def test_no_narrower_network_is_tried_when_that_is_forbidden(
    model: Path, digits: tuple[NDArray[Any], NDArray[Any]], tmp_path: Path
) -> None:
    found = _compress(tmp_path, model, digits, max_size=9000, prune="never")
    assert not found.within_budget
    assert found.binding_limit == "max_size"


def _replay(
    tmp_path: Path, model: Path, digits: tuple[NDArray[Any], NDArray[Any]], *base: Step, max_drop: float = 0.2
) -> Any:
    """Return the int8 candidate of a recipe that begins with these steps."""
    steps = (
        *base,
        Step(op="quantize", params={"scheme": "tflite-int8", "method": "minmax"}),
        Step(op="emit", params={"format": "tflite"}),
    )
    recipe = Recipe(format="tflite", precision="int8", steps=steps)
    found = _compress(tmp_path, model, digits, recipes=(recipe,), max_drop=max_drop)
    return next(one for one in found.candidates if one.recipe.precision == "int8")


def test_weights_become_products_by_a_step_of_a_recipe(
    model: Path, digits: tuple[NDArray[Any], NDArray[Any]], tmp_path: Path
) -> None:
    made = _replay(tmp_path, model, digits, Step(op="low_rank", params={"ranks": {"w1": 16}}))
    assert made.status == "accepted", made.reason
    assert made.artifact.operators["FULLY_CONNECTED"] == 4


def test_channels_go_and_readers_are_fitted_by_a_step_of_a_recipe(
    model: Path, digits: tuple[NDArray[Any], NDArray[Any]], tmp_path: Path
) -> None:
    cut = {"widths": {"w0": _HIDDEN // 2, "w1": _HIDDEN // 2}}
    fitted = _replay(tmp_path, model, digits, Step(op="prune", params=cut), max_drop=1.0)
    bare = _replay(tmp_path, model, digits, Step(op="prune", params={**cut, "reconstruct": False}), max_drop=1.0)
    assert fitted.search_drop < bare.search_drop
    assert fitted.size_bytes == bare.size_bytes


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (Step(op="prune", params={"widths": {"nothing": 3}}), "nothing"),
        (Step(op="remove_blocks", params={"blocks": ["nothing"]}), "nothing"),
        (Step(op="distill", params={"passes": 3}), "passes"),
    ],
)
def test_a_step_that_does_not_fit_is_the_reason_of_a_rejection(
    model: Path, digits: tuple[NDArray[Any], NDArray[Any]], tmp_path: Path, step: Step, told: str
) -> None:
    made = _replay(tmp_path, model, digits, step)
    assert (made.status, made.limit) == ("rejected", "failed")
    assert told in made.reason

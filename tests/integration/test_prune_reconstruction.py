"""Importance and reconstruction on a small network that says one thing twice, and groups against torch-pruning's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.prune.groups import find_groups
from edgeai_converters.prune.importance import activation_importance, magnitude_importance
from edgeai_converters.prune.importance_reconstruction import reconstruction_importance
from edgeai_converters.prune.importance_taylor import own_loss, taylor_importance, with_labels
from edgeai_converters.prune.reconstruct import reconstruct_layers
from edgeai_converters.prune.slice import slice_channels
from edgeai_runtime.errors import DataError

pytestmark = pytest.mark.onnxruntime

TWINS = (2, 5)
"""Channels that are the same up to a factor: one of them can go for nothing, if its reader is fitted."""
DEAD = 3
"""A channel that never says anything, though its weights are the largest."""

# Weights are drawn to the old ones with a thousandth of the inputs' energy: not exact.
FITTED_TOLERANCE = 0.02


def _network() -> ir.Model:
    text = """<ir_version: 9, opset_import: ["" : 20]> g (float[N,3,8,8] x) => (float[N,4] y) {
        a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) ar = Relu(a)
        c = Conv <pads = [1, 1, 1, 1]> (ar, w2, b2) cr = Relu(c)
        g = GlobalAveragePool(cr) f = Flatten(g) y = Gemm <transB = 1> (f, w3, b3) }"""
    random = np.random.default_rng(0)
    arrays = {
        "w1": random.normal(size=(8, 3, 3, 3)) / 5,
        "b1": random.normal(size=8) * 0.1,
        "w2": random.normal(size=(6, 8, 3, 3)) / 8,
        "b2": random.normal(size=6) * 0.1,
        "w3": random.normal(size=(4, 6)),
        "b3": random.normal(size=4) * 0.1,
    }
    arrays["w1"][TWINS[1]], arrays["b1"][TWINS[1]] = 2 * arrays["w1"][TWINS[0]], 2 * arrays["b1"][TWINS[0]]
    arrays["w1"][DEAD], arrays["b1"][DEAD] = 3 * arrays["w1"][DEAD], -100
    proto = onnx.parser.parse_model(text)
    for name, array in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return prepare_graph(proto)


def _batches() -> list[Mapping[str, NDArray[Any]]]:
    random = np.random.default_rng(1)
    return [{"x": random.normal(size=(32, 3, 8, 8)).astype(np.float32)} for _ in range(4)]


def _error(model: ir.Model, other: ir.Model) -> float:
    x = {"x": np.random.default_rng(9).normal(size=(64, 3, 8, 8)).astype(np.float32)}
    wanted, found = GraphRunner(model).run(x)["y"], GraphRunner(other).run(x)["y"]
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted - wanted.mean(0)))


def test_a_channel_that_another_one_says_too_goes_for_nothing_when_readers_are_fitted() -> None:
    model = _network()
    groups, cut = find_groups(model), {"w1": [TWINS[0], DEAD]}
    smaller, _ = slice_channels(model, cut)
    fitted, changed = reconstruct_layers(model, smaller, cut, groups, _batches())
    assert changed
    assert _error(model, smaller) > 10 * FITTED_TOLERANCE
    assert _error(model, fitted) < FITTED_TOLERANCE


def test_reconstruction_helps_where_information_is_lost() -> None:
    model = _network()
    groups, cut = find_groups(model), {"w1": [0, 6], "w2": [1]}
    smaller, _ = slice_channels(model, cut)
    fitted, _ = reconstruct_layers(model, smaller, cut, groups, _batches())
    assert _error(model, fitted) < 0.6 * _error(model, smaller)


def test_only_reconstruction_finds_the_channel_that_is_said_twice() -> None:
    model = _network()
    groups = find_groups(model)
    worth = reconstruction_importance(model, groups, _batches())["w1"]
    assert set(np.argsort(worth)[:2].tolist()) - {DEAD} <= set(TWINS)
    assert DEAD in np.argsort(worth)[:2]
    assert worth.max() > 20 * np.sort(worth)[1]


def test_activations_find_the_channel_that_is_silent_and_weights_do_not() -> None:
    model = _network()
    groups = find_groups(model)
    assert activation_importance(model, groups, _batches())["w1"][DEAD] == 0
    assert int(np.argmax(magnitude_importance(model, groups, readers=False, norm=1)["w1"])) == DEAD


@pytest.mark.parametrize("norm", [1, 2])
def test_importance_relative_to_the_group_has_a_mean_of_one(norm: Any) -> None:
    for worth in magnitude_importance(_network(), find_groups(_network()), norm=norm).values():
        assert worth.mean() == pytest.approx(1)


@pytest.mark.torch
def test_taylor_importance_of_a_silent_channel_is_zero() -> None:
    pytest.importorskip("torch")
    model = _network()
    loss = own_loss(model, scores=True)
    worth = taylor_importance(model, find_groups(model), ((batch, loss) for batch in _batches()))["w1"]
    assert worth[DEAD] == 0
    assert (np.delete(worth, DEAD) > 0).all()


@pytest.mark.torch
def test_taylor_importance_with_labels_is_the_squared_slope_of_the_labels_loss() -> None:
    pytest.importorskip("torch")
    model, (batch, *_) = _network(), _batches()
    labels = np.random.default_rng(2).integers(0, 4, len(batch["x"]))
    pairs = with_labels(model, [batch], labels)
    worth = taylor_importance(model, find_groups(model), pairs, relative=False)["w2"]
    above, below = (_label_loss(model, batch, labels, factor) for factor in (1.01, 0.99))
    assert worth[0] == pytest.approx(((above - below) / 0.02) ** 2, rel=0.05)


@pytest.mark.torch
def test_taylor_importance_needs_a_label_for_each_sample() -> None:
    pytest.importorskip("torch")
    with pytest.raises(DataError, match="fewer labels"):
        list(with_labels(_network(), _batches(), np.zeros(40, np.int64)))


def _label_loss(model: ir.Model, batch: Mapping[str, NDArray[Any]], labels: NDArray[Any], factor: float) -> float:
    """Return the cross-entropy with the weights that make the first channel of `w2` scaled."""
    scaled = model.clone()
    for name in ("w2", "b2"):
        value = scaled.graph.initializers[name]
        assert value.const_value is not None
        array = value.const_value.numpy().copy()
        array[0] *= factor
        value.const_value = ir.tensor(array, name=name)
    scores = np.asarray(GraphRunner(scaled).run(batch)["y"], np.float64)
    logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    return float(-logs[np.arange(len(labels)), labels].mean())


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")  # of torch-pruning and of the exporter
def test_groups_are_those_of_torch_pruning(tmp_path: Any) -> None:
    torch = pytest.importorskip("torch")
    pruning = pytest.importorskip("torch_pruning")
    nn = torch.nn

    class Net(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.one, self.two = (
                nn.Conv2d(3, 8, 3, padding=1),
                nn.Conv2d(8, 6, 3, padding=1),
                nn.Conv2d(6, 8, 1),
            )
            self.depth, self.side = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 5, 1)
            self.join, self.end = nn.Conv2d(13, 7, 1), nn.Linear(7 * 16, 4)

        def forward(self, x: Any) -> Any:
            a = torch.relu(self.stem(x))
            b = a + self.two(torch.relu(self.one(a)))
            j = torch.cat([self.depth(b), self.side(b)], dim=1)
            return self.end(torch.flatten(torch.nn.functional.avg_pool2d(self.join(j), 2), 1))

    net, x = Net().eval(), torch.zeros(1, 3, 8, 8)
    graph = pruning.DependencyGraph().build_dependency(net, example_inputs=x)
    names = {module: name for name, module in net.named_modules()}
    torch.onnx.export(net, (x,), str(tmp_path / "net.onnx"), dynamo=False, do_constant_folding=False)
    groups = find_groups(prepare_graph(onnx.load(tmp_path / "net.onnx")))

    for layer in ("stem", "one", "side", "join"):
        oracle = graph.get_pruning_group(getattr(net, layer), pruning.prune_conv_out_channels, idxs=[1])
        theirs = set()
        for dependency, places in oracle:
            if dependency.target.module in names:
                axis = 1 if "in_channels" in dependency.handler.__name__ else 0
                theirs.add((names[dependency.target.module] + ".weight", axis, tuple(sorted(int(i) for i in places))))
        ours = set()
        group = next(each for each in groups if any(m.value == f"{layer}.weight" and m.axis == 0 for m in each.members))
        for member in group.members:
            if member.value.endswith(".weight"):
                ours.add((member.value, member.axis, member.places[1]))
        depthwise = {entry for entry in theirs if entry[0] == "depth.weight"}
        assert ours - {("depth.weight", 0, (1,))} == theirs - depthwise

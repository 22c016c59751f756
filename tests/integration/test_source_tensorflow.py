"""SavedModels and frozen graphs as sources: the graph answers as TensorFlow does, under the source's names."""

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

pytestmark = [pytest.mark.keras, pytest.mark.slow]

ROUNDING = 1e-5
"""Two engines in float32 on networks of a few layers."""


def _shapes(imported: Imported) -> dict[str, tuple[int | None, ...]]:
    return {spec.name: spec.shape for spec in (*input_specs(imported.model), *output_specs(imported.model))}


def _difference(imported: Imported) -> float:
    answers = GraphRunner(imported.model).run(imported.probe_inputs)
    return measure_parity(imported.probe_outputs, answers).max_rel


@pytest.fixture(scope="module")
def tensorflow() -> Any:
    pytest.importorskip("tf2onnx")
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def saved_model(tensorflow: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without Keras's metadata, with two inputs out of alphabetical order and a loop over time."""

    class Net(tensorflow.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.weight = tensorflow.Variable(np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32))

        def __call__(self, zebra: Any, ant: Any) -> Any:
            state = ant
            for step in range(3):
                state = tensorflow.tanh(zebra[:, step] + state @ self.weight)
            return {"state": state, "rest": ant - 1}

    spec = tensorflow.TensorSpec
    net = Net()
    call = tensorflow.function(net.__call__, autograph=False)
    signature = call.get_concrete_function(
        spec((None, 3, 4), tensorflow.float32, "zebra"), spec((None, 4), tensorflow.float32, "ant")
    )
    path = tmp_path_factory.mktemp("source") / "net"
    tensorflow.saved_model.save(net, str(path), signatures=signature)
    return path


@pytest.mark.parametrize("way", ["tf2onnx", "tflite"])
def test_a_saved_model_keeps_the_names_of_its_signature(saved_model: Path, way: str) -> None:
    imported = import_source(saved_model, way=way)
    assert _shapes(imported) == {
        "ant": (None, 4),
        "zebra": (None, 3, 4),
        "rest": (None, 4),
        "state": (None, 4),
    }
    assert _difference(imported) < ROUNDING


def test_a_saved_model_without_its_variables_is_told(saved_model: Path, tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes((saved_model / "saved_model.pb").read_bytes())
    with pytest.raises(ModelError, match="cannot read") as caught:
        import_source(tmp_path)
    assert "variables" in caught.value.hint


@pytest.mark.assets
def test_a_saved_model_of_keras_2_comes_to_the_graph(assets: Path) -> None:
    imported = import_source(assets / "mlperf_tiny/keyword_spotting/kws_ref_model")
    assert _shapes(imported) == {"input_1": (None, 49, 10, 1), "dense": (None, 12)}
    assert _difference(imported) < ROUNDING


@pytest.mark.assets
def test_a_frozen_graph_begins_behind_its_decoder_of_sound(assets: Path) -> None:
    imported = import_source(assets / "speech_commands/gru_s_frozen.pb")
    assert _shapes(imported) == {"Mfcc": (1, 25, 10), "labels_softmax": (1, 12)}
    assert any("wav_data → decoded_sample_data → AudioSpectrogram" in note for note in imported.notes)
    assert _difference(imported) < ROUNDING
    twin = GraphRunner(assets / "speech_commands/gru_s.onnx").run({"mfcc": imported.probe_inputs["Mfcc"]})
    np.testing.assert_allclose(imported.probe_outputs["labels_softmax"], twin["prob"], atol=1e-5)


def test_a_name_that_is_no_node_offers_the_nearest(tensorflow: Any, tmp_path: Path) -> None:
    graph = tensorflow.Graph()
    with graph.as_default():
        x = tensorflow.compat.v1.placeholder(tensorflow.float32, (None, 2), "speech")
        tensorflow.nn.relu(x, name="answer")
    (tmp_path / "g.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(UsageError, match="no node named 'speach'") as caught:
        import_source(tmp_path / "g.pb", input_shapes={"speach": (1, 2)})
    assert "speech" in caught.value.hint

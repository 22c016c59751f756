"""Shapes that a TFLite file computes when it runs, as TensorFlow writes them for a model with a free batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.sources.tflite import import_tflite

pytest.importorskip("ai_edge_litert")
tf = pytest.importorskip("tensorflow")
pytestmark = [pytest.mark.litert, pytest.mark.onnxruntime, pytest.mark.keras, pytest.mark.slow]


def _batch(x: Any) -> Any:
    return tf.shape(x)[0]


def _folded(x: Any) -> Any:
    """Put the last two axes together, as the export of JAX does: sizes are products of segments of the shape."""
    return tf.reshape(x, tf.math.unsorted_segment_prod(tf.shape(x), [0, 1, 1], 2))


def _segments(kind: str) -> Callable[[Any], Any]:
    """Reduce rows by segment: one has three rows, one none, and a row belongs to none."""
    reduce = getattr(tf.math, f"unsorted_segment_{kind}")
    return lambda x: reduce(tf.transpose(x, [1, 0, 2])[:, :1], [2, 0, 2, -1, 2], 3)


MODELS: dict[str, tuple[Callable[[Any], Any], set[str]]] = {
    "product of sizes": (_folded, {"UNSORTED_SEGMENT_PROD"}),
    "products of rows": (_segments("prod"), {"UNSORTED_SEGMENT_PROD"}),
    "sums of rows": (_segments("sum"), {"UNSORTED_SEGMENT_SUM"}),
    "largest of rows": (_segments("max"), {"UNSORTED_SEGMENT_MAX"}),
    "smallest of rows": (_segments("min"), {"UNSORTED_SEGMENT_MIN"}),
    "broadcast": (lambda x: tf.broadcast_to(tf.constant([[1.0], [2.0]]), [_batch(x), 2, 3]) * x[:, :2, :3], set()),
    "fill": (lambda x: tf.concat([x, tf.fill([_batch(x), 5, 1], 0.5)], -1), {"FILL"}),
    "tile": (lambda x: tf.tile(tf.constant([[1.0, 2.0]]), [_batch(x), 1]) + x[:, 0, :2], {"TILE"}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_a_file_with_computed_shapes_answers_as_litert_for_any_batch(name: str, tmp_path: Path) -> None:
    function, operators = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = tf.TensorSpec([None, 5, 4], tf.float32, name="x")
        concrete = tf.function(function, autograph=False).get_concrete_function(signature)
        content = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    assert operators <= _operators(content)
    imported = import_tflite(path, workdir=tmp_path)
    answers = GraphRunner(imported.model).run(imported.probe_inputs)
    for key, expected in imported.probe_outputs.items():
        np.testing.assert_allclose(answers[key], expected, rtol=1e-5, atol=1e-5)
    x = np.random.default_rng(1).normal(size=(3, 5, 4)).astype(np.float32)
    (given,) = imported.probe_inputs
    (found,) = GraphRunner(imported.model).run({given: x}).values()
    np.testing.assert_allclose(found, np.asarray(concrete(tf.constant(x))), rtol=1e-5, atol=1e-5)


def _operators(content: bytes) -> set[str]:
    from edgeai_converters.emit.tflite.flatbuffer import read_model
    from edgeai_converters.emit.tflite.read_context import read_operators

    return {operator.name for operator in read_operators(read_model(content))}

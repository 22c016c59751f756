"""The table of source adapters, and the one function that brings any source to the graph."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_converters.graph.boundary import infer_layouts
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import require_parity
from edgeai_converters.sources.detect import detect_source
from edgeai_converters.sources.imported import Imported

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOURCES: dict[str, str] = {
    "keras": "edgeai_converters.sources.keras:import_keras",
    "torch": "edgeai_converters.sources.torch:import_torch",
    "onnx": "edgeai_converters.sources.onnx:import_onnx",
    "tflite": "edgeai_converters.sources.tflite:import_tflite",
    "openvino": "edgeai_converters.sources.openvino:import_openvino",
}
"""Kind of source → `module:function`, resolved when asked for."""

MAX_REL = 1e-3
MIN_COSINE = 0.9999
"""The gate between a float source in its own engine and the graph; rounding alone stays below 1e-4."""


def import_source(
    source: Path | object,
    *,
    workdir: Path | None = None,
    samples: Mapping[str, NDArray[Any]] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
) -> Imported:
    """Bring a source to the graph and hold the graph against the source's own engine.

    Args:
        source: path of a `.keras`, `.h5`, `.pt2`, `.onnx` or `.tflite` file, or a live Keras or PyTorch object.
        workdir: an existing folder for intermediate files and logs; by default a temporary one.
        samples: arrays `[n, …]` ready for the model, by input name; up to 8 are used beside drawn ones.
        input_shapes: shapes by input name, for sources with free dimensions (-1 keeps one free).
        seed: seed of drawn inputs.

    Returns:
        The graph, not yet simplified, with layouts of its inputs noted where they are known.

    Raises:
        ModelError: the source can not be read; the message says what and why.
        ParityError: the graph does not answer as the source does.
        MissingEngineError: a package that this kind of source needs is not installed.
    """
    kind = detect_source(source)
    if workdir is None:
        with tempfile.TemporaryDirectory(prefix="edgeai-") as folder:
            return import_source(source, workdir=Path(folder), samples=samples, input_shapes=input_shapes, seed=seed)
    module, _, function = SOURCES[kind].partition(":")
    adapter = getattr(importlib.import_module(module), function)
    subject = Path(source) if isinstance(source, str) else source
    imported: Imported = adapter(subject, workdir=workdir, samples=samples, input_shapes=input_shapes or {}, seed=seed)
    if kind not in ("tflite", "openvino"):  # these readers hold quantized models against their graph in their own way
        outputs = GraphRunner(imported.model).run(imported.probe_inputs)
        what = f"{kind} source → graph ({' → '.join(imported.route)})"
        require_parity(imported.probe_outputs, outputs, what=what, max_rel=MAX_REL, min_cosine=MIN_COSINE)
    infer_layouts(imported.model)
    return imported

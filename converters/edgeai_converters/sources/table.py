"""The table of source adapters, and the one function that brings any source to the graph."""

from __future__ import annotations

import importlib
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_converters.graph.boundary import infer_layouts
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import require_parity
from edgeai_converters.sources.child import ChildError
from edgeai_converters.sources.detect import detect_source
from edgeai_converters.sources.imported import Imported, SourceKind
from edgeai_converters.sources.ways import Way, ways_of
from edgeai_runtime.errors import DataError, EngineError, ModelError, ParityError, UnsupportedOperationError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

SOURCES: dict[str, str] = {
    "keras": "edgeai_converters.sources.keras:import_keras",
    "saved_model": "edgeai_converters.sources.tensorflow:import_saved_model",
    "frozen_graph": "edgeai_converters.sources.tensorflow:import_frozen_graph",
    "torch": "edgeai_converters.sources.torch:import_torch",
    "torchscript": "edgeai_converters.sources.torchscript:import_torchscript",
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
    way: str | None = None,
) -> Imported:
    """Bring a source to the graph and hold the graph against the source's own engine.

    The ways of the kind of source (`edgeai_converters.sources.ways`) are tried in turn; the notes tell why one was
    left.

    Args:
        source: path of a file, path of a SavedModel folder, or a live Keras or PyTorch object.
        workdir: an existing folder for intermediate files and logs; by default a temporary one.
        samples: arrays `[n, …]` ready for the model, by input name; up to 8 are used beside drawn ones.
        input_shapes: shapes by input name, for sources with free dimensions (-1 keeps one free).
        seed: seed of drawn inputs.
        way: the name of the one way to try; by default all, in their order.

    Returns:
        The graph, not yet simplified, with layouts of its inputs noted where they are known.

    Raises:
        ModelError: the source cannot be read; the message says what and why.
        UnsupportedOperationError: it can be read, and no way leads to the graph.
        ParityError: the graph does not answer as the source does.
        MissingEngineError: a package that this kind of source needs is not installed.
    """
    kind = detect_source(source)
    if workdir is None:
        with tempfile.TemporaryDirectory(prefix="edgeai-") as folder:
            return import_source(
                source, workdir=Path(folder), samples=samples, input_shapes=input_shapes, seed=seed, way=way
            )
    subject = Path(source) if isinstance(source, str) else source
    arguments = {"samples": samples, "input_shapes": input_shapes or {}, "seed": seed}
    failures: list[ModelError] = []
    for chosen in _chosen(kind, way):
        place = workdir / chosen.name if failures else workdir
        place.mkdir(exist_ok=True)
        try:
            imported = _go(kind, chosen, subject, place, arguments)
        except (UnsupportedOperationError, ParityError, ChildError) as error:
            logger.info("%s: %s", " → ".join(chosen.steps), error)
            failures.append(error)
            continue
        infer_layouts(imported.model)
        left = tuple(f"{failure.message} Took another way to the graph." for failure in failures)
        return replace(imported, notes=(*imported.notes, *left)) if left else imported
    raise _all_failed(failures)


def _go(kind: SourceKind, way: Way, source: object, workdir: Path, arguments: Mapping[str, Any]) -> Imported:
    """Take one way to the graph, and hold the graph against the source."""
    module, _, function = SOURCES[kind].partition(":")
    adapter = getattr(importlib.import_module(module), function)
    several = {"way": way.name} if len(ways_of(kind)) > 1 else {}
    imported: Imported = adapter(source, workdir=workdir, **arguments, **several)
    if kind not in ("tflite", "openvino"):  # these readers hold quantized models against their graph in their own way
        what = f"{kind} source → graph ({' → '.join(imported.route)})"
        try:
            outputs = GraphRunner(imported.model).run(imported.probe_inputs)
        except (DataError, EngineError, ModelError) as error:
            raise UnsupportedOperationError(f"{what}: {error.message}", hint=error.hint) from error
        require_parity(imported.probe_outputs, outputs, what=what, max_rel=MAX_REL, min_cosine=MIN_COSINE)
    return imported


def _chosen(kind: SourceKind, way: str | None) -> tuple[Way, ...]:
    ways = ways_of(kind)
    if way is None:
        return ways
    chosen = tuple(entry for entry in ways if entry.name == way)
    if not chosen:
        names = ", ".join(entry.name for entry in ways)
        raise UsageError(f"There is no way {way!r} from {kind} to the graph.", hint=f"Ways: {names}.")
    return chosen


def _all_failed(failures: Sequence[ModelError]) -> ModelError:
    """Return one error for the ways that were tried."""
    first = failures[0]
    if len(failures) == 1:
        return ModelError(first.message, hint=first.hint) if isinstance(first, ChildError) else first
    listed = " ".join(f"({number}) {failure.message}" for number, failure in enumerate(failures, 1))
    error = UnsupportedOperationError(f"No way leads to the graph. {listed}", hint=first.hint)
    error.__cause__ = first
    return error

"""Imports that are kept: converting the same file to a second format does not start its framework again.

What is kept is the graph as it came from the source, held against the source's own engine, with the probes and that
engine's answers to them. It is found again by everything it depends on: the source's bytes, the way, shapes and seed,
the versions of the packages, and our own code that reads sources. A refusal is kept too, so that the next format is
told at once; a crash is not, since the next try may end otherwise. A live model has no bytes to know it by, and ONNX
and TFLite files are read faster than found: these are imported each time.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from edgeai_converters.float_graph import source_digest
from edgeai_converters.graph.execute import model_size
from edgeai_converters.sources.detect import detect_source
from edgeai_converters.sources.imported import Imported
from edgeai_converters.sources.table import import_source
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.bundle_arrays import npz_bytes, read_npz
from edgeai_runtime.errors import OutputError, ParityError, UnsupportedOperationError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

KEPT_KINDS = ("keras", "saved_model", "frozen_graph", "torch", "torchscript", "openvino")
"""Kinds of source whose reading starts a framework."""

LARGEST_KEPT = 1_000_000_000
"""Bytes of constants above which a graph is not kept: it would fill the disk, and an ONNX file holds 2 GB."""

KEPT_BYTES = 4_000_000_000
"""All that is kept, in bytes; the imports that were not asked for longest go first."""

READERS = (
    "sources", "graph", "emit", "inspection", "require.py", "versions.py",
    "quantize/plan.py", "quantize/quantized_source.py", "quantize/stored_values.py",
)  # fmt: skip
"""Our own code that an import depends on: folders and modules of this package."""

_GRAPH, _INPUTS, _OUTPUTS, _REPORT, _REFUSAL = "graph.onnx", "inputs.npz", "outputs.npz", "import.json", "refusal.json"
_REFUSALS: dict[str, type[UnsupportedOperationError] | type[ParityError]] = {
    "UnsupportedOperationError": UnsupportedOperationError,
    "ParityError": ParityError,
}


class _NotKeptError(Exception):
    """The import succeeded and cannot be kept."""

    def __init__(self, imported: Imported) -> None:
        super().__init__("not kept")
        self.imported = imported


def open_kept(root: Path) -> WorkFolder | None:
    """Return the folder of kept imports; `None` when it cannot be made, which only costs time."""
    try:
        return WorkFolder(root, keep_bytes=KEPT_BYTES)
    except OutputError as error:
        logger.info("imports are not kept: %s", error.message)
        return None


def import_kept(
    source: Path | object,
    work: WorkFolder | None,
    *,
    workdir: Path,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
    way: str | None = None,
) -> Imported:
    """Do what `import_source` does, once for the same file.

    Args:
        source: path of a file, path of a SavedModel folder, or a live Keras or PyTorch object.
        work: where imports are kept; `None` keeps none.
        workdir: an existing folder for intermediate files and logs.
        input_shapes: shapes by input name.
        seed: seed of drawn inputs.
        way: the name of the one way to try; by default all, in their order.

    Raises:
        EdgeAIError: what `import_source` raises, or raised when it was asked before.
    """
    shapes = {name: tuple(shape) for name, shape in (input_shapes or {}).items()}
    if work is None or not isinstance(source, Path) or detect_source(source) not in KEPT_KINDS:
        return import_source(source, workdir=workdir, input_shapes=shapes, seed=seed, way=way)

    def make(folder: Path) -> None:
        try:
            imported = import_source(source, workdir=workdir, input_shapes=shapes, seed=seed, way=way)
        except (UnsupportedOperationError, ParityError) as error:
            refusal = {"type": type(error).__name__, "message": error.message, "hint": error.hint}
            if refusal["type"] not in _REFUSALS:
                raise
            (folder / _REFUSAL).write_text(json.dumps(refusal), encoding="utf-8")
            return
        if model_size(imported.model) > LARGEST_KEPT:
            raise _NotKeptError(imported)
        try:
            _write(imported, folder)
        except (OSError, UsageError) as error:  # no room, or numbers that a file of arrays cannot hold
            logger.info("the import is not kept: %s", error)
            raise _NotKeptError(imported) from error

    key = {
        "source": source_digest(source),
        "name": source.name if source.is_file() else "",  # messages and some graphs tell it
        "shapes": {name: list(shape) for name, shape in shapes.items()},
        "seed": seed,
        "way": way,
        "tools": tool_versions(),
        "code": readers_digest(),
    }
    try:
        return _read(work.step("import", key, make))
    except _NotKeptError as kept_out:
        return kept_out.imported


@cache
def readers_digest() -> str:
    """Return the SHA-256 (hex) of our own code that imports depend on."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for name in READERS:
        for path in sorted((package / name).rglob("*.py")) if (package / name).is_dir() else [package / name]:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _write(imported: Imported, folder: Path) -> None:
    ir.save(imported.model, folder / _GRAPH)
    _write_arrays(imported.probe_inputs, folder / _INPUTS)
    _write_arrays(imported.probe_outputs, folder / _OUTPUTS)
    report = {
        "kind": imported.kind,
        "route": list(imported.route),
        "notes": list(imported.notes),
        "quantized": imported.quantized,
        "inputs": list(imported.probe_inputs),
        "outputs": list(imported.probe_outputs),
    }
    (folder / _REPORT).write_text(json.dumps(report), encoding="utf-8")


def _read(folder: Path) -> Imported:
    if (folder / _REFUSAL).is_file():
        refusal = json.loads((folder / _REFUSAL).read_text(encoding="utf-8"))
        raise _REFUSALS[refusal["type"]](refusal["message"], hint=refusal["hint"])
    report: dict[str, Any] = json.loads((folder / _REPORT).read_text(encoding="utf-8"))
    return Imported(
        kind=report["kind"],
        model=ir.load(folder / _GRAPH),
        probe_inputs=_read_arrays(folder / _INPUTS, report["inputs"]),
        probe_outputs=_read_arrays(folder / _OUTPUTS, report["outputs"]),
        route=tuple(report["route"]),
        notes=tuple(report["notes"]),
        quantized=report["quantized"],
    )


def _write_arrays(arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write arrays under their places: names of tensors may be no names of files."""
    path.write_bytes(npz_bytes({str(place): array for place, array in enumerate(arrays.values())}))


def _read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    found = read_npz(path, where=path.name)
    return {name: found[str(place)] for place, name in enumerate(names)}

"""TensorFlow as a source: SavedModel folders (with or without Keras's metadata) and frozen `.pb` graphs.

Both are brought to a frozen graph in a child process, which goes to ONNX by tf2onnx or, where that fails, by
TensorFlow's TFLite converter and our reader. Inputs keep their names and layout (NHWC for images).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnx_ir as ir

from edgeai_converters.emit.tflite.flatbuffer import read_model
from edgeai_converters.emit.tflite.reader import read_graph
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.shapes import fix_shapes
from edgeai_converters.sources.child import run_in_child
from edgeai_converters.sources.imported import Imported, SourceKind
from edgeai_converters.sources.probe import load_arrays, save_arrays
from edgeai_converters.sources.rename import rename_boundary
from edgeai_converters.sources.ways import ways_of
from edgeai_runtime.errors import UnsupportedOperationError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ONNX_FILE, TFLITE_FILE = "source.onnx", "source.tflite"


def import_saved_model(
    source: Path,
    *,
    workdir: Path,
    samples: Mapping[str, NDArray[Any]] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
    way: str = "tf2onnx",
) -> Imported:
    """Bring a SavedModel to the graph, with the outputs of its own signature.

    Args:
        source: the folder; its `serving_default` signature is taken, else its only one.
        workdir: an existing folder for intermediate files, probe files and the log.
        samples: arrays `[n, …]` ready for the model, by input name; drawn when not given.
        input_shapes: shapes by input name for free dimensions.
        seed: seed of drawn inputs.
        way: `tf2onnx` or `tflite`.

    Returns:
        A graph with the names of the signature.

    Raises:
        ModelError: TensorFlow cannot read or run it, or it has no signature to take.
        UnsupportedOperationError: this way does not lead to the graph.
        MissingEngineError: TensorFlow or tf2onnx is not installed.
    """
    return _bring("saved_model", source, workdir, samples, input_shapes or {}, seed, way)


def import_frozen_graph(
    source: Path,
    *,
    workdir: Path,
    samples: Mapping[str, NDArray[Any]] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
    way: str = "tf2onnx",
) -> Imported:
    """Bring a frozen TensorFlow graph to the graph, with the outputs of TensorFlow running the file.

    Its inputs are its placeholders, its outputs the nodes that no other node reads. A name in `input_shapes` or
    `samples` that is another node makes that node an input: what leads to it is left out. What decodes audio or images
    from bytes is left out by itself, and the notes tell it.

    Args:
        source: the file.
        workdir: an existing folder for intermediate files, probe files and the log.
        samples: arrays `[n, …]` ready for the model, by input name; drawn when not given.
        input_shapes: shapes by the name of a node.
        seed: seed of drawn inputs.
        way: `tf2onnx` or `tflite`.

    Returns:
        A graph with the names of the nodes.

    Raises:
        ModelError: TensorFlow cannot read or run it, it still has variables, or it has no inputs or outputs.
        UnsupportedOperationError: this way does not lead to the graph.
        UsageError: a name that is no node.
        MissingEngineError: TensorFlow or tf2onnx is not installed.
    """
    return _bring("frozen_graph", source, workdir, samples, input_shapes or {}, seed, way)


def read_tflite_beside(path: Path, inputs: Sequence[str], outputs: Sequence[str], *, what: str) -> ir.Model:
    """Read a float TFLite file that a converter wrote on the way, and give it the source's names, by position.

    Raises:
        UnsupportedOperationError: the reader lacks operators, or the file has another number of inputs or outputs.
    """
    found = read_graph(read_model(path.read_bytes(), where=what), where=what)
    if len(found.inputs) != len(inputs) or len(found.outputs) != len(outputs):
        raise UnsupportedOperationError(
            f"{what} has {len(found.inputs)} inputs and {len(found.outputs)} outputs; "
            f"the source has {len(inputs)} and {len(outputs)}."
        )
    old = [entry.name for entry in found.inputs]
    rename_boundary(found.proto, dict(zip(old, inputs, strict=True)), outputs)
    return prepare_graph(found.proto, what=what)


def _bring(
    kind: SourceKind,
    source: Path,
    workdir: Path,
    samples: Mapping[str, NDArray[Any]] | None,
    input_shapes: Mapping[str, Sequence[int]],
    seed: int,
    way: str,
) -> Imported:
    shapes = {name: [int(size) for size in shape] for name, shape in input_shapes.items()}
    request = {
        "path": str(source.resolve()),
        "folder": str(workdir.resolve()),
        "samples": save_arrays(workdir / "samples.npz", samples) if samples is not None else None,
        "input_shapes": shapes,
        "seed": seed,
        "way": way,
    }
    task = f"edgeai_converters.sources.tensorflow_child:convert_{kind}"
    answer = run_in_child(task, request, workdir=workdir, what=f"TensorFlow reading {source}")
    model = bring_answer(workdir, answer, way, what=f"the TensorFlow model {source.name}")
    return Imported(
        kind=kind,
        model=fix_shapes(model, _within(shapes, answer["inputs"])),
        probe_inputs=load_arrays(workdir / "probe_inputs.npz", answer["inputs"]),
        probe_outputs=load_arrays(workdir / "probe_outputs.npz", answer["outputs"]),
        route=next(entry.steps for entry in ways_of(kind) if entry.name == way),
        notes=tuple(answer["notes"]),
    )


def bring_answer(workdir: Path, answer: Mapping[str, Any], way: str, *, what: str) -> ir.Model:
    """Return the graph of what a child wrote to `workdir`: ONNX or TFLite, named as the answer says.

    Args:
        workdir: holds `source.onnx` or `source.tflite`.
        answer: has `inputs` and `outputs`, the source's names in order, and for ONNX `feeds`, the inputs' names in the
            file.
        way: `tf2onnx` or `tflite`.
        what: the source, for messages.
    """
    if way == "tflite":
        path = workdir / TFLITE_FILE
        return read_tflite_beside(path, answer["inputs"], answer["outputs"], what=f"the TFLite file made of {what}")
    proto = onnx.load(str(workdir / ONNX_FILE))
    rename_boundary(proto, dict(zip(answer["feeds"], answer["inputs"], strict=True)), answer["outputs"])
    return prepare_graph(proto, what=what)


def _within(shapes: Mapping[str, Sequence[int]], inputs: Sequence[str]) -> dict[str, Sequence[int]]:
    for name in shapes:
        if name not in inputs:
            raise UsageError(f"The model has no input named {name!r}.", hint=f"Its inputs: {', '.join(inputs)}.")
    return {name: shapes[name] for name in shapes}

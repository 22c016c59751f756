"""TFLite as a source: our own reader, held against LiteRT running the file in a child process.

Quantized files become float graphs: what was rounded away when they were made does not come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_converters.emit.tflite.flatbuffer import read_model
from edgeai_converters.emit.tflite.read_context import wrong_axes
from edgeai_converters.emit.tflite.reader import Boundary, ReadGraph, read_graph
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import require_parity
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.shapes import fix_shapes
from edgeai_converters.require import require
from edgeai_converters.sources.child import run_in_child
from edgeai_converters.sources.imported import Imported
from edgeai_converters.sources.probe import load_arrays, probe_inputs, run_in_pieces, save_arrays
from edgeai_runtime.errors import ModelError, ParityError
from edgeai_runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLOAT_GATE = (1e-3, 0.9999)
_COMPRESSED_WEIGHTS_GATE = (0.1, 0.99)
"""Hybrid kernels quantize activations on the fly; the graph does not."""
_QUANTIZED_GATE = (0.3, 0.98)
"""For the graph with the file's own rounding: integer kernels round in other places, and deep networks amplify that.

As a share of the largest output this must be wide, since drawn inputs leave a classifier at a tenth of its range, of
which one step of 1/256 is 4 %. `_MOST_STEPS` is the narrow one.
"""
_MOST_STEPS = 16
"""Largest difference in steps of a quantized output, of its 256. Measured: none for a keyword network and an
autoencoder, 1 for ResNet8, 5 for MobileNet v2, 8 for MobileNet v1; a wrong layout or padding is far beyond."""


def import_tflite(
    source: Path,
    *,
    workdir: Path,
    samples: Mapping[str, NDArray[Any]] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
) -> Imported:
    """Bring a TFLite file to the graph, with LiteRT's outputs on the file itself.

    Args:
        source: the file.
        workdir: an existing folder for probe files and the log of the child.
        samples: arrays `[n, …]` ready for the float graph, by input name; drawn when not given.
        input_shapes: shapes by input name for free dimensions.
        seed: seed of drawn inputs.

    Returns:
        A float graph whose inputs and outputs have the names of the file's signature (without one: of its tensors) and
        its NHWC layout. Quantized inputs and outputs are floats.

    Raises:
        ModelError: the file is empty, cut off, foreign or damaged, or LiteRT does not run it.
        UnsupportedOperationError: operators that the reader does not have.
        ParityError: the graph does not answer as LiteRT does.
    """
    shapes = {name: [int(size) for size in shape] for name, shape in (input_shapes or {}).items()}
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ModelError(f"{source} cannot be read: {error.strerror or error}.") from error
    parsed = read_model(content, where=str(source))
    wrong = wrong_axes(parsed)
    if wrong:
        raise ModelError(
            f"{source}: LiteRT refuses this file: the channel axis (quantized_dimension) of {len(wrong)} tensors lies "
            f"outside their shape or does not fit their scales ({', '.join(wrong[:3])}, …).",
            hint="Convert the model again with a current converter; an older TensorFlow wrote it so.",
        )
    found = read_graph(parsed, where=str(source))
    specs = [TensorSpec(name=entry.name, shape=entry.shape, dtype=entry.graph_dtype) for entry in found.inputs]
    inputs = probe_inputs(specs, samples=samples, input_shapes=shapes, seed=seed)
    for entry in found.inputs:
        if entry.quantization is not None:
            inputs[entry.name] = _representable(inputs[entry.name], entry, drawn=samples is None, seed=seed)
    outputs = _run(source, found, inputs, workdir)
    model = fix_shapes(prepare_graph(found.proto, what=str(source)), shapes)
    gate = _COMPRESSED_WEIGHTS_GATE if found.weights else _FLOAT_GATE
    answers = GraphRunner(model).run(inputs)
    if found.quantized:
        gate = _QUANTIZED_GATE
        rounding = read_graph(parsed, where=str(source), keep_rounding=True)
        answers = _run_unoptimised(rounding, specs, inputs)
    what = f"tflite source → graph ({source.name})"
    require_parity(outputs, answers, what=what, max_rel=gate[0], min_cosine=gate[1])
    if found.quantized:
        _require_steps(found.outputs, outputs, answers, what=what)
    return Imported(
        kind="tflite",
        model=model,
        probe_inputs=inputs,
        probe_outputs=outputs,
        route=("tflite reader",),
        notes=_notes(found),
        quantized=bool(found.quantized or found.weights),
    )


def _representable(array: NDArray[Any], entry: Boundary, *, drawn: bool, seed: int) -> NDArray[Any]:
    """Return inputs that the file's integers can hold exactly; drawn ones cover the whole range."""
    assert entry.quantization is not None
    limits = np.iinfo(entry.dtype)
    scale, zero_point = float(entry.quantization.scale[0]), int(entry.quantization.zero_point[0])
    if drawn:
        stored = np.random.default_rng(seed).integers(limits.min, limits.max, array.shape, endpoint=True)
    else:
        stored = np.clip(np.rint(array / scale) + zero_point, limits.min, limits.max).astype(np.int64)
    return np.asarray((stored - zero_point) * scale, np.float32)


def _require_steps(
    boundaries: Sequence[Boundary],
    outputs: Mapping[str, NDArray[Any]],
    answers: Mapping[str, NDArray[Any]],
    *,
    what: str,
) -> None:
    """Hold quantized outputs against the file in steps of their own.

    Raises:
        ParityError: an output that is more than `_MOST_STEPS` away.
    """
    for entry in boundaries:
        if entry.quantization is None or np.dtype(entry.dtype).itemsize > 1:
            continue
        step = float(entry.quantization.scale[0])
        away = float(np.abs(np.subtract(outputs[entry.name], answers[entry.name], dtype=np.float64)).max()) / step
        if away > _MOST_STEPS + 0.5:
            raise ParityError(
                f"{what}: the output {entry.name!r} is {away:.0f} of its 256 steps away from LiteRT's; "
                f"{_MOST_STEPS} are allowed, because integer kernels round in other places.",
                hint="Convert the model from its source instead.",
            )


def _run_unoptimised(
    found: ReadGraph, specs: Sequence[TensorSpec], inputs: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Run a graph with rounding as it stands.

    Even at its basic level ONNX Runtime quantizes float weights that lie between Q and DQ nodes anew, with other
    scales than the file's.
    """
    runtime = require("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(found.proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in found.outputs]
    arrays = run_in_pieces(specs, inputs, lambda feed: list(session.run(names, dict(feed))))
    return dict(zip(names, arrays, strict=True))


def _run(source: Path, found: ReadGraph, inputs: Mapping[str, NDArray[Any]], workdir: Path) -> dict[str, NDArray[Any]]:
    names = save_arrays(workdir / "probe_inputs.npz", inputs)
    request = {"path": str(source.resolve()), "folder": str(workdir.resolve()), "inputs": names}
    answer = run_in_child(
        "edgeai_converters.sources.tflite_probe:run_file", request, workdir=workdir, what=f"LiteRT reading {source}"
    )
    arrays = load_arrays(workdir / "probe_outputs.npz", answer["outputs"]).values()
    return dict(zip((entry.name for entry in found.outputs), arrays, strict=True))


def _notes(found: ReadGraph) -> tuple[str, ...]:
    notes = []
    if found.quantized:
        notes.append(
            "already quantized: dequantized to float; what was rounded away does not come back, "
            "so start from the float model if there is one"
        )
    elif found.weights:
        notes.append(f"weights were stored as {', '.join(found.weights)}: brought back to float32")
    stored = [entry for entry in (*found.inputs, *found.outputs) if entry.dtype != entry.graph_dtype]
    notes.extend(_boundary_note(entry) for entry in stored)
    return tuple(notes)


def _boundary_note(entry: Boundary) -> str:
    assert entry.quantization is not None
    scale, zero_point = float(entry.quantization.scale[0]), int(entry.quantization.zero_point[0])
    real = f"real = (stored - {zero_point}) * {scale:g}"
    return f"{entry.name!r} is {entry.dtype} in the file and float32 in the graph: {real}"

"""OpenVINO IR as a source: our own reader, held against OpenVINO running the file, both in a child process.

Quantized models (with FakeQuantize) become float graphs: what was rounded away when they were made does not come back.
The reader is checked twice then: with the model's rounding against the file, and without it against OpenVINO running
the model without its rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from edgeai_converters.graph.boundary import set_layout
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import require_parity
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.shapes import fix_shapes
from edgeai_converters.inspection.openvino import inspect_openvino
from edgeai_converters.require import require
from edgeai_converters.sources.child import run_in_child
from edgeai_converters.sources.imported import Imported
from edgeai_converters.sources.probe import load_arrays, run_in_pieces, save_arrays
from edgeai_runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLOAT_GATE = (1e-3, 0.9999)
_ROUNDED_GATE = (0.1, 0.99)
"""For the graph with the model's rounding: a value at the border of two steps falls to either side."""
_WORDS = {"f16": "float16", "bf16": "bfloat16", "i8": "int8", "u8": "uint8", "i4": "int4", "u4": "uint4"}


def import_openvino(
    source: Path,
    *,
    workdir: Path,
    samples: Mapping[str, NDArray[Any]] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
) -> Imported:
    """Bring an OpenVINO IR to the graph, with OpenVINO's outputs on the file itself.

    Args:
        source: the `.xml`, with its `.bin` beside it.
        workdir: an existing folder for the ONNX file, probe files and the log of the child.
        samples: arrays `[n, …]` ready for the model, by input name; drawn when not given.
        input_shapes: shapes by input name for free dimensions.
        seed: seed of drawn inputs.

    Returns:
        A float graph with the names, layouts and free dimensions of the model.

    Raises:
        ModelError: the XML is foreign or damaged, the `.bin` is missing or cut off, or OpenVINO does not run the model.
        UnsupportedOperationError: operations that the reader does not have, all of them.
        ParityError: the graph does not answer as OpenVINO does.
        MissingEngineError: OpenVINO is not installed.
    """
    inspect_openvino(source)  # refuses what is foreign, damaged or incomplete
    shapes = {name: [int(size) for size in shape] for name, shape in (input_shapes or {}).items()}
    request = {
        "path": str(source.resolve()),
        "folder": str(workdir.resolve()),
        "samples": save_arrays(workdir / "samples.npz", samples) if samples is not None else None,
        "input_shapes": shapes,
        "seed": seed,
    }
    task = "edgeai_converters.sources.openvino_child:convert_file"
    answer = run_in_child(task, request, workdir=workdir, what=f"OpenVINO reading {source}")
    names = {side: [str(each["name"]) for each in answer[side]] for side in ("inputs", "outputs")}
    inputs = load_arrays(workdir / "probe_inputs.npz", names["inputs"])
    model = fix_shapes(prepare_graph(onnx.load(str(workdir / "openvino.onnx")), what=str(source)), shapes)
    for each in (*answer["inputs"], *answer["outputs"]):
        if each["layout"]:
            set_layout(model, each["name"], each["layout"])
    outputs = load_arrays(workdir / "probe_outputs.npz", names["outputs"])
    reference = outputs
    if answer["quantized"]:
        reference = load_arrays(workdir / "float_outputs.npz", names["outputs"])
        _check_rounding(answer, inputs, names["outputs"], workdir, source)
    what = f"openvino source → graph ({source.name})"
    integers = any(each["dtype"] != "float32" for each in answer["outputs"])
    max_rel, min_cosine = _ROUNDED_GATE if answer["quantized"] and integers else _FLOAT_GATE
    require_parity(reference, GraphRunner(model).run(inputs), what=what, max_rel=max_rel, min_cosine=min_cosine)
    return Imported(
        kind="openvino",
        model=model,
        probe_inputs=inputs,
        probe_outputs=outputs,
        route=("openvino reader",),
        notes=_notes(answer),
        quantized=bool(answer["quantized"]),
    )


def _check_rounding(
    answer: Mapping[str, Any], inputs: Mapping[str, NDArray[Any]], outputs: list[str], workdir: Path, source: Path
) -> None:
    """Hold the graph that keeps the model's rounding against OpenVINO running the file in float arithmetic."""
    runtime = require("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL  # it would round once more
    session = runtime.InferenceSession(str(workdir / "rounding.onnx"), options, providers=["CPUExecutionProvider"])
    specs = [
        TensorSpec(name=each["name"], shape=tuple(each["shape"]), dtype=each["dtype"]) for each in answer["inputs"]
    ]
    arrays = run_in_pieces(specs, inputs, lambda feed: list(session.run(outputs, dict(feed))))
    require_parity(
        load_arrays(workdir / "rounding_outputs.npz", outputs),
        dict(zip(outputs, arrays, strict=True)),
        what=f"openvino source → graph with its rounding ({source.name})",
        max_rel=_ROUNDED_GATE[0],
        min_cosine=_ROUNDED_GATE[1],
    )


def _notes(answer: Mapping[str, Any]) -> tuple[str, ...]:
    notes = []
    stored = ", ".join(_WORDS.get(word, word) for word in answer["weights"])
    if answer["quantized"]:
        notes.append(
            "already quantized: dequantized to float; what was rounded away does not come back, "
            "so start from the float model if there is one"
        )
    elif stored:
        notes.append(f"weights were stored as {stored}: brought back to float32")
    notes.extend(
        f"{each['name']!r} is {_WORDS.get(each['stored'], each['stored'])} in the file and float32 in the graph"
        for each in (*answer["inputs"], *answer["outputs"])
        if each["stored"] in ("f16", "bf16", "f64")
    )
    return tuple(notes)

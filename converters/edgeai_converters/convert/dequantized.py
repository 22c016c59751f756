"""Sources that are quantized already, on their way to a float precision: dequantized, and told how far that is away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import measure_parity
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.quantize.carry_over import carry_over_tflite
from edgeai_converters.quantize.quantized_source import carry_refusal, dequantize, describe_quantization
from edgeai_converters.quantize.stored_values import boundary_quantization
from edgeai_converters.sources.imported import Imported
from edgeai_runtime.errors import EdgeAIError
from edgeai_runtime.manifest import Format

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEQUANTIZED = (
    "already quantized: dequantized to float; what was rounded away does not come back, so start from the float model "
    "if there is one"
)


def to_float(imported: Imported) -> tuple[Imported, bool]:
    """Return a source as a float graph, and whether it was quantized.

    Sources that come with Q and DQ nodes lose them; integer inputs and outputs are float32 then. The reference of what
    is made from the graph are its own answers, since the rounding cannot be repeated; the notes tell how far they are
    from the source's. Integer operators (QLinearConv) stay as they are.
    """
    if imported.quantized:
        return _told(imported), True
    quantized = describe_quantization(imported.model)
    model, changed = dequantize(imported.model)
    if not changed:
        return imported, False
    meaning = boundary_quantization(imported.model)
    inputs = dict(imported.probe_inputs)
    for before, after in zip(imported.model.graph.inputs, model.graph.inputs, strict=True):
        name = str(before.name)
        if before.dtype != after.dtype:
            stored = inputs[name].astype(np.float32) - meaning[name].zero_point
            inputs[name] = np.asarray(stored * meaning[name].scale, np.float32)
    outputs = dict(imported.probe_outputs)
    for before, after in zip(imported.model.graph.outputs, model.graph.outputs, strict=True):
        name = str(before.name)
        if before.dtype != after.dtype and name in meaning:
            stored = outputs[name].astype(np.float32) - meaning[name].zero_point
            outputs[name] = np.asarray(stored * meaning[name].scale, np.float32)
    note = DEQUANTIZED if quantized.form == "static" else "weights were stored as integers: brought back to float32"
    made = Imported(
        kind=imported.kind,
        model=model,
        probe_inputs=inputs,
        probe_outputs=outputs,
        route=imported.route,
        notes=(*imported.notes, note),
        quantized=True,
    )
    return _told(made), True


def carry_hint(source: Path | object, before: ir.Model, format: Format) -> str:
    """Return what `--precision int8` would do with a quantized source; empty for what is not rounded in activations.

    Args:
        source: its file.
        before: the graph as it was imported; that of a TFLite file is float already.
        format: what it shall become.
    """
    if not isinstance(source, Path):
        return ""
    try:
        model = carry_over_tflite(source) if source.suffix == ".tflite" else simplify(before)[0]
        reason = carry_refusal(model, format)
    except EdgeAIError as error:
        model, reason = before, error.message
    if reason is None and describe_quantization(model).form != "static":
        return ""
    if reason is None:
        return "--precision int8 carries the source's integers over instead"
    return f"the source's integers cannot be carried over into {format}: {reason}"


def _told(imported: Imported) -> Imported:
    """Add how far the float graph's answers are from those of the source."""
    answers: dict[str, NDArray[Any]] = GraphRunner(imported.model).run(imported.probe_inputs)
    parity = measure_parity(imported.probe_outputs, answers)
    note = (
        f"the float graph answers {parity.max_rel:.2g} of the range away from the quantized source (cosine "
        f"{parity.cosine:.4f}, inputs drawn over the whole range unless samples were given)"
    )
    return Imported(
        kind=imported.kind,
        model=imported.model,
        probe_inputs=imported.probe_inputs,
        probe_outputs=imported.probe_outputs,
        route=imported.route,
        notes=(*imported.notes, note),
        quantized=True,
    )

"""The ways from each kind of source to the graph, in the order they are tried: one literal table.

A way that refuses an operation, crashes, or whose graph does not answer as the source does, leads to the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeai_converters.sources.imported import SourceKind


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way from a kind of source to the graph.

    Attributes:
        name: what its adapter calls it.
        steps: the steps, for reports.
        extra: the extra that installs what it needs; empty when nothing more is needed.
    """

    name: str
    steps: tuple[str, ...]
    extra: str = ""


WAYS: dict[SourceKind, tuple[Way, ...]] = {
    "keras": (
        Way(name="tf2onnx", steps=("keras", "tf2onnx"), extra="keras"),
        Way(name="tflite", steps=("keras", "tensorflow lite", "tflite reader"), extra="keras"),
    ),
    "saved_model": (
        Way(name="tf2onnx", steps=("saved model", "freeze", "tf2onnx"), extra="keras"),
        Way(name="tflite", steps=("saved model", "freeze", "tensorflow lite", "tflite reader"), extra="keras"),
    ),
    "frozen_graph": (
        Way(name="tf2onnx", steps=("frozen graph", "tf2onnx"), extra="keras"),
        Way(name="tflite", steps=("frozen graph", "tensorflow lite", "tflite reader"), extra="keras"),
    ),
    "torch": (
        Way(name="export", steps=("torch.export", "torch.onnx"), extra="torch"),
        Way(name="trace", steps=("torch.jit.trace", "torch.onnx (TorchScript)"), extra="torch"),
    ),
    "torchscript": (
        Way(name="script", steps=("torchscript", "torch.onnx (TorchScript)"), extra="torch"),
        Way(name="record", steps=("torchscript", "recorded operations", "torch.onnx"), extra="torch"),
    ),
    "onnx": (Way(name="onnx", steps=("onnx",)),),
    "tflite": (Way(name="tflite", steps=("tflite reader",), extra="tflite"),),
    "openvino": (Way(name="openvino", steps=("openvino reader",), extra="openvino"),),
}
"""Kind of source → its ways, the first to try first."""


def ways_of(kind: SourceKind) -> tuple[Way, ...]:
    """Return the ways of a kind of source, the first to try first; a kind that is not in the table knows one.

    >>> [way.name for way in ways_of("torchscript")]
    ['script', 'record']
    """
    return WAYS.get(kind, (Way(name=kind, steps=(kind,)),))

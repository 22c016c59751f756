"""What every source adapter gives back: the float graph, and outputs of the source's own engine to hold it against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

SourceKind = str
"""`keras`, `torch`, `onnx`, `tflite`, …"""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A source brought to the graph, not yet simplified.

    Attributes:
        kind: the kind of source.
        model: the float graph: ONNX opset 18 or newer, input and output names and layout of the source.
        probe_inputs: the inputs the source was run on, by input name, `[n, …]`.
        probe_outputs: what the source's own engine answered, by output name.
        route: the steps taken, for reports (`tf2onnx`, `torch.onnx`, …).
        notes: what a user should know.
        quantized: whether the source was quantized already: the float graph then answers only nearly as its engine
            does, and what is made from the graph is held against the graph.
    """

    kind: SourceKind
    model: ir.Model
    probe_inputs: dict[str, NDArray[np.generic]]
    probe_outputs: dict[str, NDArray[Any]]
    route: tuple[str, ...]
    notes: tuple[str, ...] = ()
    quantized: bool = False

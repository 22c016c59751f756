"""Raising the opset of a graph that is at 18 or newer, to say operators that came later."""

from __future__ import annotations

import onnx_ir as ir

_NEWEST = 21
_CHANGED = {"GridSample": 20, "DFT": 20, "AffineGrid": 20, "GroupNormalization": 21}
"""Operators whose meaning or form changed after opset 18, and in which; of others newer versions only allow more."""


def can_raise_opset(model: ir.Model, version: int = 20) -> bool:
    """Tell whether the graph, functions aside, means the same at opset `version`."""
    now = model.graph.opset_imports.get("", version)
    return not any(now < _CHANGED.get(node.op_type, 0) <= version for node in model.graph)


def raise_opset(model: ir.Model, version: int) -> None:
    """Raise the opset of the default domain to `version` (at most 21), in place; a newer one stays.

    Precondition: `can_raise_opset(model, version)`.
    """
    assert version <= _NEWEST
    if model.graph.opset_imports.get("", version) < version:
        model.graph.opset_imports[""] = version

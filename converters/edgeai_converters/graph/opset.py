"""Raising the opset of a graph that is at 18 or newer, to say operators that came later."""

from __future__ import annotations

import onnx_ir as ir

_NEWEST = 20
_CHANGED = frozenset({"GridSample", "DFT", "AffineGrid"})
"""Operators whose meaning or form changed between opset 18 and 20; of all others the newer versions only allow more."""


def can_raise_opset(model: ir.Model) -> bool:
    """Tell whether the graph means the same at opset 20."""
    return not any(node.op_type in _CHANGED for node in model.graph)


def raise_opset(model: ir.Model, version: int) -> None:
    """Raise the opset of the default domain to `version` (at most 20), in place; a newer one stays.

    Precondition: `can_raise_opset(model)`.
    """
    assert version <= _NEWEST
    if model.graph.opset_imports.get("", version) < version:
        model.graph.opset_imports[""] = version

"""The likely cause of a wrong tensor, told from how it differs from the right one: words for an error message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPATIAL = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "Pad", "Resize", "LpPool")
_LARGEST_FLOAT16 = 65504.0
_SMALL = 0.02
"""Errors below this share of the range, spread over a tensor, look like rounding."""


def likely_cause(node: ir.Node, expected: NDArray[Any], received: NDArray[Any]) -> str:
    """Say what most likely went wrong where a node's output differs and its inputs do not.

    Args:
        node: the node in the graph.
        expected: what the graph computes, `[n, …]`; maps are `[N, C, H, W]`.
        received: what the conversion computes.
    """
    if expected.shape != received.shape:
        return f"shape: {list(received.shape)} instead of {list(expected.shape)}"
    a, b = expected.astype(np.float64), received.astype(np.float64)
    if np.isfinite(a).all() and not np.isfinite(b).all():
        reason = "float16 overflows there" if np.abs(a).max() > _LARGEST_FLOAT16 else "a division, root or logarithm"
        return f"NaN or infinity in {int((~np.isfinite(b)).sum())} of {b.size} elements: {reason}"
    error = np.abs(a - b)
    peak = float(np.abs(a).max()) or 1.0
    large = error > max(float(error.max()) * 0.1, 1e-6 * peak)
    if node.op_type in _SPATIAL and a.ndim == 4 and _is_at_the_border(large):
        return f"padding: only elements at the border differ ({_attributes(node)})"
    shift = _shift(a, b, peak) if node.op_type in _SPATIAL and a.ndim == 4 else None
    if shift is not None:
        return f"padding: the map is moved by {shift[0]} rows and {shift[1]} columns ({_attributes(node)})"
    if _is_reordered(a, b):
        return "layout: the same numbers in another order"
    if np.allclose(np.maximum(a, 0), b, atol=1e-4 * peak) or np.allclose(a, np.maximum(b, 0), atol=1e-4 * peak):
        return "an activation was fused that is not there, or one was lost"
    fitted = _fitted(a, b, peak)
    if fitted is not None:
        return (
            f"an attribute or constant read another way: about {fitted[0]:.4g} times the right value {fitted[1]:+.4g}"
        )
    if float(error.max()) < _SMALL * peak:
        return "precision: small errors all over the tensor, as rounded weights or activations give"
    listed = _attributes(node)
    if node.op_type in _SPATIAL and listed:
        return f"padding, strides or another attribute read another way ({listed})"
    return f"an attribute that is not supported or read another way ({listed})" if listed else "the operator's kernel"


def _is_at_the_border(large: NDArray[Any]) -> bool:
    """Whether all large errors lie in the outer ring of the maps, and the maps have an inside."""
    height, width = large.shape[2:]
    if height < 5 or width < 5 or not large.any():
        return False
    ring = max(1, min(height, width) // 5)
    return not large[:, :, ring : height - ring, ring : width - ring].any()


def _shift(a: NDArray[Any], b: NDArray[Any], peak: float) -> tuple[int, int] | None:
    """Return by how many rows and columns the inside of a map was moved, up to 2 either way."""
    height, width = a.shape[2:]
    if height < 7 or width < 7:
        return None
    inside = b[:, :, 2:-2, 2:-2]
    for rows in range(-2, 3):
        for columns in range(-2, 3):
            moved = a[:, :, 2 - rows : height - 2 - rows, 2 - columns : width - 2 - columns]
            if np.ptp(inside) > 0 and np.abs(moved - inside).max() < 1e-3 * peak and (rows or columns):
                return rows, columns
    return None


def _is_reordered(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether each sample holds the same numbers in another order."""
    if a.ndim < 2 or np.ptp(a) == 0:
        return False
    left, right = np.sort(a.reshape(len(a), -1)), np.sort(b.reshape(len(b), -1))
    return bool(np.allclose(left, right, rtol=1e-4, atol=1e-4 * float(np.abs(a).max())))


def _fitted(a: NDArray[Any], b: NDArray[Any], peak: float) -> tuple[float, float] | None:
    """Return factor and offset when the wrong tensor is the right one scaled and shifted."""
    if a.size < 8 or np.ptp(a) == 0:
        return None
    factor, offset = np.polyfit(a.reshape(-1), b.reshape(-1), 1)
    if np.abs(factor * a + offset - b).max() > 1e-3 * peak:
        return None
    return float(factor), float(offset)


def _attributes(node: ir.Node) -> str:
    return ", ".join(f"{name}={attribute.value}" for name, attribute in node.attributes.items())

"""Between a manifest's tensors and an artifact's own: quantization, dtype and layout, worked out once at load.

A variant may take int8 where the manifest says float32, or NHWC where it says NCHW. Each difference becomes one
function on arrays; where there is none, there is no function and nothing to pay for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgeai_runtime.engines.protocol import Session
from edgeai_runtime.errors import BundleError
from edgeai_runtime.manifest import Quantization, TensorSpec, Variant
from edgeai_runtime.record import replace

Adapter = Callable[[Any], Any]


Run = Callable[[Sequence[Any]], list[Any]]


def connect(
    session: Session, variant: Variant | None, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> Run:
    """Return a function that runs `session` on arrays as in `inputs` and gives arrays as in `outputs`.

    It is `session.run` itself when nothing lies between them: the same tensors in the same order.

    Args:
        session: the loaded artifact.
        variant: says the artifact's own tensors in the order of `inputs` and `outputs`; `None` for a bare artifact.
        inputs: the manifest's inputs (a bare artifact's own).
        outputs: the manifest's outputs.

    Raises:
        BundleError: the manifest and the artifact do not fit together.
    """
    if variant is None:
        return session.run
    places_in = _places(variant.inputs, session.inputs, "inputs")
    places_out = _places(variant.outputs, session.outputs, "outputs")
    before = [
        input_adapter(outer, _merged(own, session.inputs[place]))
        for outer, own, place in zip(inputs, variant.inputs, places_in, strict=True)
    ]
    after = [
        output_adapter(_merged(own, session.outputs[place]), outer)
        for outer, own, place in zip(outputs, variant.outputs, places_out, strict=True)
    ]
    in_order = places_in == list(range(len(inputs))) and places_out == list(range(len(session.outputs)))
    if in_order and not any(before) and not any(after):
        return session.run

    def run(arrays: Sequence[Any]) -> list[Any]:
        own: list[Any] = [None] * len(arrays)
        for array, adapt, place in zip(arrays, before, places_in, strict=True):
            own[place] = adapt(array) if adapt is not None else array
        results = session.run(own)
        return [
            adapt(results[place]) if adapt is not None else results[place]
            for adapt, place in zip(after, places_out, strict=True)
        ]

    return run


def input_adapter(outer: TensorSpec, inner: TensorSpec) -> Adapter | None:
    """Return what turns an array as in `outer` (the manifest) into one as in `inner` (the artifact), or `None`.

    Real values are quantized as `clip(round(x / scale) + zero_point)`, ties to even.

    Raises:
        BundleError: there is no way from one to the other.
    """
    return _join(_transpose(outer, inner), _convert(outer, inner))


def output_adapter(inner: TensorSpec, outer: TensorSpec) -> Adapter | None:
    """Return what turns an array as in `inner` (the artifact) into one as in `outer` (the manifest), or `None`.

    Raises:
        BundleError: there is no way from one to the other.
    """
    return _join(_convert(inner, outer), _transpose(inner, outer))


def _join(first: Adapter | None, second: Adapter | None) -> Adapter | None:
    if first is None or second is None:
        return first or second
    return lambda array: second(first(array))


def _transpose(source: TensorSpec, target: TensorSpec) -> Adapter | None:
    have, want = source.layout, target.layout
    if have is None or want is None or have == want:
        return None
    if sorted(have) != sorted(want) or len(have) != len(source.shape):
        raise BundleError(f"tensor {source.name!r} has layout {have}, {target.name!r} has {want}: no transpose fits")
    axes = tuple(have.index(letter) for letter in want)
    return lambda array: np.ascontiguousarray(array.transpose(axes))


def _convert(source: TensorSpec, target: TensorSpec) -> Adapter | None:
    have, want = np.dtype(source.dtype), np.dtype(target.dtype)
    if have == want and (
        source.quantization == target.quantization or None in (source.quantization, target.quantization)
    ):
        return None
    if have.kind == "f" and want.kind in "iu" and target.quantization is not None:
        return _quantize(target.quantization, want)
    if have.kind in "iu" and want.kind == "f" and source.quantization is not None:
        return _dequantize(source.quantization, want)
    if source.quantization is not None and target.quantization is not None and have.kind in "iu" and want.kind in "iu":
        return _join(_dequantize(source.quantization, np.dtype(np.float32)), _quantize(target.quantization, want))
    if have.kind == want.kind or (have.kind in "iub" and want.kind in "fiu"):
        return lambda array: array.astype(want)
    raise BundleError(
        f"tensor {source.name!r} is {source.dtype} and {target.name!r} is {target.dtype}, without a scale between them"
    )


def _quantize(quantization: Quantization, dtype: np.dtype[Any]) -> Adapter:
    limits = np.iinfo(dtype)
    scale, zero_point = np.float32(quantization.scale), np.float32(quantization.zero_point)

    def quantize(array: Any) -> Any:
        stored = np.rint(array / scale)
        stored += zero_point
        return np.clip(stored, limits.min, limits.max, out=stored).astype(dtype)

    return quantize


def _dequantize(quantization: Quantization, dtype: np.dtype[Any]) -> Adapter:
    scale, zero_point = dtype.type(quantization.scale), dtype.type(quantization.zero_point)

    def dequantize(array: Any) -> Any:
        real = array.astype(dtype)
        real -= zero_point
        real *= scale
        return real

    return dequantize


def _places(own: Sequence[TensorSpec], engine: Sequence[TensorSpec], what: str) -> list[int]:
    """Return, for each of a variant's own tensors, its place among the engine's: by name, else by position."""
    names = [spec.name for spec in engine]
    if all(spec.name in names for spec in own) and len(set(names)) == len(names):
        return [names.index(spec.name) for spec in own]
    if len(own) != len(engine):
        listed = ", ".join(spec.name for spec in own)
        raise BundleError(f"the manifest lists the {what} {listed}; the artifact has {', '.join(names)}")
    return list(range(len(own)))


def _merged(own: TensorSpec, engine: TensorSpec) -> TensorSpec:
    """Return the artifact's tensor: dtype as the engine says, layout and quantization as the manifest says."""
    return replace(own, dtype=engine.dtype, quantization=own.quantization or engine.quantization)

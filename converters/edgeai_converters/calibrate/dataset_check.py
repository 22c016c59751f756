"""Check prepared samples against a model's input, and say which preprocessing would make them fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import Step, TensorSpec

_SHOWN = 5
_FIXES: tuple[tuple[str, tuple[int, ...]], ...] = (("NHWC>NCHW", (2, 0, 1)), ("NCHW>NHWC", (1, 2, 0)))


def sample_fits(shape: Sequence[int], spec: TensorSpec) -> bool:
    """Say whether one sample of this shape (without the batch axis) fits the input; free dimensions take anything."""
    wanted = spec.shape[1:]
    return len(shape) == len(wanted) and all(
        most is None or size == most for size, most in zip(shape, wanted, strict=True)
    )


def check_shape(array: NDArray[Any], spec: TensorSpec, *, raw: NDArray[Any], steps: Sequence[Step], where: str) -> None:
    """Raise `DataError` when prepared samples `[n, …]` do not have the shape of the input.

    The message gives both shapes; the hint gives the preprocessing that would mend it, where there is one.
    """
    shape = array.shape[1:]
    if sample_fits(shape, spec):
        return
    after = f" (from {_text(raw.shape[1:])} by {_names(steps)})" if steps else ""
    raise DataError(
        f"{where}: samples for the input {spec.name} have shape {_text(shape)}{after}, "
        f"the model takes {_text(spec.shape[1:])} (both without the batch axis).",
        hint=_fix(shape, spec, bool(steps)),
    )


def cast_samples(array: NDArray[Any], spec: TensorSpec, *, steps: Sequence[Step], where: str) -> NDArray[Any]:
    """Return samples in the dtype of the input when no value changes its meaning.

    Numbers of any kind go to a float input as they are (no scaling). Integers go to an integer input when all values
    are in its range. Fractions never go to an integer input.

    Raises:
        DataError: the dtype does not fit.
    """
    wanted = np.dtype(spec.dtype)
    if array.dtype == wanted:
        return array
    after = f" after {_names(steps)}" if steps else ""
    if wanted.kind == "f" and array.dtype.kind in "biuf":
        return array.astype(wanted)
    if wanted.kind in "iu" and array.dtype.kind in "biu":
        limits = np.iinfo(wanted)
        if array.size == 0 or (int(array.min()) >= limits.min and int(array.max()) <= limits.max):
            return array.astype(wanted)
        raise DataError(
            f"{where}: values of the input {spec.name} go from {array.min()} to {array.max()}{after}, "
            f"the model takes {wanted} ({limits.min} to {limits.max}).",
            hint='Bring them into range with --preprocess, such as "scale:factor=1,offset=-128;cast:int8".',
        )
    raise DataError(
        f"{where}: samples for the input {spec.name} are {array.dtype}{after}, the model takes {wanted}.",
        hint=f'Give values of that type, or end --preprocess with "cast:{wanted}".',
    )


def check_finite(
    array: NDArray[Any], indices: NDArray[np.int64], *, name: str, sample_name: Callable[[int], str]
) -> None:
    """Raise `DataError` naming the samples of `[n, …]` (whose numbers are `indices`) that hold NaN or infinity."""
    if array.dtype.kind != "f":
        return
    bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if bad.any():
        raise not_finite(name, [sample_name(int(index)) for index in indices[bad]])


def not_finite(name: str, samples: Sequence[str]) -> DataError:
    """Return the error that names the samples of input `name` with NaN or infinite values."""
    more = f" and {len(samples) - _SHOWN} more" if len(samples) > _SHOWN else ""
    shown = ", ".join(samples[:_SHOWN])
    return DataError(
        f"The input {name} has NaN or infinite values in {len(samples)} sample(s): {shown}{more}.",
        hint="Remove or repair these samples; a division by zero while they were made is the usual cause.",
    )


def shape_candidates(shape: Sequence[int], spec: TensorSpec) -> list[tuple[int, ...]]:
    """Return the shapes that one raw sample may be read as, the given one first: axes of length 1 come and go."""
    raw = tuple(shape)
    squeezed = tuple(size for size in raw if size != 1)
    wanted = spec.shape[1:]
    candidates = [raw]
    if squeezed == tuple(size for size in wanted if size != 1) and None not in wanted:
        candidates.append(tuple(size for size in wanted if size is not None))
    candidates += [(*raw, 1), (1, *raw), squeezed]
    return list(dict.fromkeys(candidates))


def _fix(shape: Sequence[int], spec: TensorSpec, has_steps: bool) -> str:
    lead = "Append to --preprocess" if has_steps else "Give --preprocess"
    for text, order in _FIXES:
        if len(shape) != 3:
            break
        moved = [shape[axis] for axis in order]
        layout = text[:4]
        if sample_fits(moved, spec):
            return f'{lead} "layout:{text}".'
        resized = _resize(shape, spec, layout, order)
        if resized:
            return f'{lead} "{resized};layout:{text}".'
    if len(shape) == 3:
        for layout in ("NHWC", "NCHW"):
            resized = _resize(shape, spec, layout, (0, 1, 2))
            if resized:
                return f'{lead} "{resized}".'
    size = [most for most in spec.shape[1:] if most is not None]
    if len(size) == len(spec.shape) - 1 and int(np.prod(size)) == int(np.prod(shape)):
        return f"The number of values is right: save the samples reshaped to {_text([-1, *size])}."
    return "Check that the data belong to this model, or bring them to its shape with --preprocess."


def _resize(shape: Sequence[int], spec: TensorSpec, layout: str, order: Sequence[int]) -> str | None:
    """Return the resize step after which axes taken in `order` fit the input, when only height and width differ."""
    wanted: list[int | None] = [None, None, None]
    if len(spec.shape) != 4:
        return None
    for position, axis in enumerate(order):
        wanted[axis] = spec.shape[1 + position]
    channel = layout.index("C") - 1
    height, width = wanted[layout.index("H") - 1], wanted[layout.index("W") - 1]
    if height is None or width is None or wanted[channel] not in (None, shape[channel]):
        return None
    return f"resize:height={height},width={width},method=bilinear,layout={layout}"


def _names(steps: Sequence[Step]) -> str:
    return ", ".join(step.op for step in steps)


def _text(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"

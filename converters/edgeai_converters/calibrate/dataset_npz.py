"""Samples from a `.npz` file: `x` and `y`, or arrays named like the model's inputs and `y`.

Which arrays are taken is decided in `samples.py`. Files are opened without pickle. A large array that is stored
uncompressed (`numpy.savez`) is memory-mapped, so memory does not grow with the file; a compressed one is read whole.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from edgeai_converters.calibrate.samples import ArraySamples, choose_arrays
from edgeai_converters.calibrate.samples_labels import index_class_names
from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import TensorSpec

_MAP_FROM_BYTES = 32 * 2**20
_CLASS_NAMES = ("labels", "class_names", "classes")
_ZIP_LOCAL_HEADER_BYTES = 30


def read_npz(
    path: Path,
    *,
    selection: str | None,
    inputs: Sequence[TensorSpec],
    key_suffix: str | None,
    class_names: Sequence[str],
) -> ArraySamples:
    """Open `path` and take the arrays that feed `inputs`, and the labels when there are any.

    An array of strings named `labels`, `class_names` or `classes` gives the names of the classes.

    Raises:
        DataError: not a readable `.npz`, no array for an input, Python objects inside, unequal lengths.
    """
    where = str(path)
    with path.open("rb") as file:  # numpy leaves a file that it opened itself open when it is no archive
        try:
            archive = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{where} ({path.stat().st_size} bytes) is not a .npz file that numpy can read: {error}",
                hint="Write it with numpy.savez(path, x=inputs, y=labels).",
            ) from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(
                f"{where} holds a single array, not a .npz archive.",
                hint="Write it with numpy.savez(path, x=inputs, y=labels).",
            )
        with archive:
            chosen = choose_arrays(
                archive.files, inputs=inputs, selection=selection, key_suffix=key_suffix, where=where
            )
            arrays = {name: _load(path, archive, array) for name, array in chosen.inputs.items()}
            labels = _load(path, archive, chosen.labels) if chosen.labels else None
            names = tuple(class_names) or _class_names(archive, chosen.labels)
            notes = _quantization_note(path, archive, arrays)
    if labels is None:
        notes.append(f"{where}: no labels (no array y).")
    elif labels.dtype.kind in "US":
        labels, names = index_class_names([str(value) for value in labels], class_names=names, where=where)
    return ArraySamples(where=where, arrays=arrays, labels=labels, class_names=names, notes=tuple(notes))


def _load(path: Path, archive: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    mapped = _map_stored(path, name)
    if mapped is not None:
        return mapped
    try:
        return archive[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        why = "it holds Python objects" if "pickle" in str(error) else str(error)
        raise DataError(
            f"{path}: the array {name} cannot be read: {why}",
            hint="Write it again from arrays of numbers: numpy.savez(path, x=inputs, y=labels).",
        ) from error


def _map_stored(path: Path, name: str) -> NDArray[Any] | None:
    """Memory-map a large member that is stored uncompressed; `None` when it is not such a member."""
    with zipfile.ZipFile(path) as archive:
        info = next((info for info in archive.infolist() if info.filename in (f"{name}.npy", name)), None)
    if info is None or info.compress_type != zipfile.ZIP_STORED or info.file_size < _MAP_FROM_BYTES:
        return None
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_ZIP_LOCAL_HEADER_BYTES)
        name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
        file.seek(info.header_offset + _ZIP_LOCAL_HEADER_BYTES + name_bytes + extra_bytes)
        read_header = {
            (1, 0): npy_format.read_array_header_1_0,
            (2, 0): npy_format.read_array_header_2_0,
        }.get(npy_format.read_magic(file))
        if read_header is None:
            return None
        shape, fortran_order, dtype = read_header(file)
        if dtype.hasobject:
            return None
        array: NDArray[Any] = np.memmap(
            path, dtype=dtype, mode="r", offset=file.tell(), shape=shape, order="F" if fortran_order else "C"
        )
        return array


def _class_names(archive: Mapping[str, NDArray[Any]], labels: str | None) -> tuple[str, ...]:
    for name in _CLASS_NAMES:
        if name in archive and name != labels:
            try:
                array = archive[name]
            except ValueError:  # Python objects: not ours to read, and not needed
                continue
            if array.dtype.kind == "U" and array.ndim == 1:
                return tuple(str(value) for value in array)
    return ()


def _quantization_note(
    path: Path, archive: Mapping[str, NDArray[Any]], arrays: Mapping[str, NDArray[Any]]
) -> list[str]:
    """Say that `scale` and `zero_point` stored beside integers are not applied, and the steps that would do it."""
    integers = [name for name, array in arrays.items() if array.dtype.kind in "iu"]
    if not integers or "scale" not in archive or "zero_point" not in archive:
        return []
    scale, zero_point = archive["scale"], archive["zero_point"]
    if scale.size != 1 or zero_point.size != 1:
        return []
    factor = float(scale.reshape(-1)[0])
    offset = -factor * float(zero_point.reshape(-1)[0])
    return [
        f"{path}: scale and zero_point accompany the integers of {', '.join(integers)} and are not applied; "
        f'for a float model give --preprocess "cast:float32;scale:factor={factor:.9g},offset={offset:.9g}".'
    ]

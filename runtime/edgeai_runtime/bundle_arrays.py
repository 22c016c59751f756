"""Arrays in a bundle: `.npz` files whose bytes depend on the arrays alone, and a reader that trusts nothing.

`numpy.savez` writes today's time into the file and `numpy.load` allocates what a header claims; neither will do here.
The files are ordinary `.npz`: `numpy.load` reads them.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from edgeai_runtime.errors import BundleError, UsageError

if TYPE_CHECKING:
    import zipfile

FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold
_SUFFIX = ".npy"


def npz_bytes(arrays: Mapping[str, Any]) -> bytes:
    """Return a `.npz` file with `arrays` (name → array of numbers, bools or text), the same bytes for the same arrays.

    Members are stored, sorted by name, with a fixed time; arrays are written in C order, little-endian.

    Raises:
        UsageError: an array of objects, or a name that a zip cannot hold.

    Example:
        >>> npz_bytes({"x": np.zeros(3)}) == npz_bytes({"x": np.zeros(3)})
        True
    """
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(arrays):
            array = np.asarray(arrays[name])
            if array.dtype.kind not in "biufcU":
                raise UsageError(f"the array {name!r} has dtype {array.dtype}; numbers, bools and text can be stored")
            if not name or "\0" in name or "\\" in name:
                raise UsageError(f"an array cannot be called {name!r}")
            little = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
            content = io.BytesIO()
            np.lib.format.write_array(content, little, version=(1, 0), allow_pickle=False)
            archive.writestr(stored_member(name + _SUFFIX), content.getvalue())
    return buffer.getvalue()


def read_npz(file: Path | BinaryIO, *, where: str) -> dict[str, Any]:
    """Read all arrays of a `.npz` file; no pickles, and never more memory than the file has bytes.

    Args:
        file: the file or an open one; its members must be stored, as `npz_bytes` and `numpy.savez` write them.
        where: what the file is, for errors.

    Raises:
        BundleError: not such a file, or damaged.
    """
    import zipfile

    arrays: dict[str, Any] = {}
    with _as_bundle_error(where), zipfile.ZipFile(file) as archive:
        limit = file.stat().st_size if isinstance(file, Path) else file.seek(0, io.SEEK_END)
        for info in archive.infolist():
            name = info.filename[: -len(_SUFFIX)] if info.filename.endswith(_SUFFIX) else info.filename
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > limit or name in arrays:
                raise ValueError(f"the array {name[:80]!r} is compressed, stands twice or is larger than the file")
            arrays[name] = _read_array(archive.read(info))
    return arrays


def read_npy(path: Path, *, where: str) -> Any:
    """Read one array from a `.npy` file, as trusting as `read_npz`.

    Raises:
        BundleError: not such a file, or damaged.
    """
    with _as_bundle_error(where, kind=".npy"):
        return _read_array(path.read_bytes())


def stored_member(name: str) -> zipfile.ZipInfo:
    """Return the zip entry of an uncompressed member that is the same on every system and at any time."""
    import zipfile

    info = zipfile.ZipInfo(name, date_time=FIXED_TIME)
    info.compress_type = zipfile.ZIP_STORED
    info.create_system = 3  # Unix, whatever this system is
    info.external_attr = 0o100644 << 16
    return info


def _read_array(content: bytes) -> Any:
    """Read one `.npy`; the size its header claims is checked before anything is allocated."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"an array in version {version} of the npy format; this reader knows (1, 0)")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    start = file.tell()
    if dtype.kind not in "biufcU":
        raise ValueError(f"an array of dtype {dtype}")
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"an array that claims shape {shape} of {dtype} in {len(content) - start} bytes")
    flat = np.frombuffer(content, dtype=dtype, offset=start)
    if dtype.kind == "U" and flat.size and flat.view(dtype.byteorder + "u4").max() > 0x10FFFF:
        raise ValueError("text with characters that do not exist")
    return flat.reshape(shape, order="F" if fortran_order else "C").copy(order="C")


@contextlib.contextmanager
def _as_bundle_error(where: str, *, kind: str = ".npz") -> Iterator[None]:
    """Turn what a damaged or hostile file makes zip, numpy and the header's parser raise into a `BundleError`."""
    import tokenize
    import zipfile
    import zlib

    try:
        yield
    except (
        *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, TypeError, RuntimeError),
        *(SyntaxError, tokenize.TokenError, OverflowError, MemoryError, LookupError, Warning),
    ) as error:
        raise BundleError(
            f"{where} is not a readable {kind} file: {error}",
            hint="Write it with edgeai_runtime.bundle.npz_bytes." if kind == ".npz" else "Write it with numpy.save.",
        ) from error

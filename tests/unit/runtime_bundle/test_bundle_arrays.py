"""Arrays in bundles."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgeai_runtime.bundle_arrays import npz_bytes, read_npz
from edgeai_runtime.errors import BundleError, UsageError

ARRAYS = {
    "x": np.arange(6, dtype=np.float32).reshape(2, 3),
    "source/p:0": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
    "b": np.array([True, False]),
    "big": np.arange(3, dtype=">f8"),
    "scalar": np.float16(1.5),
    "empty": np.zeros((0, 4), np.uint8),
}


def member(array_file: bytes, name: str = "x.npy", method: int = zipfile.ZIP_STORED) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, array_file)
    return file


def header(text: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data


def test_arrays_come_back_equal() -> None:
    arrays = read_npz(io.BytesIO(npz_bytes(ARRAYS)), where="t")
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_numpy_reads_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(npz_bytes(ARRAYS))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["source/p:0"], ARRAYS["source/p:0"])


def test_a_file_of_numpy_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=ARRAYS["x"])
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npz", where="t")["x"], ARRAYS["x"])


def test_the_bytes_depend_on_the_values_alone() -> None:
    other = {name: np.ascontiguousarray(ARRAYS[name]) for name in reversed(ARRAYS)}
    other["big"] = ARRAYS["big"].astype("<f8")
    other["scalar"] = ARRAYS["scalar"]
    assert npz_bytes(other) == npz_bytes(ARRAYS)


def test_read_arrays_can_be_written_to() -> None:
    read_npz(io.BytesIO(npz_bytes(ARRAYS)), where="t")["x"][0, 0] = 1


def test_text_is_written_and_read() -> None:
    texts = np.array([["one", "zwölf"], ["", "三"]])
    np.testing.assert_array_equal(read_npz(io.BytesIO(npz_bytes({"x": texts})), where="t")["x"], texts)


def test_characters_that_do_not_exist_are_refused() -> None:
    content = npz_bytes({"x": np.array(["ab"])}).replace("b".encode("utf-32-le"), b"\xff\xff\xff\xff")
    broken = io.BytesIO(content)
    with pytest.raises(BundleError, match=r"is not a readable \.npz file"):
        read_npz(broken, where="t")


@pytest.mark.parametrize(
    "array", [np.array([object()]), np.array([b"bytes"]), np.array(["2020-01-01"], "datetime64[D]")]
)
def test_only_numbers_bools_and_text_are_written(array: np.ndarray) -> None:
    with pytest.raises(UsageError, match="numbers, bools and text can"):
        npz_bytes({"x": array})


@pytest.mark.parametrize(
    "file",
    [
        io.BytesIO(b""),
        io.BytesIO(b"PK\x05\x06" + b"\xff" * 18),
        member(b"not an array"),
        member(npz_bytes({"x": np.zeros(9)}), method=zipfile.ZIP_DEFLATED),
        member(header("{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976,), }", b"12345678")),
        member(header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", b"12345678")),
        member(header("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", b"12345678")),
        member(header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", pickle.dumps([1]))),
        member(header("__import__('os').abort()")),
        member(header("(" * 5000)),
        member(header("{")),
        member(b"\x93NUMPY\x09\x00"),
    ],
    ids=range(12),
)
def test_a_hostile_file_is_a_bundle_error(file: io.BytesIO) -> None:
    with pytest.raises(BundleError, match=r"t is not a readable \.npz"):
        read_npz(file, where="t")


def test_an_array_that_claims_another_size_than_it_has_is_named_with_both() -> None:
    file = member(header("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", b"12345678"))
    with pytest.raises(BundleError, match=r"claims shape \(2,\) of float64 in 8 bytes"):
        read_npz(file, where="t")

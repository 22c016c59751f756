"""Look at an artifact's first bytes before an engine sees it: missing, empty, truncated or foreign files."""

from __future__ import annotations

from pathlib import Path

from edgeai_runtime.errors import ModelError
from edgeai_runtime.manifest import Format

_SUFFIXES: dict[str, Format] = {".tflite": "tflite", ".lite": "tflite", ".onnx": "onnx", ".xml": "openvino"}

#: First bytes of files that are often given by mistake.
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive (a .keras or .pt2 file, or a bundle with another name)"),
    (b"\x89HDF", "an HDF5 file (a Keras .h5 model)"),
    (b"\x80\x02", "a Python pickle (an old PyTorch file)"),
    (b"\x7fELF", "a program or shared library"),
    (b"\x1f\x8b", "a gzip file"),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"\x93NUMPY", "a numpy array"),
    (b"\x89PNG", "a PNG image"),
    (b"{", "a JSON document"),
)


def format_of(path: Path) -> Format:
    """Tell the format of the artifact `path` by its name's ending, or by its first bytes when the ending says nothing.

    Raises:
        ModelError: the file is missing or is no artifact that an engine runs.
    """
    head = _read_head(path)
    found = _SUFFIXES.get(path.suffix.lower())
    if found is not None:
        return found
    if head[4:8] == b"TFL3":
        return "tflite"
    raise ModelError(
        f"{path} is {_describe(head)}, not an artifact that an engine runs",
        hint="give a bundle (.edge), or a .tflite, .onnx or .xml (OpenVINO IR) file",
    )


def check_artifact_file(path: Path, format: Format) -> None:
    """Check that `path` exists, is not empty and begins like a file of `format`.

    This is a quick look for a clear message, not a proof that the file is sound: see `isolation.check_in_child`.

    Raises:
        ModelError: it does not.
    """
    head = _read_head(path)
    wrong = {
        "tflite": head[4:8] != b"TFL3",
        "onnx": head[4:8] == b"TFL3" or any(head.startswith(magic) for magic, _ in _FOREIGN),
        "openvino": not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<net")),
    }
    if wrong[format]:
        raise ModelError(
            f"{path} is {_describe(head)}, not a {format} model",
            hint="give the file that the converter wrote; if it was downloaded, download it again",
        )
    if format == "openvino" and not path.with_suffix(".bin").is_file():
        raise ModelError(
            f"the weights of {path} are missing: there is no {path.with_suffix('.bin').name} beside it",
            hint="an OpenVINO model is two files, .xml and .bin, with the same name in one folder",
        )


def _read_head(path: Path) -> bytes:
    if path.is_dir():
        raise ModelError(f"{path} is a folder, not a model file", hint="a bundle's folder has a manifest.json")
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        raise ModelError(f"there is no file {path}", hint="check the path") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    if not head:
        raise ModelError(f"{path} is empty (0 bytes)", hint="write or download the file again")
    return head


def _describe(head: bytes) -> str:
    if head[4:8] == b"TFL3":
        return "a TFLite model"
    for magic, words in _FOREIGN:
        if head.startswith(magic):
            return words
    return f"a file that begins with {head[:8]!r}"

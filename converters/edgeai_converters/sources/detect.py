"""Telling what kind of source something is: by content, not by name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import google.protobuf.message  # type: ignore[import-untyped]
import onnx

from edgeai_converters.sources.imported import SourceKind
from edgeai_runtime.errors import ModelError

READABLE = "Keras (.keras, .h5), PyTorch (.pt2), ONNX (.onnx), TFLite (.tflite), OpenVINO IR (.xml)"

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_NEEDED_TO_TELL = 64
_PROLOGUE = 4096  # of an XML file: declaration and comments before its root


def detect_source(source: object) -> SourceKind:
    """Return the kind of a source: `keras`, `torch`, `onnx` or `tflite`.

    Args:
        source: a path (`Path` or `str`), or a live Keras model, PyTorch module or exported program.

    Raises:
        ModelError: there is no such file, or it is empty, cut off, or of a kind that is not read.
    """
    if isinstance(source, (str, Path)):
        return _detect_file(Path(source))
    for kind in type(source).__mro__:
        package = kind.__module__.split(".")[0]
        if package in ("keras", "tf_keras") and kind.__name__ in ("Model", "Functional", "Sequential"):
            return "keras"
        if package == "torch" and kind.__name__ in ("Module", "ExportedProgram"):
            return "torch"
    raise ModelError(
        f"An object of type {type(source).__module__}.{type(source).__qualname__} is no source.",
        hint=f"Give a path, a Keras model or a PyTorch module. Files that are read: {READABLE}.",
    )


def _detect_file(path: Path) -> SourceKind:
    if path.is_dir():
        _refuse_folder(path)
    if not path.is_file():
        raise ModelError(f"There is no file {path}.", hint="Check the path.")
    size = path.stat().st_size
    if size == 0:
        raise ModelError(f"The file {path} is empty.", hint="Copy or export it again.")
    with path.open("rb") as file:
        head = file.read(_NEEDED_TO_TELL)
    if head.startswith(_HDF5):
        return "keras"
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.startswith(_ZIP):
        return _detect_zip(path)
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"<?xml", b"<net")):
        return _detect_xml(path)
    return _detect_onnx(path, size)


def _detect_xml(path: Path) -> SourceKind:
    with path.open("rb") as file:
        if b"<net" in file.read(_PROLOGUE):
            return "openvino"
    raise ModelError(f"{path} is XML, but no OpenVINO model: there is no <net>.", hint="Give the .xml of an IR.")


def _refuse_folder(path: Path) -> None:
    if (path / "saved_model.pb").is_file():
        raise ModelError(
            f"{path} is a TensorFlow SavedModel, which is not yet read as a source.",
            hint="Save the model as .keras or .h5, or convert it to ONNX with tf2onnx, and give that file.",
        )
    raise ModelError(f"{path} is a folder and no model.", hint=f"Files that are read: {READABLE}.")


def _detect_zip(path: Path) -> SourceKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise ModelError(
            f"{path} begins like a zip (.keras, .pt2) but is cut off or damaged: {error}.",
            hint="Copy or export it again.",
        ) from error
    last = [name.rsplit("/", 1)[-1] for name in names]
    if "config.json" in names and "metadata.json" in names:
        return "keras"
    if "serialized_exported_program.json" in last or "archive_format" in last or any("models/" in n for n in names):
        return "torch"
    if "manifest.json" in names:
        raise ModelError(f"{path} is an edgeai bundle, not a source.", hint="Give the trained model it was made from.")
    if any("/code/" in name for name in names):
        raise ModelError(
            f"{path} is TorchScript, which is not yet read as a source.",
            hint="Export with torch.export.export(module, inputs) and torch.export.save(program, 'model.pt2').",
        )
    if "data.pkl" in last:
        raise ModelError(
            f"{path} holds PyTorch weights or a pickled object, not a network.",
            hint="Build the module, load the weights, and save torch.export.export(module, inputs) as .pt2.",
        )
    raise ModelError(f"{path} is a zip that holds no known model.", hint=f"Files that are read: {READABLE}.")


def _detect_onnx(path: Path, size: int) -> SourceKind:
    proto = onnx.ModelProto()
    reason = "it is no protobuf message"
    try:
        proto.ParseFromString(path.read_bytes())
        if proto.ir_version and proto.HasField("graph") and proto.opset_import:
            return "onnx"
        reason = "it has no graph or no opset"
    except google.protobuf.message.DecodeError:
        pass
    if path.suffix.lower() == ".onnx":
        raise ModelError(
            f"{path} ({size} bytes) is cut off, damaged, or not an ONNX model: {reason}.",
            hint="Copy or export it again.",
        )
    raise ModelError(f"{path} ({size} bytes) is no model of a known kind.", hint=f"Files that are read: {READABLE}.")

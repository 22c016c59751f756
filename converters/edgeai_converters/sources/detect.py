"""Telling what kind of source something is: by content, not by name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import google.protobuf.message  # type: ignore[import-untyped]
import onnx

from edgeai_converters.sources.imported import SourceKind
from edgeai_converters.sources.protobuf_fields import BYTES, VARINT, first_field, scan_fields
from edgeai_runtime.errors import ModelError

READABLE = (
    "Keras (.keras, .h5), TensorFlow (SavedModel folder, frozen .pb), PyTorch (.pt2, TorchScript .pt), "
    "ONNX (.onnx), TFLite (.tflite), OpenVINO IR (.xml with .bin)"
)

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_PICKLE = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_NEEDED_TO_TELL = 64
_PROLOGUE = 4096  # of an XML file: declaration and comments before its root
_SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")


_FROM_STATE_DICT = (
    "Build the module in Python, then module.load_state_dict(torch.load(path, weights_only=True)), and save it: "
    "torch.export.save(torch.export.export(module.eval(), inputs), 'model.pt2')."
)


def detect_source(source: object) -> SourceKind:
    """Return the kind of a source: a key of `edgeai_converters.sources.table.SOURCES`.

    Files are recognized by their content; nothing that could run code (a pickle) is opened for it.

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
        if package == "torch" and kind.__name__ in ("ScriptModule", "RecursiveScriptModule"):
            return "torchscript"
        if package == "torch" and kind.__name__ in ("Module", "ExportedProgram"):
            return "torch"
    raise ModelError(
        f"An object of type {type(source).__module__}.{type(source).__qualname__} is no source.",
        hint=f"Give a path, a Keras model or a PyTorch module. Files that are read: {READABLE}.",
    )


def _detect_file(path: Path) -> SourceKind:
    if path.is_dir():
        return _detect_folder(path)
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
    if head.startswith(_PICKLE):
        raise ModelError(
            f"{path} is a pickle, as older PyTorch and scikit-learn write. "
            "It was not opened: a pickle can run any code.",
            hint=_FROM_STATE_DICT,
        )
    if head.startswith(_ZIP):
        return _detect_zip(path)
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"<?xml", b"<net")):
        return _detect_xml(path)
    return _detect_protobuf(path, size)


def _detect_xml(path: Path) -> SourceKind:
    with path.open("rb") as file:
        if b"<net" in file.read(_PROLOGUE):
            return "openvino"
    raise ModelError(f"{path} is XML, but no OpenVINO model: there is no <net>.", hint="Give the .xml of an IR.")


def _detect_folder(path: Path) -> SourceKind:
    if any((path / name).is_file() for name in _SAVED_MODEL):
        return "saved_model"
    if (path / "manifest.json").is_file():
        raise ModelError(f"{path} is an edgeai bundle, not a source.", hint="Give the trained model it was made from.")
    inside = sorted(entry.name for entry in path.iterdir())
    below = [name for name in inside if any((path / name / file).is_file() for file in _SAVED_MODEL)]
    if below:
        raise ModelError(
            f"{path} is a folder and no model, but holds SavedModels: {', '.join(below)}.", hint="Give one of them."
        )
    if any(name.endswith(".index") or name == "checkpoint" for name in inside):
        raise ModelError(
            f"{path} is a TensorFlow checkpoint: weights without a network.",
            hint="Build the model, load the weights, and save it as .keras or as a SavedModel.",
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
        return "torchscript"
    if "data.pkl" in last:
        raise ModelError(
            f"{path} holds PyTorch weights (a state_dict) or a pickled object, not a network. "
            "It was not opened: a pickle can run any code.",
            hint=_FROM_STATE_DICT,
        )
    raise ModelError(f"{path} is a zip that holds no known model.", hint=f"Files that are read: {READABLE}.")


def _detect_protobuf(path: Path, size: int) -> SourceKind:
    """Tell ONNX from TensorFlow's files: all are protobuf, recognized by the numbers and types of their fields."""
    content = path.read_bytes()
    fields = scan_fields(content)
    if fields is not None and path.suffix.lower() != ".onnx":
        if fields.keys() <= {1, 2} and fields.get(1) == VARINT and fields.get(2) == BYTES:
            raise ModelError(
                f"{path} is the graph of a TensorFlow SavedModel, without its variables.",
                hint=f"Give the folder: {path.parent}",
            )
        if fields.keys() <= {1, 2, 3, 4, 5} and fields.get(1) == BYTES and _is_node(content):
            return "frozen_graph"
    return _detect_onnx(path, content, size)


def _is_node(content: bytes) -> bool:
    """Tell whether the first field of the content is a node of a TensorFlow graph: a name and an operation."""
    first = first_field(content)
    fields = scan_fields(first) if first is not None else None
    return bool(fields) and fields is not None and fields.keys() <= {1, 2, 3, 4, 5, 6, 7} and {1, 2} <= fields.keys()


def _detect_onnx(path: Path, content: bytes, size: int) -> SourceKind:
    proto = onnx.ModelProto()
    reason = "it is no protobuf message"
    try:
        proto.ParseFromString(content)
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

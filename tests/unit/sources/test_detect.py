"""What a source is, is told by its content; what cannot be read is told with a way on."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import onnx
import pytest

from edgeai_converters.sources.detect import detect_source
from edgeai_runtime.errors import ModelError


def _zip(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return path


def _onnx(path: Path) -> Path:
    text = '<ir_version: 8, opset_import: ["" : 18]> g (float[N] x) => (float[N] y) { y = Relu(x) }'
    path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
    return path


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("config.json", "metadata.json", "model.weights.h5"), "keras"),
        (("net/archive_format", "net/models/model.json"), "torch"),
        (("net/code/net.py", "net/data.pkl", "net/constants.pkl"), "torchscript"),
    ],
)
def test_zips_are_told_by_their_members(tmp_path: Path, names: tuple[str, ...], kind: str) -> None:
    assert detect_source(_zip(tmp_path / "no_suffix", *names)) == kind


def test_files_are_told_by_their_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    (tmp_path / "b").write_bytes(b"\x1c\0\0\0TFL3" + bytes(50))
    assert detect_source(tmp_path / "a") == "keras"
    assert detect_source(str(tmp_path / "b")) == "tflite"
    assert detect_source(_onnx(tmp_path / "c")) == "onnx"
    (tmp_path / "d").write_bytes(b'<?xml version="1.0"?><!-- made by -->\n<net name="n" version="11">')
    assert detect_source(tmp_path / "d") == "openvino"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.onnx", b"", "is empty"),
        ("foreign.onnx", b"this is no model at all", "cut off, damaged, or not an ONNX model"),
        ("photo.jpg", b"\xff\xd8\xff\xe0" + bytes(40), "no model of a known kind"),
        ("half.keras", b"PK\x03\x04" + bytes(40), "cut off or damaged"),
        ("model.xml", b'<?xml version="1.0"?><svg/>', "is XML, but no OpenVINO model"),
    ],
)
def test_a_file_that_is_no_model_says_why(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=words) as caught:
        detect_source(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("m/data.pkl", "m/version"), "a pickled object, not a network"),
        (("manifest.json",), "edgeai bundle"),
        (("readme.txt",), "no known model"),
    ],
)
def test_zips_that_are_no_source_say_what_they_are(tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        detect_source(_zip(tmp_path / "m.pt", *names))


def test_a_cut_onnx_file_is_told(tmp_path: Path) -> None:
    path = _onnx(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelError, match="cut off"):
        detect_source(path)


def test_a_missing_file_and_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no file"):
        detect_source(tmp_path / "nowhere.onnx")
    with pytest.raises(ModelError, match="is a folder and no model"):
        detect_source(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    assert detect_source(tmp_path) == "saved_model"
    with pytest.raises(ModelError, match=f"holds SavedModels: {tmp_path.name}"):
        detect_source(tmp_path.parent)


def test_a_checkpoint_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt.index").touch()
    with pytest.raises(ModelError, match="checkpoint: weights without a network"):
        detect_source(tmp_path)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def test_a_frozen_graph_is_told_by_its_nodes(tmp_path: Path) -> None:
    node = _field(1, b"x") + _field(2, b"Placeholder") + _field(5, b"")
    (tmp_path / "graph").write_bytes(_field(1, node) + _field(1, node) + _field(4, b"\x08\x01"))
    assert detect_source(tmp_path / "graph") == "frozen_graph"


def test_the_graph_of_a_saved_model_alone_is_not_enough(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01" + _field(2, b"meta graph"))
    with pytest.raises(ModelError, match="without its variables") as caught:
        detect_source(tmp_path / "saved_model.pb")
    assert str(tmp_path) in caught.value.hint


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("the pickle was opened",))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_not_opened(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "model.pt").write_bytes(pickle.dumps(_Trap(), protocol))
    with pytest.raises(ModelError, match="a pickle can run any code") as caught:
        detect_source(tmp_path / "model.pt")
    assert "weights_only=True" in caught.value.hint


def test_an_object_of_another_kind_is_told() -> None:
    with pytest.raises(ModelError, match=r"builtins\.dict"):
        detect_source({})

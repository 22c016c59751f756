"""What is refused before anything is written, and that nothing is overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeai.exporting import export
from edgeai_runtime.errors import ModelError, OutputError, UsageError


def test_an_unknown_word_is_answered_with_the_nearest(small: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Nothing is exported to 'andriod'") as caught:
        export(small.path, to="andriod", out=tmp_path / "o")
    assert "Did you mean android?" in caught.value.hint


def test_a_device_without_the_export_is_refused(small: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Raspberry Pi 5 is no device for 'c'"):
        export(small.path, to="c", out=tmp_path / "o", device="rpi5")


def test_an_unknown_variant_is_answered_with_those_there_are(small: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no variant 'int8'.* It has: float"):
        export(small.path, to="c", out=tmp_path / "o", variant="int8")


def test_files_with_other_content_are_overwritten_only_by_force(small: Any, tmp_path: Path) -> None:
    file = next(path for path in export(small.path, to="c", out=tmp_path / "o").files if path.suffix == ".h")
    before = file.stat().st_mtime_ns
    export(small.path, to="c", out=tmp_path / "o")
    assert file.stat().st_mtime_ns == before
    file.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        export(small.path, to="c", out=tmp_path / "o")
    assert file.read_text() == "mine"
    export(small.path, to="c", out=tmp_path / "o", force=True)
    assert file.read_text() != "mine"


def test_an_onnx_model_is_refused_with_the_way_to_go(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", tensors[:1], tensors[1:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="is onnx; TensorFlow Lite for Microcontrollers takes tflite") as caught:
        export(tmp_path / "m.onnx", to="c", out=tmp_path / "o")
    assert "edgeai convert MODEL --to tflite" in caught.value.hint
    assert not (tmp_path / "o").exists()


def test_the_command_prints_one_document(small: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from edgeai.cli.app import run

    assert run(["export", str(small.path), "--to", "c", "-o", str(tmp_path / "o"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"to", "files", "notes", "facts"}
    assert all(Path(file).is_file() for file in document["files"])


def test_the_table_of_exports_is_read_without_a_graph_library() -> None:
    import subprocess
    import sys

    code = "import sys, edgeai.exporting.table\nprint(*{'onnx', 'onnx_ir', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""

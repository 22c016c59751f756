"""Imports are kept: found again by everything they depend on, and by nothing less."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import edgeai_converters
import edgeai_converters.convert.kept_import as kept_import
from edgeai_converters.convert.kept_import import READERS, import_kept, open_kept
from edgeai_converters.graph.boundary import infer_layouts, input_specs
from edgeai_converters.sources.child import ChildError
from edgeai_converters.sources.imported import Imported
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.errors import EdgeAIError, ParityError, UnsupportedOperationError

_GRAPH = """<ir_version: 8, opset_import: ["" : 18]> g (float[N,1,4,4] image) => (float[N,1,4,4] map) {
    map = Conv<pads = [1, 1, 1, 1]>(image, w) }"""


class _Framework:
    """A stand-in for the framework that reads a source: counts how often it is started."""

    def __init__(self) -> None:
        self.starts = 0
        self.error: EdgeAIError | None = None

    def __call__(self, source: Path, **arguments: Any) -> Imported:
        self.starts += 1
        if self.error is not None:
            raise self.error
        proto = onnx.parser.parse_model(_GRAPH)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "w"))
        model = ir.from_proto(proto)
        infer_layouts(model)
        inputs: dict[str, Any] = {"image": np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)}
        outputs = {"a/b: map": np.zeros((1, 1, 4, 4), np.float32)}
        return Imported(
            kind="torch",
            model=model,
            probe_inputs=inputs,
            probe_outputs=outputs,
            route=("torch.export", "torch.onnx"),
            notes=("A note.",),
        )


@pytest.fixture
def framework(monkeypatch: pytest.MonkeyPatch) -> _Framework:
    made = _Framework()
    monkeypatch.setattr(kept_import, "import_source", made)
    monkeypatch.setattr(kept_import, "detect_source", lambda source: "torch")
    monkeypatch.setattr("edgeai_converters.sources.files.detect_source", lambda source: "torch")
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "net.pt2"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def work(tmp_path: Path) -> WorkFolder:
    return WorkFolder(tmp_path / "imports")


def test_the_second_import_of_a_file_starts_no_framework_and_is_the_same(
    framework: _Framework, source: Path, work: WorkFolder, tmp_path: Path
) -> None:
    first = import_kept(source, work, workdir=tmp_path, way="export")
    second = import_kept(source, WorkFolder(work.root), workdir=tmp_path, way="export")
    assert framework.starts == 1
    assert (first.route, first.notes, first.kind, first.quantized) == (
        second.route, second.notes, second.kind, second.quantized,
    )  # fmt: skip
    assert ir.to_proto(first.model) == ir.to_proto(second.model)
    assert [spec.layout for spec in input_specs(second.model)] == ["NCHW"]
    np.testing.assert_array_equal(second.probe_inputs["image"], np.arange(16).reshape(1, 1, 4, 4))
    assert list(second.probe_outputs) == ["a/b: map"]


@pytest.mark.parametrize("other", [{"way": "trace"}, {"seed": 1}, {"input_shapes": {"image": (2, 1, 4, 4)}}])
def test_another_question_is_another_import(
    framework: _Framework, source: Path, work: WorkFolder, tmp_path: Path, other: dict[str, Any]
) -> None:
    import_kept(source, work, workdir=tmp_path)
    import_kept(source, work, workdir=tmp_path, **other)
    assert framework.starts == 2


@pytest.mark.parametrize("changed", ["bytes", "code", "tools"])
def test_a_changed_file_package_or_reader_is_imported_anew(
    framework: _Framework,
    source: Path,
    work: WorkFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: str,
) -> None:
    import_kept(source, work, workdir=tmp_path)
    if changed == "bytes":
        source.write_bytes(b"trained on")
    elif changed == "code":
        monkeypatch.setattr(kept_import, "readers_digest", lambda: "other")
    else:
        monkeypatch.setattr(kept_import, "tool_versions", lambda: {"torch": "9.9"})
    import_kept(source, work, workdir=tmp_path)
    assert framework.starts == 2


@pytest.mark.parametrize("error", [UnsupportedOperationError("no Erf"), ParityError("they differ", hint="look")])
def test_a_refusal_is_kept_with_its_words(
    framework: _Framework, source: Path, work: WorkFolder, tmp_path: Path, error: EdgeAIError
) -> None:
    framework.error = error
    for _ in range(2):
        with pytest.raises(type(error)) as raised:
            import_kept(source, work, workdir=tmp_path)
        assert (raised.value.message, raised.value.hint) == (error.message, error.hint)
    assert framework.starts == 1


def test_a_crash_is_not_kept(framework: _Framework, source: Path, work: WorkFolder, tmp_path: Path) -> None:
    framework.error = ChildError("it died")
    with pytest.raises(ChildError):
        import_kept(source, work, workdir=tmp_path)
    framework.error = None
    assert import_kept(source, work, workdir=tmp_path).route == ("torch.export", "torch.onnx")


def test_a_live_model_is_imported_each_time(framework: _Framework, work: WorkFolder, tmp_path: Path) -> None:
    for _ in range(2):
        import_kept(object(), work, workdir=tmp_path)
    assert framework.starts == 2
    assert list(work.root.iterdir()) == []


def test_a_graph_that_is_too_large_is_given_and_not_kept(
    framework: _Framework, source: Path, work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_import, "LARGEST_KEPT", 8)
    for _ in range(2):
        assert import_kept(source, work, workdir=tmp_path).kind == "torch"
    assert framework.starts == 2
    assert list(work.root.iterdir()) == []


def test_a_folder_that_can_not_be_made_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert open_kept(tmp_path / "file" / "imports") is None


def test_the_code_that_imports_depend_on_is_all_in_the_digest() -> None:
    package = Path(edgeai_converters.__file__).parent
    inside = [
        path
        for name in READERS
        for path in ((package / name).rglob("*.py") if (package / name).is_dir() else [package / name])
    ]
    assert len(inside) > 50
    types_only = {package / "spec.py"}  # names of layouts, no behaviour
    left_out = set()
    for path in inside:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgeai_converters."):
                wanted = package.parent / (node.module or "").replace(".", "/")
                file = wanted / "__init__.py" if wanted.is_dir() else wanted.with_suffix(".py")
                if file not in (*inside, *types_only):
                    left_out.add(f"{path.relative_to(package)} → {node.module}")
    assert sorted(left_out) == []

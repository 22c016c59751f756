"""Ways to the graph are tried in turn, each behind the parity gate, and the notes tell which were left."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import edgeai_converters.sources.table as table
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.sources.child import ChildError
from edgeai_converters.sources.imported import Imported
from edgeai_converters.sources.table import SOURCES, import_source
from edgeai_converters.sources.tensorflow_child import _signature_name
from edgeai_converters.sources.ways import WAYS, ways_of
from edgeai_runtime.errors import ModelError, ParityError, UnsupportedOperationError, UsageError


def test_every_source_has_ways_with_names_of_their_own() -> None:
    assert WAYS.keys() <= SOURCES.keys()
    for kind in SOURCES:
        names = [way.name for way in ways_of(kind)]
        assert names
        assert len(names) == len(set(names))


def _import(source: Path, *, workdir: Path, way: str, **_: Any) -> Imported:
    """An adapter whose first way fails as the name of the file says."""
    failures = {
        "refuse": UnsupportedOperationError("The first way has no Foo."),
        "crash": ChildError("The first way crashed (SIGSEGV)."),
        "unreadable": ModelError("The file is damaged."),
    }
    if way == "script" and source.stem in failures:
        raise failures[source.stem]
    operation = "Neg" if way == "script" and source.stem == "wrong" else "Relu"
    text = f'<ir_version: 8, opset_import: ["" : 18]> g (float[n] x) => (float[n] y) {{ y = {operation}(x) }}'
    x = np.array([-1, 0, 2], np.float32)
    return Imported(
        kind="torchscript",
        model=prepare_graph(onnx.parser.parse_model(text)),
        probe_inputs={"x": x},
        probe_outputs={"y": np.maximum(x, 0)},
        route=(way,),
    )


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    module = types.ModuleType("an_adapter")
    vars(module)["bring"] = _import
    monkeypatch.setitem(sys.modules, "an_adapter", module)
    monkeypatch.setitem(table.SOURCES, "torchscript", "an_adapter:bring")
    monkeypatch.setattr(table, "detect_source", lambda source: "torchscript")
    return tmp_path / f"{request.param}.pt"


@pytest.mark.parametrize(
    ("source", "words"),
    [("refuse", "has no Foo"), ("crash", "SIGSEGV"), ("wrong", "differ from the source")],
    indirect=["source"],
)
def test_a_way_that_fails_leads_to_the_next(source: Path, words: str) -> None:
    imported = import_source(source)
    assert imported.route == ("record",)
    (note,) = imported.notes
    assert words in note
    assert "Took another way" in note


@pytest.mark.parametrize("source", ["fine"], indirect=True)
def test_a_way_that_leads_there_is_the_last_one(source: Path) -> None:
    imported = import_source(source)
    assert (imported.route, imported.notes) == (("script",), ())
    assert import_source(source, way="record").route == ("record",)


@pytest.mark.parametrize("source", ["unreadable"], indirect=True)
def test_a_file_that_can_not_be_read_is_not_tried_again(source: Path) -> None:
    with pytest.raises(ModelError, match="is damaged"):
        import_source(source)


@pytest.mark.parametrize(
    ("source", "error"),
    [("refuse", UnsupportedOperationError), ("crash", ModelError), ("wrong", ParityError)],
    indirect=["source"],
)
def test_the_one_way_that_was_asked_for_fails_as_it_does(source: Path, error: type[ModelError]) -> None:
    with pytest.raises(ModelError) as caught:
        import_source(source, way="script")
    assert type(caught.value) is error


@pytest.mark.parametrize("source", ["fine"], indirect=True)
def test_a_way_that_is_not_there_is_told(source: Path) -> None:
    with pytest.raises(UsageError, match="no way 'magic'") as caught:
        import_source(source, way="magic")
    assert "script, record" in caught.value.hint


def test_the_serving_signature_comes_first_and_the_only_one_will_do() -> None:
    assert _signature_name(["other", "serving_default"], "folder") == "serving_default"
    assert _signature_name(["only"], "folder") == "only"
    with pytest.raises(ModelError, match="its signatures: a, b"):
        _signature_name(["a", "b"], "folder")
    with pytest.raises(ModelError, match="its signatures: none"):
        _signature_name([], "folder")

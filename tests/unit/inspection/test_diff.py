"""`edgeai diff`: every kind of change is told once, in its section, and nothing else is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeai.cli import main
from edgeai.diffing import diff
from edgeai_runtime.bundle import file_entry, write_bundle
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Certificate, Manifest, Measurement, Provenance, Step, TensorSpec, Variant
from edgeai_runtime.record import replace

MACHINE = {"cpu": "one"}
SPEC = TensorSpec(name="x", shape=(None, 4), dtype="float32")
CERTIFICATE = Certificate(
    metric="top1",
    source_score=0.9,
    score=0.9,
    drop=0.0,
    drop_ci95=(-0.01, 0.01),
    flip_rate=0.0,
    n=100,
    max_drop=0.01,
    verdict="certified",
    samples_needed=None,
    method="none",
    split="certification",
)
MEASUREMENT = Measurement(
    engine="onnxruntime",
    engine_version="1.20",
    delegate="onnxruntime:cpu",
    threads=1,
    latency_median_ms=2.0,
    latency_p90_ms=2.5,
    latency_median_ci95_ms=(1.9, 2.1),
    speedup_vs_float=1.0,
    speedup_ci95=(0.9, 1.1),
    peak_memory_mib=3.0,
    machine=MACHINE,
)
PROVENANCE = Provenance(
    source_name="net.onnx",
    source_sha256="0" * 64,
    data_sha256=None,
    recipe=(Step(op="emit", params={"format": "onnx"}),),
    tools={"numpy": "2.0"},
)


def model(*nodes: str) -> bytes:
    """Return an ONNX model: a chain of operators with one input."""
    x, y = (onnx.helper.make_tensor_value_info(name, 1, [None, 4]) for name in ("x", "y"))
    names = ["x", *(f"t{index}" for index in range(len(nodes) - 1)), "y"]
    chain = [onnx.helper.make_node(op, [names[i]], [names[i + 1]], f"n{i}") for i, op in enumerate(nodes)]
    graph = onnx.helper.make_graph(chain, "net", [x], [y])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    return bytes(made.SerializeToString())


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a bundle: its file name, the nodes, fields of the variant, of the manifest."""

    def make(name: str, *nodes: str, own: dict[str, Any] | None = None, **manifest: Any) -> Path:
        content = model(*(nodes or ("Relu",)))
        entry = file_entry("variants/a/model.onnx", content)
        variant = Variant(
            id="a",
            format="onnx",
            precision="float32",
            delegates=("onnxruntime:cpu",),
            files=(entry,),
            inputs=(SPEC,),
            outputs=(dataclasses.replace(SPEC, name="y"),),
            certificate=CERTIFICATE,
            measurements=(MEASUREMENT,),
            provenance=PROVENANCE,
        )
        fields = {"name": "net", "version": "1", "inputs": variant.inputs, "outputs": variant.outputs, **manifest}
        write_bundle(
            tmp_path / name,
            Manifest(**fields, variants=(replace(variant, **(own or {})),)),
            {entry.path: content},
        )
        return tmp_path / name

    return make


def told(a: Path, b: Path) -> dict[str, dict[str, tuple[Any, Any, str]]]:
    """Return what changed in the one variant: section → name → both values and the note."""
    (variant,) = diff(a, b).variants
    found: dict[str, dict[str, tuple[Any, Any, str]]] = {}
    for one in variant.changes:
        found.setdefault(one.section, {})[one.name] = (one.a, one.b, one.note)
    return found


def test_a_bundle_is_the_same_as_itself(write: Write) -> None:
    found = diff(write("a.edge"), write("b.edge"))
    assert found.same
    assert [one.status for one in found.variants] == ["same"]


def test_operators_that_came_and_went_are_counted(write: Write) -> None:
    found = told(write("a.edge", "Relu", "Relu", "Sigmoid"), write("b.edge", "Relu", "Tanh"))
    assert found["operators"] == {"Relu": (2, 1, "-50.0%"), "Sigmoid": (1, None, ""), "Tanh": (None, 1, "")}
    assert set(found) == {"operators", "size", "files"}


def test_accuracy_is_told_with_its_interval_and_verdict(write: Write) -> None:
    worse = replace(CERTIFICATE, score=0.8, drop=0.1, drop_ci95=(0.05, 0.15), verdict="violated")
    found = told(write("a.edge"), write("b.edge", own={"certificate": worse}))
    assert set(found) == {"accuracy"}
    assert found["accuracy"]["verdict"] == ("certified", "violated", "")
    assert found["accuracy"]["drop_ci95"] == ([-0.01, 0.01], [0.05, 0.15], "")
    assert found["accuracy"]["score"] == (0.9, 0.8, "-11.1%")


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"latency_median_ms": 2.1, "latency_median_ci95_ms": (2.05, 2.2)}, "+5.0%, the intervals overlap"),
        ({"latency_median_ms": 4.0, "latency_median_ci95_ms": (3.9, 4.1)}, "+100.0%, measured apart"),
        ({"latency_median_ms": 4.0, "machine": {"cpu": "two"}}, "+100.0%, on another machine"),
    ],
)
def test_latencies_say_whether_they_can_be_compared(write: Write, change: dict[str, Any], note: str) -> None:
    found = told(write("a.edge"), write("b.edge", own={"measurements": (replace(MEASUREMENT, **change),)}))
    assert set(found) == {"latency"}
    assert found["latency"]["onnxruntime:cpu, 1 thread: latency_median_ms"][2] == note


def test_provenance_tells_recipe_source_and_tools(write: Write) -> None:
    changed = replace(
        PROVENANCE, source_sha256="1" * 64, recipe=(Step(op="emit", params={"format": "tflite"}),), tools={"torch": "2"}
    )
    found = told(write("a.edge"), write("b.edge", own={"provenance": changed}))["provenance"]
    assert found["recipe"] == (["emit(format=onnx)"], ["emit(format=tflite)"], "")
    assert found["tool numpy"] == ("2.0", None, "")
    assert found["tool torch"] == (None, "2", "")
    assert set(found) == {"recipe", "source_sha256", "tool numpy", "tool torch"}


def test_what_is_of_the_whole_is_told_once(write: Write) -> None:
    steps = {"x": (Step(op="scale", params={"factor": 2}),)}
    found = diff(write("a.edge"), write("b.edge", version="2", preprocessing=steps, metadata={"owner": "me"}))
    assert [(one.section, one.name, one.b) for one in found.changes if one.section != "size"] == [
        ("bundle", "version", "2"),
        ("steps", "preprocess x", ["scale(factor=2)"]),
        ("metadata", "owner", "me"),
    ]
    assert not found.same


def test_a_variant_with_another_id_is_paired_by_format_and_precision(write: Write) -> None:
    found = diff(write("a.edge"), write("b.edge", own={"id": "b"}))
    assert [(one.a, one.b, one.status) for one in found.variants] == [("a", "b", "changed")]
    other = diff(write("c.edge"), write("d.edge", own={"id": "b", "precision": "int8"}))
    assert [(one.a, one.b, one.status) for one in other.variants] == [("a", None, "removed"), (None, "b", "added")]


def test_two_model_files_are_compared_by_their_content(tmp_path: Path) -> None:
    a, b = tmp_path / "a.onnx", tmp_path / "b.onnx"
    a.write_bytes(model("Relu"))
    b.write_bytes(model("Tanh"))
    assert told(a, b)["operators"] == {"Relu": (1, None, ""), "Tanh": (None, 1, "")}
    with pytest.raises(UsageError, match="no file"):
        diff(a, tmp_path / "c.onnx")


def test_the_verb_prints_words_or_one_document_and_exits_with_0(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write("a.edge", "Relu"), write("b.edge", "Tanh", version="2")
    assert main(["diff", str(a), str(b)]) == 0
    text = capsys.readouterr().out
    assert "version: 1 → 2" in text
    assert "Relu: 1 → -" in text
    assert main(["diff", str(a), str(b), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["same"] is False
    assert document["variants"][0]["status"] == "changed"
    assert np.all([set(one) == {"section", "name", "a", "b", "note"} for one in document["changes"]])

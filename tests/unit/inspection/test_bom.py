"""The bill of materials: what stands in it is what the manifest says, in a document that the schema takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeai.cli import main
from edgeai.model_card import model_card
from edgeai_runtime.bundle import open_bundle
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Certificate, Measurement, Provenance, Step, TensorSpec, Variant

SOURCE, DATA = "1" * 64, "2" * 64
OWN: dict[str, Any] = {
    "certificate": Certificate(
        metric="top1",
        source_score=0.95,
        score=0.94,
        drop=0.01,
        drop_ci95=(-0.002, 0.022),
        flip_rate=0.01,
        n=449,
        max_drop=0.02,
        verdict="unproven",
        samples_needed=900,
        method="score interval",
        split="certification",
    ),
    "measurements": (
        Measurement(
            engine="litert",
            engine_version="2.3",
            delegate="litert:xnnpack",
            threads=2,
            latency_median_ms=0.25,
            latency_p90_ms=0.3,
            latency_median_ci95_ms=(0.24, 0.26),
            speedup_vs_float=2.0,
            speedup_ci95=(1.9, 2.1),
            peak_memory_mib=None,
            machine={"cpu": "a processor"},
        ),
    ),
    "provenance": Provenance(
        source_name="net.keras",
        source_sha256=SOURCE,
        data_sha256=DATA,
        recipe=(Step(op="quantize", params={"method": "mse"}), Step(op="emit", params={"format": "tflite"})),
        tools={"numpy": "2.4.6", "torch": "2.13.0+cpu"},
    ),
}


@pytest.fixture
def bundle(make_fake: Callable[..., Path]) -> Path:
    return make_fake(own=OWN)


@pytest.fixture
def document(bundle: Path) -> dict[str, Any]:
    pytest.importorskip("cyclonedx", reason='pip install "edgeai[bom]"')
    from edgeai.bom import bill_of_materials

    return bill_of_materials(bundle)


def part(document: dict[str, Any], reference: str) -> dict[str, Any]:
    (found,) = [one for one in document["components"] if one["bom-ref"] == reference]
    return dict(found)


def test_the_schema_of_cyclonedx_takes_it(document: dict[str, Any]) -> None:
    pytest.importorskip("jsonschema", reason="the validator of cyclonedx-python-lib is not installed")
    from cyclonedx.schema import SchemaVersion  # type: ignore[import-not-found, unused-ignore]
    from cyclonedx.validation.json import JsonStrictValidator  # type: ignore[import-not-found, unused-ignore]

    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(document)) is None
    broken = {**document, "components": [{**document["components"][0], "modelcard": {}}]}
    assert validator.validate_str(json.dumps(broken)) is not None


def test_a_variant_names_its_files_source_recipe_and_card(document: dict[str, Any], bundle: Path) -> None:
    variant = part(document, "variant/net")
    (entry,) = open_bundle(bundle).manifest.variants[0].files
    assert variant["type"] == "machine-learning-model"
    assert variant["components"][0]["hashes"] == [{"alg": "SHA-256", "content": entry.sha256}]
    (source,) = variant["pedigree"]["ancestors"]
    assert (source["name"], source["hashes"][0]["content"]) == ("net.keras", SOURCE)
    told = {one["name"]: one["value"] for one in variant["properties"]}
    assert told["edgeai:recipe:0"] == "quantize(method=mse)"
    assert told["edgeai:precision"] == "float32"
    assert variant["modelCard"]["modelParameters"]["datasets"] == [{"ref": f"data/{DATA[:16]}"}]


def test_tools_and_data_are_what_a_variant_depends_on(document: dict[str, Any]) -> None:
    depends = {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}
    assert set(depends["variant/net"]) == {f"data/{DATA[:16]}", "tool/numpy@2.4.6", "tool/torch@2.13.0+cpu"}
    assert "variant/net" in depends["bundle"]
    torch = part(document, "tool/torch@2.13.0+cpu")
    assert (torch["purl"], torch["scope"]) == ("pkg:pypi/torch@2.13.0%2Bcpu", "excluded")
    assert part(document, f"data/{DATA[:16]}")["hashes"][0]["content"] == DATA


def test_the_same_bundle_gives_the_same_document_without_a_time(document: dict[str, Any], bundle: Path) -> None:
    from edgeai.bom import bill_of_materials

    assert bill_of_materials(bundle) == document
    assert "timestamp" not in document["metadata"]
    assert document["metadata"]["component"]["hashes"][0]["content"] == open_bundle(bundle).digest


def test_the_verb_writes_and_prints_the_document(
    document: dict[str, Any], bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bom", str(bundle)]) == 0
    written = bundle.with_suffix(".cdx.json")
    assert json.loads(written.read_text()) == document
    assert "CycloneDX 1.6" in capsys.readouterr().out
    assert main(["bom", str(bundle)]) == 1, "nothing is overwritten"
    capsys.readouterr()
    assert main(["bom", str(bundle), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == document


def test_a_bare_artifact_has_no_bill(tmp_path: Path) -> None:
    pytest.importorskip("cyclonedx", reason='pip install "edgeai[bom]"')
    from edgeai.bom import bill_of_materials

    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(UsageError, match="no bundle"):
        bill_of_materials(tmp_path / "net.onnx")


def test_a_missing_library_is_named_with_its_extra(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from edgeai.bom import bill_of_materials
    from edgeai_runtime.errors import MissingEngineError

    monkeypatch.setitem(sys.modules, "cyclonedx.model.bom", None)
    with pytest.raises(MissingEngineError) as caught:
        bill_of_materials(bundle)
    assert caught.value.hint == 'pip install "edgeai[bom]"'


def test_a_card_has_scores_and_latency_with_their_intervals() -> None:
    x = TensorSpec(name="x", shape=(None, 3), dtype="float32", layout="NC", meaning="a row")
    variant = Variant(
        id="a", format="tflite", precision="int8", delegates=(), files=(), inputs=(x,), outputs=(x,), **OWN
    )
    card = model_card(variant, inputs=(x,), outputs=(x,), data="")
    assert card["modelParameters"]["inputs"] == [{"format": "x float32 [?, 3] NC: a row"}]
    assert "datasets" not in card["modelParameters"]
    metrics = {one["type"]: one for one in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert metrics["top1"]["value"] == "0.94"
    assert metrics["drop of top1"]["confidenceInterval"] == {"lowerBound": "-0.002", "upperBound": "0.022"}
    assert metrics["latency_median_ms"]["slice"] == "litert:xnnpack, 2 threads, 2.3, a processor"
    assert card["considerations"]["performanceTradeoffs"] == [
        "drop of top1 against its source of a budget of 0.02: unproven (score interval)"
    ]

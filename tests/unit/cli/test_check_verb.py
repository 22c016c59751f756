"""`edgeai check`: what fits exits with 0, what does not with 1 and the step that would mend it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgeai
from edgeai.cli import main
from edgeai_runtime.bundle import file_entry, write_bundle
from edgeai_runtime.errors import ModelError
from edgeai_runtime.manifest import Format, Manifest, TensorSpec, Variant


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.ones((4, 2), np.float32), "w")],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def bundle_of(model: Path, *formats: Format) -> Path:
    spec = TensorSpec(name="x", shape=(1, 4), dtype="float32")
    variants = tuple(
        Variant(
            id=f"v{number}",
            format=format,
            precision="float32",
            delegates=(),
            files=(file_entry(f"variants/v{number}/model.onnx", model),),
            inputs=(spec,),
            outputs=(spec,),
            tolerance={},
        )
        for number, format in enumerate(formats)
    )
    path = model.with_name("net.edge")
    manifest = Manifest(name="net", version="1", inputs=(spec,), outputs=(spec,), variants=variants)
    write_bundle(path, manifest, {variant.files[0].path: model for variant in variants})
    return path


def test_a_model_that_fits_exits_with_0(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(model), "--device", "rpi5"]) == 0
    shown = capsys.readouterr().out
    assert "fits rpi5" in shown
    assert "onnxruntime:cpu" in shown


def test_a_model_that_does_not_fit_exits_with_1_and_says_what_would_mend_it(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(model), "--device", "stm32u575"]) == 1
    shown = capsys.readouterr().out
    assert "does not fit stm32u575" in shown
    assert "→ convert it: edgeai convert MODEL --to tflite" in shown


def test_json_is_one_document_with_every_check(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(model), "--device", "stm32u575", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["device"]) == (False, "stm32u575")
    assert {"name", "ok", "limit", "value", "detail", "mend"} == set(document["checks"][0])
    assert "variants" not in document


def test_an_unknown_device_offers_the_nearest(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(model), "--device", "rpi-5"]) == 2
    assert "Did you mean rpi5?" in capsys.readouterr().err


def test_a_source_says_that_it_has_to_be_converted(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = model.with_name("net.keras")
    source.write_bytes(b"PK\x03\x04")
    assert main(["check", str(source), "--device", "rpi5"]) == 1
    assert "edgeai convert MODEL --to onnx" in capsys.readouterr().err


def test_of_a_bundle_one_variant_that_fits_is_enough(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = bundle_of(model, "onnx", "onnx")

    found = edgeai.check(bundle, "rpi5")

    assert (found.ok, found.variant, len(found.variants)) == (True, "v0", 2)
    assert main(["check", str(bundle), "--device", "stm32u575", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["variant"], [each["id"] for each in document["variants"]]) == ("v0", ["v0", "v1"])


def test_what_mends_a_bundle_is_done_to_what_it_was_made_from(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "MODEL is the model that the bundle was made from"
    main(["check", str(bundle_of(model, "onnx")), "--device", "stm32u575"])
    assert words in capsys.readouterr().out
    main(["check", str(model), "--device", "stm32u575"])
    assert words not in capsys.readouterr().out


def test_a_profile_of_ones_own_is_used(model: Path) -> None:
    folder = model.with_name("devices")
    folder.mkdir()
    (folder / "tiny.toml").write_text(
        'id = "tiny"\nname = "Tiny"\nverified = "none"\nformats = ["onnx"]\nprecisions = ["float32"]\n'
        'delegates = ["onnxruntime:cpu"]\n[cpu]\nmodel = "m"\narchitecture = "a"\n[memory]\nflash_kib = 1\n'
        '[sources]\n"cpu.model" = "s"\n"cpu.architecture" = "s"\n"memory.flash_kib" = "s"\n'
    )

    report = edgeai.check(model, "tiny").report

    assert next(check for check in report.checks if check.name == "flash").ok
    assert "ram" not in {check.name for check in report.checks}


def test_a_pipeline_is_checked_stage_by_stage(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeai_runtime import bundle as bundles

    path = bundle_of(model, "onnx")
    real = bundles.open_bundle

    def opened(given: Path) -> bundles.Bundle:
        found = real(given)
        object.__setattr__(found.manifest, "pipeline", object())
        return found

    monkeypatch.setattr(bundles, "open_bundle", opened)
    with pytest.raises(ModelError, match="pipeline of several models"):
        edgeai.check(path, "rpi5")

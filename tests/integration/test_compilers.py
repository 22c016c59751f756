"""Compilers of accelerators for real: Vela, Qualcomm's with its simulator, OpenVINO, coremltools, RKNN's simulator."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai.compiling import compile_for
from edgeai_converters.emit.table import emit
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.prune.layer_artifacts import in_precision
from edgeai_devices.catalog import find_profile
from edgeai_devices.compilers import vela
from edgeai_runtime.bundle import file_entry, write_bundle
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import EdgeAIError, MissingEngineError, ModelError
from edgeai_runtime.manifest import Format, Manifest, TensorSpec, Variant

FLOAT32_TENSOR = b"\x10\xa0\x80\x04"
"""Key and value of `ArrayFeatureType.dataType = FLOAT32` (65568) in a Core ML file."""

X = np.random.default_rng(1).normal(size=(1, 2, 8, 8)).astype(np.float32)


def _graph(*, tail: str = "", end: str = "r") -> ir.Model:
    """Two convolutions on `[1, 2, 8, 8]`; `tail` goes on from `r` behind the first, and the second reads `end`."""
    text = f"""<ir_version: 9, opset_import: ["" : 20]> g (float[1,2,8,8] x) => (float[1,4,8,8] y) {{
        c = Conv <pads = [1, 1, 1, 1]> (x, w, b) r = Relu(c) {tail} y = Conv({end}, v, d) }}"""
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, size in {"w": (8, 2, 3, 3), "b": (8,), "v": (4, 8, 1, 1), "d": (4,)}.items():
        array = random.normal(size=size) / np.sqrt(np.prod(size[1:]))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return prepare_graph(proto)


def _int8(folder: Path, format: Format, **graph: str) -> Path:
    return emit(in_precision(_graph(**graph), format, "int8", integers=True), format, folder, stem="net").path


def _digests(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _compile(source: Path, compiler: str, device: str | None, out: Path, **more: Any) -> Any:
    profile = find_profile(device) if device else None
    return compile_for(source, compiler=compiler, profile=profile, out=out, **more)


def _has_vela() -> bool:
    try:
        vela.find_command()
    except MissingEngineError:
        return False
    return True


needs_vela = pytest.mark.skipif(not _has_vela(), reason="the extra `vela` is not installed")


@needs_vela
def test_vela_puts_an_int8_network_on_the_npu_and_tells_memory_and_cycles(tmp_path: Path) -> None:
    source = _int8(tmp_path, "tflite")
    made = _compile(source, "ethos-u", "ethos-u55-128", tmp_path / "a")
    report = made.report
    assert [file.name for file in made.files] == ["net_vela.tflite"]
    assert b"ethos-u" in made.files[0].read_bytes()
    assert report.target == "ethos-u55-128"
    assert report.operators_on_accelerator >= 2
    assert report.left_on_cpu == ()
    assert min(report.sram_bytes, report.flash_bytes, report.cycles) > 0
    _compile(source, "ethos-u", "ethos-u55-128", tmp_path / "b")
    assert _digests(tmp_path / "a") == _digests(tmp_path / "b")


@needs_vela
def test_a_float_network_is_refused_since_the_processor_would_run_all_of_it(tmp_path: Path) -> None:
    source = emit(_graph(), "tflite", tmp_path, stem="net").path
    with pytest.raises(ModelError, match=r"Vela puts no operator of .* on the NPU"):
        _compile(source, "ethos-u", "ethos-u55-128", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@needs_vela
def test_what_vela_leaves_to_the_processor_is_named(tmp_path: Path) -> None:
    source = _int8(tmp_path, "tflite", tail="s = Sin(r)", end="s")
    report = _compile(source, "ethos-u", "ethos-u55-128", tmp_path / "out").report
    assert report.operators_on_accelerator
    assert "Sin" in {each.operator for each in report.left_on_cpu}


@needs_vela
def test_a_damaged_file_is_an_error_even_where_it_crashes_vela(tmp_path: Path) -> None:
    source = _int8(tmp_path, "tflite")
    source.write_bytes(source.read_bytes()[:900])
    with pytest.raises(ModelError, match=r"Vela cannot compile .*net\.tflite"):
        _compile(source, "vela", "ethos-u85-256", tmp_path / "out")


@pytest.mark.onnxruntime
def test_qualcomms_context_runs_in_the_simulator_and_computes_what_the_cpu_does(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime_qnn", reason="the extra `qnn` is not installed")
    source = _int8(tmp_path, "onnx")
    made = _compile(source, "qnn-context", "qcs6490", tmp_path / "out")
    assert [file.name for file in made.files] == ["net_ctx.onnx", "net_ctx_qnn.bin"]
    assert made.report.target == "HTP v68"
    assert made.report.operators_on_accelerator
    assert made.report.left_on_cpu == ()
    engine, x = get_engine("onnxruntime"), np.random.default_rng(1).integers(0, 256, X.shape).astype(np.uint8)
    found = engine.open(made.files[0], delegate="onnxruntime:qnn-htp", threads=1, options={}).run([x])[0]
    wanted = engine.open(source, delegate="onnxruntime:cpu", threads=1, options={}).run([x])[0]
    assert wanted.dtype == np.uint8
    assert np.abs(found.astype(int) - wanted).max() <= 2  # steps of 8 bits: another rounding
    assert np.ptp(wanted) > 40


@pytest.mark.openvino
def test_a_blob_for_the_processor_is_read_again_and_is_the_same_each_time(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    source = emit(_graph(), "openvino", tmp_path, stem="net").path
    made = _compile(source, "openvino-blob", None, tmp_path / "a")
    model = openvino.Core().import_model(made.files[0].read_bytes(), "CPU", made.report.options)
    found = model([X])[0]
    session = get_engine("openvino").open(source, delegate="openvino:cpu", threads=1, options={})
    np.testing.assert_allclose(found, session.run([X])[0], rtol=1e-5, atol=1e-6)
    _compile(source, "openvino-blob", None, tmp_path / "b")
    assert _digests(tmp_path / "a") == _digests(tmp_path / "b")


@pytest.mark.openvino
def test_an_intel_npu_whose_compiler_is_not_here_is_an_error_that_says_where_it_is(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    if "NPU" in openvino.Core().available_devices or list(Path(openvino.__file__).parent.rglob("*npu_compiler*")):
        pytest.skip("the NPU's compiler is here")
    source = emit(_graph(), "openvino", tmp_path, stem="net").path
    with pytest.raises(MissingEngineError, match="compiler of Intel's NPUs is not installed"):
        _compile(source, "openvino", "intel-lunar-lake", tmp_path / "out")


@pytest.mark.torch
@pytest.mark.slow
def test_core_ml_gets_any_source_with_its_names_and_nothing_that_differs_from_run_to_run(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    if importlib.util.find_spec("coremltools") is None:
        pytest.skip("the extra `coreml` is not installed")
    source = emit(_graph(), "onnx", tmp_path, stem="net").path
    out = tmp_path / "out"
    (out / "net.mlpackage" / "old").mkdir(parents=True)
    made = _compile(source, "coreml", "iphone15", out, force=True)
    assert [file.name for file in made.files] == ["net.mlpackage"]
    assert sorted(file.name for file in made.files[0].iterdir()) == ["Data", "Manifest.json"]
    content = (made.files[0] / "Data" / "com.apple.CoreML" / "model.mlmodel").read_bytes()
    assert b"conv" in content
    assert b"\x0a\x01x\x1a" in content  # a feature of the name x, with its type
    assert b"\x0a\x01y\x1a" in content
    assert content.count(FLOAT32_TENSOR) >= 2  # the boundary, while the network computes in float16
    assert b"conversion_date" not in content
    manifest = json.loads((made.files[0] / "Manifest.json").read_text())
    assert {uuid.UUID(each).version for each in manifest["itemInfoEntries"]} == {5}  # of their paths, not of chance
    assert manifest["rootModelIdentifier"] in manifest["itemInfoEntries"]


@pytest.mark.skipif(not os.environ.get("EDGEAI_RKNN_PYTHON"), reason="EDGEAI_RKNN_PYTHON names no Python with RKNN")
@pytest.mark.slow
def test_rockchips_npu_gets_a_quantized_network_that_runs_in_its_simulator(tmp_path: Path) -> None:
    made = _compile(_int8(tmp_path, "onnx"), "rknn", "rk3588", tmp_path / "out")
    assert [file.name for file in made.files] == ["net.rknn"]
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["net.rknn"]
    assert "simulator" in made.notes[-1]


@pytest.mark.parametrize(
    ("compiler", "device", "module"),
    [("tensorrt", "jetson-orin-nano", None), ("rknn", "rk3588", "rknn"), ("coreml", "iphone15", "coremltools")],
)
def test_a_compiler_that_is_not_here_is_an_error_before_anything_is_made(
    compiler: str, device: str, module: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if module is not None and importlib.util.find_spec(module) is not None:
        pytest.skip(f"{module} is here")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("EDGEAI_RKNN_PYTHON", raising=False)
    source = emit(_graph(), "onnx", tmp_path, stem="net").path
    with pytest.raises(MissingEngineError, match="is not installed") as caught:
        _compile(source, compiler, device, tmp_path / "out")
    assert caught.value.hint
    assert not (tmp_path / "out").exists()


def _bundle(folder: Path, *formats: Format) -> Path:
    x, y = (TensorSpec(name=name, shape=(1,), dtype="float32") for name in "xy")
    variants, members = [], {}
    for format in formats:
        for precision in ("float32", "int8"):
            (folder / precision).mkdir(exist_ok=True)
            model = _graph() if precision == "float32" else in_precision(_graph(), format, "int8")
            path = emit(model, format, folder / precision, stem="net").path
            entry = file_entry(f"variants/{format}-{precision}/{path.name}", path)
            members[entry.path] = path
            variants.append(
                Variant(
                    id=f"{format}-{precision}",
                    format=format,
                    precision=precision,
                    delegates=(),
                    files=(entry,),
                    inputs=(x,),
                    outputs=(y,),
                )
            )
    target = folder / "net.edge"
    write_bundle(target, Manifest(name="n", version="1", inputs=(x,), outputs=(y,), variants=tuple(variants)), members)
    return target


@needs_vela
def test_of_a_bundle_the_variant_is_compiled_that_the_accelerator_computes_in(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, "tflite")
    made = _compile(bundle, "ethos-u", "ethos-u55-128", tmp_path / "out")
    assert made.notes[-1] == "Compiled of the variant tflite-int8."
    with pytest.raises(ModelError, match="puts no operator"):
        _compile(bundle, "ethos-u", "ethos-u55-128", tmp_path / "out", variant="tflite-float32")


@pytest.mark.onnxruntime
def test_a_bundle_with_nothing_for_the_compiler_is_an_error_that_lists_what_it_has(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime_qnn", reason="the extra `qnn` is not installed")
    bundle = _bundle(tmp_path, "tflite")
    with pytest.raises(EdgeAIError, match=r"no variant of the bundle is of that: tflite-float32 \(tflite, float32\)"):
        _compile(bundle, "qnn", "qcs6490", tmp_path / "out")
    with pytest.raises(EdgeAIError, match="no variant 'x'"):
        _compile(bundle, "qnn", "qcs6490", tmp_path / "out", variant="x")

"""Compilers of accelerators without their tools: the table, what is refused, and how vendors' tables are read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edgeai_devices.catalog import find_profile, read_profiles
from edgeai_devices.compilers import edgetpu, tensorrt, vela
from edgeai_devices.compilers.protocol import Compiled, CompileReport, accelerator_for
from edgeai_devices.compilers.table import COMPILERS, compile_artifact, find_compiler, load_compiler
from edgeai_devices.compilers.tool_run import run_tool
from edgeai_devices.fit_ways import FORMATS_OF
from edgeai_devices.profile import Profile
from edgeai_devices.profile_rules import COMPILERS as NAMES
from edgeai_runtime.errors import EngineError, MissingEngineError, ModelError, OutputError, UsageError

VELA_OPTIONS = {
    "accelerator-config": "ethos-u55-128",
    "system-config": "Ethos_U55_High_End_Embedded",
    "memory-mode": "Shared_Sram",
}
LAYERS = """Original Operator,NNG Operator,Target,Op Cycles,Name
Conv2D,Conv2D,NPU,14752,conv
Conv2D,Relu,NPU,0,conv
Tanh,Passthrough,CPU,0,curve
Tanh,Passthrough,CPU,0,other
"""
CELLS = {
    "inference_time": "0.000403494",
    "sram_memory_used": "50.625",
    "dram_memory_used": "0.0",
    "on_chip_flash_memory_used": "0.0",
    "off_chip_flash_memory_used": "77.390625",
    "cycles_total": "201747",
}
SUMMARY = f"{','.join(CELLS)}\n{','.join(CELLS.values())}\n"
EDGETPU_LOG = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 362 ms.

Input model: net.tflite
Input size: 96.00KiB
Output model: net_edgetpu.tflite
On-chip memory used for caching model parameters: 71.25KiB
On-chip memory remaining for caching model parameters: 7.68MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 4
Operation log: net_edgetpu.log

Operator                       Count      Status

CONV_2D                        2          Mapped to Edge TPU
SOFTMAX                        1          Mapped to Edge TPU
CUSTOM                         1          Operation is working on an unsupported data type
"""


def _tflite(folder: Path) -> Path:
    path = folder / "net.tflite"
    path.write_bytes(b"\0\0\0\0TFL3" + bytes(64))
    return path


def test_the_table_has_the_compilers_that_profiles_name_and_the_check_knows() -> None:
    assert set(COMPILERS) == set(NAMES)
    assert {name: spec.formats for name, spec in COMPILERS.items() if name not in ("openvino", "rknn")} == {
        name: FORMATS_OF[name] for name in NAMES if name not in ("openvino", "rknn")
    }
    assert all(spec.formats[0] == FORMATS_OF[name][0] for name, spec in COMPILERS.items())


@pytest.mark.parametrize("name", COMPILERS)
def test_a_compiler_module_fills_the_protocol_and_is_found_by_both_its_names(name: str) -> None:
    spec = COMPILERS[name]
    module = load_compiler(spec)
    assert callable(module.version)
    assert callable(module.compile_model)
    assert find_compiler(spec.export) is find_compiler(name) is spec


def test_an_unknown_compiler_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="no compiler 'ethosu'") as caught:
        find_compiler("ethosu")
    assert "ethos-u" in caught.value.hint


@pytest.mark.parametrize("profile", [each for each in read_profiles() if each.compilers], ids=lambda each: each.id)
def test_every_profile_with_a_compiler_has_the_accelerator_and_what_the_compiler_is_told(profile: Profile) -> None:
    for name in profile.compilers:
        accelerator = accelerator_for(profile, name)
        assert hasattr(accelerator, name) == (name in ("vela", "qnn", "openvino", "rknn"))
        assert getattr(accelerator, name, ...) is not None


def test_a_device_without_the_accelerator_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"rpi5 .* has no accelerator that vela compiles for"):
        compile_artifact(_tflite(tmp_path), compiler="vela", profile=find_profile("rpi5"), out=tmp_path / "out")


def test_a_compiler_for_one_device_must_be_told_which(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none was named"):
        compile_artifact(_tflite(tmp_path), compiler="vela", profile=None, out=tmp_path / "out")


def test_a_format_that_the_compiler_does_not_read_is_refused_before_it_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"net\.tflite is tflite; Qualcomm QNN.* reads onnx") as caught:
        compile_artifact(_tflite(tmp_path), compiler="qnn", profile=find_profile("qcs6490"), out=tmp_path / "out")
    assert "--to onnx" in caught.value.hint


@pytest.mark.parametrize(
    ("compiler", "device", "hint"),
    [("edgetpu", "coral-usb", "coral.ai"), ("vela", "ethos-u55-128", r"edgeai\[vela\]")],
)
def test_a_tool_that_is_not_installed_is_an_error_that_says_how_to_get_it(
    compiler: str, device: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(vela.importlib.util, "find_spec", lambda name: None)
    out = tmp_path / "out"
    with pytest.raises(MissingEngineError, match="is not installed") as caught:
        compile_artifact(_tflite(tmp_path), compiler=compiler, profile=find_profile(device), out=out)
    assert hint.replace("\\", "") in caught.value.hint
    assert not list(out.iterdir())


def test_results_appear_whole_replace_nothing_unasked_and_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out, told = _tflite(tmp_path), tmp_path / "out", []

    def compile_model(path: Path, *, profile: Profile | None, folder: Path) -> Compiled:
        files = (folder / "net_vela.tflite", folder / "more" / "weights.bin")
        files[1].parent.mkdir()
        for file in files:
            file.write_bytes(b"new")
        return Compiled(files=files, report=CompileReport(compiler="vela", tool="t", version="1", target="x"))

    monkeypatch.setattr(vela, "compile_model", compile_model)
    made = compile_artifact(source, compiler="vela", profile=None, out=out, on_step=lambda *step: told.append(step))
    assert [file.relative_to(out).as_posix() for file in made.files] == ["net_vela.tflite", "more/weights.bin"]
    assert sorted(each.name for each in out.iterdir()) == ["more", "net_vela.tflite"]
    assert [label for _, _, label in told] == ["compile with vela", "write"]
    made.files[0].write_bytes(b"old")
    with pytest.raises(OutputError, match=r"net_vela\.tflite exists already"):
        compile_artifact(source, compiler="vela", profile=None, out=out)
    assert made.files[0].read_bytes() == b"old"
    compile_artifact(source, compiler="vela", profile=None, out=out, force=True)
    assert made.files[0].read_bytes() == b"new"


def test_a_report_as_json_holds_what_is_known_and_nothing_else() -> None:
    report = CompileReport(compiler="qnn", tool="t", version="1", target="HTP v68", flash_bytes=3)
    assert json.loads(json.dumps(report.to_json())) == {
        "compiler": "qnn",
        "tool": "t",
        "version": "1",
        "target": "HTP v68",
        "options": {},
        "flash_bytes": 3,
    }


def _tables(folder: Path, summary: str, layers: str) -> tuple[Path, Path]:
    paths = folder / "net_summary_x.csv", folder / "net_per-layer.csv"
    for path, text in zip(paths, (summary, layers), strict=True):
        path.write_text(text)
    return paths


def test_velas_tables_become_bytes_milliseconds_and_what_is_left_to_the_processor(tmp_path: Path) -> None:
    report = vela.read_report(*_tables(tmp_path, SUMMARY, LAYERS), version="5.2.0", options=VELA_OPTIONS)
    assert (report.sram_bytes, report.flash_bytes, report.cycles) == (51840, 79248, 201747)
    assert report.estimated_ms == pytest.approx(0.403494)
    assert (report.operators_on_accelerator, report.operators_on_cpu) == (2, 2)
    assert [(each.operator, each.outputs) for each in report.left_on_cpu] == [("Tanh", ("curve", "other"))]


def test_another_table_of_velas_is_an_error_that_names_the_column(tmp_path: Path) -> None:
    tables = _tables(tmp_path, SUMMARY.replace("sram_memory", "sram"), LAYERS)
    with pytest.raises(EngineError, match="no column sram_memory_used"):
        vela.read_report(*tables, version="5.2.0", options=VELA_OPTIONS)


def test_the_log_of_the_edge_tpu_compiler_is_read() -> None:
    report = edgetpu.read_report(EDGETPU_LOG, version="16.0", target="Google Edge TPU")
    assert (report.operators_on_accelerator, report.operators_on_cpu) == (3, 1)
    assert report.left_on_cpu[0].outputs == ("Operation is working on an unsupported data type",)
    assert report.sram_bytes == 72960
    with pytest.raises(EngineError, match="no table of operators"):
        edgetpu.read_report("Internal compiler error. Aborting!", version="16.0", target="x")


@pytest.mark.parametrize(
    ("said", "version"),
    [("[TensorRT v8501]", "8.5.1"), ("[TensorRT v100300]", "10.3.0"), ("no word of it", "unknown")],
)
def test_the_version_of_tensorrt_is_read_of_its_log(said: str, version: str) -> None:
    assert tensorrt.read_version(f"&&&& PASSED TensorRT.trtexec {said} # trtexec") == version


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            "import sys; print('all well'); sys.exit('Warning: x\\nError: no such operator\\n line 2')",
            "no such operator",
        ),
        ("import os; os.abort()", r"crashed \(signal 6\)"),
    ],
)
def test_a_tool_that_fails_is_an_error_with_its_own_words(program: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        run_tool([sys.executable, "-c", program], title="A tool", path=tmp_path / "net.onnx", quiet=("Warning",))
    assert "Warning" not in caught.value.message


def test_a_tool_that_can_not_be_started_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="A tool cannot be started"):
        run_tool([str(tmp_path / "nothing")], title="A tool", path=tmp_path / "net.onnx")

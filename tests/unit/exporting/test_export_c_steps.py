"""Steps as C against the runtime, bit for bit: compiled strictly, optimized as gcc does, on random samples."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeai.exporting.c_postprocess import write_output
from edgeai.exporting.c_preprocess import write_input
from edgeai.exporting.c_steps import CSteps
from edgeai.exporting.c_tensors import c_tensor
from edgeai.exporting.rendering import fill_template
from edgeai_runtime.engines.boundary import input_adapter, output_adapter
from edgeai_runtime.manifest import Quantization, TensorSpec
from edgeai_runtime.transforms.parse import parse_steps
from edgeai_runtime.transforms.pipeline import apply_steps

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")

STRICT = ("-std=gnu99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wno-sign-conversion")
SAMPLES = 3
EXPONENTIALS = 2e-6
"""Share of a result by which two exponentials differ, and the sums of a row of them."""

Build = Callable[[Path, str, str], bytes]


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way in: raw type and shape, steps, the bundle's tensor and the artifact's."""

    raw: str
    steps: str
    stored: str = "int8"
    layouts: tuple[str | None, str | None] = (None, None)
    is_table: bool = False


WAYS = {
    "table": Way(raw="uint8 4x4x3", steps="cast:float32;scale:factor=0.0039,offset=-0.5", is_table=True),
    "quantize": Way(raw="float32 7", steps=""),
    "bytes": Way(raw="int8 7", steps="", is_table=True),
    "channels": Way(raw="uint8 4x5x3", steps="normalize:mean=[123,116,103],std=[58,57,57]", is_table=True),
    "swapped": Way(
        raw="uint8 6x5x3",
        steps="normalize:mean=[123,116,103],std=[58,57,57];channels:[2,1,0];layout:NHWC>NCHW;crop:3,4,layout=NCHW",
        is_table=True,
    ),
    "many channels": Way(raw="uint8 2x6", steps="normalize:mean=[1,2,3,4,5,6],std=9"),
    "turned": Way(raw="uint8 3x4x2", steps="cast:float32;scale:0.01", layouts=("NCHW", "NHWC"), is_table=True),
    "turned channels": Way(
        raw="uint8 3x4x2", steps="normalize:[9,8,7],[60,70,80],axis=1", layouts=("NCHW", "NHWC"), is_table=True
    ),
    "bilinear up": Way(raw="uint8 5x4x3", steps="resize:7,9;normalize:100,60", is_table=True),
    "bilinear down": Way(raw="uint8 9x8x1", steps="resize:4,3;cast:float32;scale:0.02", stored="int16", is_table=True),
    "bilinear floats": Way(raw="float32 5x4x3", steps="resize:7,3,layout=NHWC"),
    "bilinear of floats": Way(raw="uint8 6x6x3", steps="normalize:mean=[1,2,3],std=60;resize:4,5", stored="uint8"),
    "bilinear int16": Way(raw="int16 3x5x4", steps="resize:5,5,layout=NCHW;scale:0.001", stored="int16"),
    "nearest": Way(raw="uint8 7x5x3", steps="resize:4,9,method=nearest;cast:float32;scale:0.01", is_table=True),
    "letterbox": Way(
        raw="uint8 9x4x3", steps="resize:6,6,fit=inside;pad:6,6,value=114;normalize:[1,2,3],[60,61,62]", is_table=True
    ),
    "padded after": Way(raw="uint8 3x4x2", steps="scale:0.01;pad:5,7,value=0.7,place=start"),
    "odd crop": Way(raw="uint8 8x7x3", steps="crop:3,4;expand;scale:0.01", is_table=True),
    "float model": Way(raw="uint8 4x4x3", steps="normalize:[99,98,97],[58,57,56];layout:NHWC>NCHW", stored="float32"),
    "float scale": Way(raw="int16 9", steps="scale:0.0123,0.77", stored="float32"),
    "doubles": Way(raw="float64 6", steps="scale:0.1,0.3;cast:float32"),
    "bools": Way(raw="bool 6", steps="cast:float32"),
    "dequantized": Way(raw="int8 6", steps="dequantize:0.05,zero_point=-3", is_table=True),
    "sigmoid": Way(raw="uint8 6", steps="scale:0.03,-4;sigmoid", is_table=True),
    "cut off": Way(raw="float32 40", steps="cast:int8;cast:float32", is_table=True),
    "narrowed": Way(raw="int32 40", steps="cast:uint8;scale:0.01", is_table=True),
    "wide and narrow": Way(
        raw="float32 40", steps="scale:1e17;cast:int64;scale:1e-15;cast:uint16;cast:int16;scale:0.01", stored="int16"
    ),
    "halves": Way(raw="uint16 40", steps="cast:int8;scale:0.5", is_table=True),
    "to int32": Way(raw="float32 40", steps="scale:1e8;cast:int32;scale:1e-9"),
}  # fmt: skip
RESULTS = {
    "real": "",
    "probabilities": "softmax",
    "planes": "softmax:axis=1",
    "sigmoid": "sigmoid",
    "largest": "argmax",
    "of planes": "argmax:axis=1",
    "scaled": "scale:2,1;softmax;cast:float32;scale:100",
    "bytes": "scale:3,0.5;cast:uint8",
}


def _array(text: str, seed: int) -> NDArray[Any]:
    kind, _, shape = text.partition(" ")
    sizes = (SAMPLES, *map(int, shape.split("x")))
    generator = np.random.default_rng(seed)
    if kind == "bool":
        return generator.integers(0, 2, sizes).astype(bool)
    if kind.startswith("float"):
        return (generator.normal(size=sizes) * 30).astype(kind)
    limits = np.iinfo(kind)
    return generator.integers(limits.min, limits.max, sizes, dtype=kind, endpoint=True)


def _spec(dtype: str, shape: tuple[int, ...], layout: str | None = None, scale: float = 0.0) -> TensorSpec:
    stored = Quantization(scale=scale, zero_point=3) if scale and dtype != "float32" else None
    return TensorSpec(name="x", shape=(1, *shape), dtype=dtype, layout=layout, quantization=stored)


def _model_header(stem: str, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> str:
    return fill_template(
        "c_model.h.j2", stem=stem, macro=stem.upper(), origin="a test", size=1, margin_percent=10, labels=(), steps=(),
        arena=SimpleNamespace(tensors=0, scratch=0, records=0, margin=0, total=0, kernels="none"),
        inputs=[c_tensor(each, 0) for each in inputs], outputs=[c_tensor(each, 0) for each in outputs],
    )  # fmt: skip


@pytest.fixture
def run_steps(tmp_path: Path) -> Callable[..., bytes]:
    """Return a function that compiles steps strictly and gives what they make of samples, as bytes."""

    def run(steps: CSteps, given: NDArray[Any], inputs: list[TensorSpec], outputs: list[TensorSpec]) -> bytes:
        assert not steps.left_out, steps.left_out
        before = bool(inputs)
        role, size = ("preprocess", "INPUT_0") if before else ("postprocess", "RESULT_0")
        values = {"stem": "m", "macro": "M", "origin": "a test", "before": before, "steps": [steps], "labels": ()}
        (tmp_path / "m_model.h").write_text(_model_header("m", inputs, outputs))
        (tmp_path / f"m_{role}.h").write_text(fill_template("c_steps.h.j2", **values))
        (tmp_path / f"m_{role}.c").write_text(fill_template("c_steps.c.j2", needs=steps.needs, **values))
        taken, made = ("raw_0_t", "input_0_t") if before else ("output_0_t", "result_0_t")
        (tmp_path / "main.c").write_text(
            f'#include <stdio.h>\n#include "m_{role}.h"\nint main(void) {{\n'
            f"  static m_{taken} given[{given[0].size}];\n  static m_{made} made[M_{size}_SIZE];\n"
            "  while (fread(given, sizeof(given), 1, stdin) == 1) {\n"
            f"    m_{role}_0(given, made);\n    fwrite(made, sizeof(made), 1, stdout);\n  }}\n  return 0;\n}}\n"
        )
        flags = ("-O2", "-march=x86-64-v3") if _has_fused() else ("-O1",)
        command = ["gcc", *STRICT, *flags, f"m_{role}.c", "main.c", "-o", "program"]
        built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert built.returncode == 0, built.stderr
        program = [tmp_path / "program"]
        return subprocess.run(program, input=given.tobytes(), check=True, capture_output=True, timeout=60).stdout

    return run


def _has_fused() -> bool:
    """Say whether this processor multiplies and adds in one instruction, which must not change a bit."""
    cpu = Path("/proc/cpuinfo")
    return cpu.is_file() and " fma " in cpu.read_text() and " avx2 " in cpu.read_text()


@pytest.mark.parametrize("name", WAYS)
def test_what_is_stored_is_what_the_runtime_stores(name: str, run_steps: Callable[..., bytes]) -> None:
    way = WAYS[name]
    raw, steps = _array(way.raw, len(name)), parse_steps(way.steps)
    prepared = np.asarray(apply_steps(steps, raw)).astype(np.float32)
    outer = _spec("float32", prepared.shape[1:], way.layouts[0])
    shape = prepared.shape[1:] if way.layouts[1] is None else prepared.transpose(0, 2, 3, 1).shape[1:]
    own = _spec(way.stored, shape, way.layouts[1], scale=float(np.abs(prepared).max()) / 100)
    adapt = input_adapter(outer, own)
    want = adapt(prepared) if adapt is not None else prepared
    written = write_input("m", 0, outer, own, steps, raw)
    assert written.is_table == way.is_table
    got = np.frombuffer(run_steps(written, raw, [own], []), way.stored).reshape(want.shape)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("stored", ["int8", "float32"])
@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_what_the_runtime_gives(name: str, stored: str, run_steps: Callable[..., bytes]) -> None:
    steps = parse_steps(RESULTS[name])
    given = _array(f"{stored} 5x2x3", len(name))
    own, outer = _spec(stored, (5, 2, 3), "NHWC", scale=0.05), _spec("float32", (3, 5, 2), "NCHW")
    adapt = output_adapter(own, outer)
    want = np.asarray(apply_steps(steps, adapt(given) if adapt is not None else given))
    written = write_output("m", 0, own, outer, steps)
    kind = np.int32 if want.dtype == np.int64 else want.dtype
    assert written.kind == np.dtype(kind).name
    got = np.frombuffer(run_steps(written, given, [], [own]), kind).reshape(want.shape)
    if written.is_exact:
        np.testing.assert_array_equal(got, want)
    else:
        np.testing.assert_allclose(got, want, rtol=EXPONENTIALS, atol=1e-37)


@pytest.mark.parametrize(("text", "shape"), [("argmax", (5,)), ("softmax;argmax", (5,)), ("sigmoid;cast:bool", ())])
def test_a_result_of_one_number_has_no_axes(text: str, shape: tuple[int, ...], run_steps: Callable[..., bytes]) -> None:
    steps = parse_steps(text)
    given = np.arange(3 * math.prod(shape), dtype=np.float32).reshape(3, *shape) % 7
    want = np.asarray(apply_steps(steps, given))
    spec = _spec("float32", shape)
    written = write_output("m", 0, spec, spec, steps)
    got = np.frombuffer(run_steps(written, given, [], [spec]), written.kind)
    np.testing.assert_array_equal(got, want)
    assert written.shape == ()


@pytest.mark.parametrize("text", ["labels:top=3", "softmax;labels:top=2", "softmax;labels:top=99"])
def test_the_best_classes_are_those_of_the_runtime(text: str, run_steps: Callable[..., bytes]) -> None:
    steps = parse_steps(text)
    given = np.array([[1, 5, 5, -3, 4], [0, 0, 0, 0, 0], [-9, 8, 7, 8, 9]], np.int8)
    own, outer = _spec("int8", (5,), scale=0.25), _spec("float32", (5,))
    adapt = output_adapter(own, outer)
    assert adapt is not None
    want = apply_steps(steps, adapt(given))
    written = write_output("m", 0, own, outer, steps)
    pair = np.dtype([("index", np.int32), ("score", np.float32)])
    got = np.frombuffer(run_steps(written, given, [], [own]), pair).reshape(3, -1)
    assert [[str(each["index"]) for each in row] for row in got] == [[each["label"] for each in row] for row in want]
    scores = [[each["score"] for each in row] for row in want]
    np.testing.assert_allclose(got["score"], scores, rtol=EXPONENTIALS)
    assert written.ram_bytes == (20 if "softmax" in text else 0)


@pytest.mark.parametrize(
    ("raw", "steps", "why"),
    [
        ("float32 400", "spectrogram:frame_length=64,hop=32", "'spectrogram' is not written in C"),
        ("uint8 8x8x3", "resize:3,3,method=antialias", "antialias is not written"),
        ("float64 8x8x3", "resize:3,3", "of float64 is not written"),
        ("float32 8", "cast:float16", "float16 is not written"),
        ("uint64 8", "scale:1", "uint64 is not written"),
        ("float32 2x8", "labels", "'labels' is not written in C"),
        ("float32 8", "scale:1;softmax:axis=1;resize:2,2", "images are NHWC with four axes"),
    ],
)
@pytest.mark.parametrize("stored", ["int8", "float32"])
def test_what_cannot_be_written_is_left_out_with_the_reason(raw: str, steps: str, why: str, stored: str) -> None:
    outer, own = _spec("float32", (8,)), _spec(stored, (8,), scale=0.5)
    assert why in write_input("m", 0, outer, own, parse_steps(steps), _array(raw, 0)).left_out


@pytest.mark.parametrize(("kind", "is_written"), [("int8", True), ("int16", False)])
def test_from_one_scale_to_another_there_is_no_way_but_a_table(kind: str, is_written: bool) -> None:
    own, outer = _spec(kind, (8,), scale=0.5), _spec(kind, (8,), scale=0.25)
    written = write_input("m", 0, outer, own, (), _array(f"{kind} 8", 0))
    assert written.is_table == is_written
    assert ("no way from int16 to int16" in written.left_out) != is_written
    assert "no way from" in write_output("m", 0, own, outer, ()).left_out


def test_without_recorded_samples_steps_are_left_out() -> None:
    spec = _spec("float32", (8,))
    assert "no recorded samples" in write_input("m", 0, spec, spec, parse_steps("scale:2")).left_out
    assert not write_input("m", 0, spec, spec, ()).left_out


def test_steps_that_give_another_shape_than_the_model_takes_are_left_out() -> None:
    spec = _spec("float32", (8,))
    raw = np.zeros((1, 4, 4, 1), np.uint8)
    assert "the model takes (8,)" in write_input("m", 0, spec, spec, parse_steps("scale:2"), raw).left_out

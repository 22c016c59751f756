"""The Kotlin wrapper, compiled where there is a `kotlinc`: its steps against numpy, its self-test on recorded samples.

`$EDGEAI_KOTLINC` or `kotlinc` on the path; the interpreter and Android are stand-ins of a few lines.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeai.exporting import export
from edgeai.exporting.android import kotlin_calls
from edgeai.exporting.app_steps import translate_steps
from edgeai_runtime.transforms.parse import parse_steps
from edgeai_runtime.transforms.pipeline import apply_steps

KOTLINC = os.environ.get("EDGEAI_KOTLINC") or shutil.which("kotlinc")
pytestmark = pytest.mark.skipif(KOTLINC is None, reason="kotlinc is neither on the path nor in $EDGEAI_KOTLINC")

CASES: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("uint8", "cast:float32;scale:factor=0.0625,offset=-1", (1, 3, 5)),
    ("uint8", "normalize:mean=[1,2,3],std=[4,5,6]", (1, 4, 4, 3)),
    ("float32", "normalize:mean=[1,2,3],std=[4,5,6],axis=1", (1, 3, 4, 4)),
    ("uint8", "resize:5,9", (1, 8, 4, 3)),
    ("uint8", "resize:3,2,method=antialias", (1, 8, 7, 3)),
    ("float32", "resize:7,11,method=nearest,layout=NCHW", (1, 3, 4, 5)),
    ("uint8", "resize:6,6,fit=inside;pad:6,6,value=114", (1, 9, 4, 3)),
    ("uint8", "crop:3,4;channels:[2,1,0];layout:NHWC>NCHW", (1, 8, 7, 3)),
    ("uint8", "pad:7,8,value=3,place=start", (1, 4, 5, 1)),
    ("float32", "expand;cast:int8", (1, 6)),
    ("int8", "dequantize:0.5,zero_point=-3;sigmoid", (1, 6)),
    ("float32", "softmax:axis=1", (1, 4, 3)),
    ("float32", "argmax:axis=1", (1, 4, 3)),
)

_STANDINS = """
package org.tensorflow.lite

class Interpreter(model: java.nio.ByteBuffer, options: Options) {
    class Options { fun setNumThreads(threads: Int): Options = this }
    private val weights = floatArrayOf(WEIGHTS)
    private val bias = floatArrayOf(BIAS)
    fun runForMultipleInputsOutputs(inputs: Array<Any>, outputs: Map<Int, Any>) {
        val x = inputs[0] as java.nio.ByteBuffer
        val given = FloatArray(4) { x.getFloat() }
        val y = outputs[0] as java.nio.ByteBuffer
        for (column in 0 until 3) {
            y.putFloat(bias[column] + (0 until 4).map { given[it] * weights[it * 3 + column] }.sum())
        }
    }
    fun close() {}
}
"""
_ANDROID = """
package android.content

class Opened : java.io.Closeable {
    val fileDescriptor = java.io.FileDescriptor()
    val startOffset = 0L
    val declaredLength = 0L
    override fun close() {}
}
class Assets {
    fun openFd(name: String) = Opened()
    fun open(name: String): java.io.InputStream = java.io.FileInputStream(name)
}
class Context { val assets = Assets() }
"""


def _literal(values: NDArray[Any]) -> str:
    return "floatArrayOf(" + ", ".join(f"{float(value)!r}f" for value in values.reshape(-1)) + ")"


def _sample(dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    generator = np.random.default_rng(len(shape))
    if dtype == "float32":
        return (generator.normal(size=shape) * 100).astype(np.float32)
    return generator.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape).astype(dtype)


@pytest.fixture
def run_kotlin(tmp_path: Path) -> Callable[[list[Path]], list[str]]:
    """Return a function that compiles sources and gives the lines that they print."""

    def run(sources: list[Path]) -> list[str]:
        program = tmp_path / "program.jar"
        command = [str(KOTLINC), *map(str, sources), "-include-runtime", "-d", str(program)]
        built = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert built.returncode == 0, built.stderr
        done = subprocess.run(["java", "-jar", program, tmp_path], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def test_steps_and_self_test_agree_with_the_runtime(
    small: Any, tmp_path: Path, run_kotlin: Callable[[list[Path]], list[str]]
) -> None:
    made = export(small.path, to="android", out=tmp_path / "android")
    lines, expected = [], []
    for dtype, text, shape in CASES:
        sample = _sample(dtype, shape)
        expected.append(np.asarray(apply_steps(parse_steps(text), sample), np.float64))
        calls = kotlin_calls(translate_steps(parse_steps(text), dtype=dtype))
        lines.append(f"show(Tensor(intArrayOf({', '.join(map(str, shape))}), {_literal(sample)}){calls})")
    main = tmp_path / "Main.kt"
    main.write_text(
        "import edgeai.small_net_2.*\n"
        'fun show(x: Tensor) = println(x.shape.joinToString(",") + "|" + x.values.joinToString(","))\n'
        "fun main(args: Array<String>) {\n    " + "\n    ".join(lines) + "\n"
        '    val assets = java.io.File(args[0], "android/src/main/assets")\n'
        '    val labels = java.io.File(assets, "small_net_2_labels.txt").readLines()\n'
        '    val golden = java.nio.ByteBuffer.wrap(java.io.File(assets, "small_net_2_golden.bin").readBytes())\n'
        "    SmallNet2Model(java.nio.ByteBuffer.allocateDirect(4), labels).use { println(it.selfTest(golden)) }\n"
        "    golden.putFloat(16, golden.getFloat(16) + 0.01f)\n"
        "    SmallNet2Model(java.nio.ByteBuffer.allocateDirect(4), labels).use { println(it.selfTest(golden)) }\n}\n"
    )
    weights, bias = (", ".join(f"{float(value)!r}f" for value in each.flat) for each in (small.weights, small.bias))
    standins = tmp_path / "Interpreter.kt"
    standins.write_text(_STANDINS.replace("WEIGHTS", weights).replace("BIAS", bias))
    android = tmp_path / "Android.kt"
    android.write_text(_ANDROID)
    sources = [path for path in made.files if path.suffix == ".kt" and "androidTest" not in path.parts]
    printed = run_kotlin([main, standins, android, *sources])
    assert printed[len(CASES) :] == ["0", "1"]
    for (_, text, _), want, line in zip(CASES, expected, printed, strict=False):
        shape, _, values = line.partition("|")
        got = np.array([float(value) for value in values.split(",")]).reshape([int(size) for size in shape.split(",")])
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-4, err_msg=text)

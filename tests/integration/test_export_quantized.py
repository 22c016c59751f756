"""An int8 bundle as C: what the header quantizes is what the runtime quantizes, and the real interpreter agrees."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
pytestmark = pytest.mark.litert

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The digits example in int8, inputs and outputs too, exported with its recorded samples; folder and facts."""
    import edgeai
    from edgeai.exporting import export

    folder = tmp_path_factory.mktemp("export")
    result = edgeai.compress(
        str(EXAMPLE / "digits.onnx"),
        data=str(EXAMPLE / "digits.npz"),
        formats=["tflite"],
        precisions=["int8"],
        boundary="int8",
        preprocess="cast:float32;scale:factor=0.0625",
        work=folder / "work",
    )
    result.save(folder / "digits.edge")
    made = export(folder / "digits.edge", to="c", out=folder / "c", device="nrf52840")
    return folder / "c", made.facts


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
def test_a_number_is_stored_in_c_as_the_runtime_stores_it(exported: tuple[Path, Any]) -> None:
    from edgeai_runtime.engines.boundary import input_adapter
    from edgeai_runtime.manifest import Quantization, TensorSpec

    folder, _ = exported
    header = (folder / "digits_model.h").read_text()
    scale = float(re.search(r"INPUT_0_SCALE (\S+)f", header)[1])  # type: ignore[index]
    zero_point = int(re.search(r"INPUT_0_ZERO_POINT \((\S+)\)", header)[1])  # type: ignore[index]
    steps = np.concatenate([np.arange(-400, 400) / 2, [1e30, -1e30]]).astype(np.float32)
    values = steps * np.float32(scale)
    outer = TensorSpec(name="x", shape=(1,), dtype="float32")
    inner = TensorSpec(
        name="x", shape=(1,), dtype="int8", quantization=Quantization(scale=scale, zero_point=zero_point)
    )
    adapt = input_adapter(outer, inner)
    assert adapt is not None
    numbers = ", ".join(f"{float(value)!r}f" for value in values)
    main = folder / "print.c"
    main.write_text(
        '#include <stdio.h>\n#include "digits_model.h"\n'
        f"static const float values[] = {{{numbers}}};\nint main(void) {{\n"
        f'  for (int i = 0; i < {len(values)}; ++i) printf("%d\\n", digits_quantize_0(values[i]));\n  return 0;\n}}\n'
    )
    subprocess.run(["gcc", "-std=c11", "-Wall", "-Werror", main, "-o", folder / "print"], check=True, timeout=120)
    printed = subprocess.run([folder / "print"], check=True, capture_output=True, text=True, timeout=60).stdout
    np.testing.assert_array_equal(np.array(printed.split(), np.int8), adapt(values))


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
@pytest.mark.parametrize("planted", [False, True])
def test_raw_samples_become_the_bytes_that_the_runtime_gives_the_model(
    exported: tuple[Path, Any], tmp_path: Path, planted: bool
) -> None:
    folder, facts = exported
    for path in folder.glob("*.[ch]"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    source = tmp_path / "digits_preprocess.c"
    text = source.read_text()
    assert "float " not in text
    assert text.count("_stored_0[(uint8_t)") == 1
    if planted:
        source.write_text(text.replace("_stored_0[(uint8_t)", "_stored_0[1 + (uint8_t)"))
    sources = sorted(tmp_path.glob("digits_*.c"))
    flags = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-DDIGITS_STEPS_TEST_MAIN")
    subprocess.run(["gcc", *flags, *sources, "-o", tmp_path / "test"], check=True, timeout=120)
    done = subprocess.run([tmp_path / "test"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "steps: 0 differences" in done.stdout) == ((1, False) if planted else (0, True))
    assert facts["steps"] == {"flash_bytes": 256, "ram_bytes": 0, "raw_bytes": 64 + 40, "left_out": []}
    assert facts["ram_bytes"] == facts["arena_bytes"]


def test_the_real_interpreter_agrees_with_the_recorded_samples_in_this_arena(exported: tuple[Path, Any]) -> None:
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime", reason="tflite-micro is not installed")
    folder, facts = exported

    def numbers(file: str, name: str, dtype: Any) -> Any:
        text = (folder / file).read_text().split(name)[1].split("= {")[1].split("};")[0]
        return np.array([float(each) for each in re.findall(r"-?\d[\d.e+-]*(?=f?,)", text)]).astype(dtype)

    array = (folder / "digits_model.c").read_text().split("= {")[1].split("};")[0]
    content = bytes(int(each, 16) for each in re.findall(r"0x[0-9a-f]{2}", array))
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=facts["arena_bytes"])
    tolerance = float(re.search(r"_ATOL (\S+)f", (folder / "digits_golden.h").read_text())[1])  # type: ignore[index]
    samples = numbers("digits_golden.c", "golden_input_0", np.int8).reshape(facts["golden_samples"], 1, 8, 8, -1)
    recorded = numbers("digits_golden.c", "golden_output_0", np.float32).reshape(facts["golden_samples"], -1)
    shape = interpreter.get_input_details(0)["shape"]
    stored = interpreter.get_output_details(0)["quantization_parameters"]
    for sample, want in zip(samples, recorded, strict=True):
        interpreter.set_input(sample.reshape(shape), 0)
        interpreter.invoke()
        real = (interpreter.get_output(0).astype(np.float32) - stored["zero_points"][0]) * stored["scales"][0]
        assert np.abs(real.reshape(-1) - want).max() <= tolerance


@pytest.mark.assets
@pytest.mark.parametrize(
    "model",
    [
        "tflite_micro/hello_world_int8.tflite",
        "tflite_micro/person_detect.tflite",
        "mlperf_tiny/anomaly_detection/ad01_fp32.tflite",
        "mlperf_tiny/anomaly_detection/ad01_int8.tflite",
        "mlperf_tiny/image_classification/pretrainedResnet_quant.tflite",
        "mlperf_tiny/keyword_spotting/kws_ref_model.tflite",
    ],
)
def test_real_models_run_in_their_arena_and_most_of_it_is_needed(assets: Path, tmp_path: Path, model: str) -> None:
    from edgeai.exporting import export

    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime", reason="tflite-micro is not installed")
    size = export(assets / model, to="c", out=tmp_path / "c", device="stm32h743").facts["arena_bytes"]

    def runs(arena: int) -> bool:
        try:
            interpreter = runtime.Interpreter.from_file(str(assets / model), arena_size=arena)
            details = interpreter.get_input_details(0)
            interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
            interpreter.invoke()
        except RuntimeError:
            return False
        return True

    assert runs(size)
    assert not runs(size // 2)

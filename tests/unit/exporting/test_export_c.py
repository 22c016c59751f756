"""`--to c`: sources that compile without a warning and hold the model's bytes; an example that runs the samples."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgeai.exporting import export

needs_gcc = pytest.mark.skipif(not (shutil.which("gcc") and shutil.which("g++")), reason="there is no gcc")
STUBS = Path(__file__).parent / "tflm"
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")
LABELS = ("zero", 'one "1"', "two ??/ $x \\n é")


def _build(folder: Path, sources: list[Path], *flags: str) -> Path:
    """Compile C and C++ sources, each as what it is, and return the program."""
    objects = []
    for source in sources:
        compiler = ("gcc", "-std=c11") if source.suffix == ".c" else ("g++", "-std=c++17")
        objects.append(folder / f"{source.name}.o")
        command = [*compiler, *STRICT, *flags, "-I", STUBS, "-I", folder, "-c", source, "-o", objects[-1]]
        subprocess.run(command, check=True, timeout=120)
    program = folder / "program"
    subprocess.run(["g++", *objects, "-o", program], check=True, timeout=120)
    return program


def _stub(folder: Path, small: Any) -> Path:
    """The layer's numbers for the stand-in of the interpreter."""
    source = folder / "stub.cc"
    weights, bias = (", ".join(f"{float(value)!r}f" for value in each.flat) for each in (small.weights, small.bias))
    source.write_text(
        f"extern const float stub_weights[12];\nconst float stub_weights[12] = {{{weights}}};\n"
        f"extern const float stub_bias[3];\nconst float stub_bias[3] = {{{bias}}};\n"
    )
    return source


@needs_gcc
def test_the_array_and_the_labels_are_those_of_the_bundle(small: Any, tmp_path: Path) -> None:
    out = tmp_path / "c"
    export(small.path, to="c", out=out)
    main = out / "print.c"
    main.write_text(
        '#include <stdio.h>\n#include "small_net_2_model.h"\nint main(void) {\n'
        "  for (int i = 0; i < SMALL_NET_2_LABEL_COUNT; ++i) puts(small_net_2_labels[i]);\n"
        "  fwrite(small_net_2_model, 1, sizeof(small_net_2_model), stdout);\n"
        "  return (uintptr_t)small_net_2_model % 16 == 0 ? 0 : 1;\n}\n"
    )
    program = _build(out, [out / "small_net_2_model.c", main])
    printed = subprocess.run([program], check=True, capture_output=True, timeout=60).stdout
    assert printed == "".join(f"{label}\n" for label in LABELS).encode() + small.model.read_bytes()


@needs_gcc
@pytest.mark.parametrize(("planted", "code"), [(0.0, 0), (0.01, 1)])
def test_the_example_runs_the_recorded_samples_and_finds_a_wrong_kernel(
    small: Any, tmp_path: Path, planted: float, code: int
) -> None:
    out = tmp_path / "c"
    made = export(small.path, to="c", out=out)
    small.bias[1] += planted
    sources = [path for path in made.files if path.suffix in (".c", ".cc")]
    program = _build(out, [*sources, _stub(out, small)])
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout
    assert f"self-test: {4 * code} differences in 4 samples" in done.stdout


def test_facts_are_what_a_build_looks_at(small: Any, tmp_path: Path) -> None:
    facts = export(small.path, to="c", out=tmp_path / "c", device="stm32h743").facts
    parts = facts["arena"]
    assert facts["variant"] == "float"
    assert facts["operators"] == ["AddFullyConnected"]
    assert facts["model_bytes"] == small.model.stat().st_size
    assert facts["arena_bytes"] % 16 == 0
    assert 0 <= facts["arena_bytes"] - sum(parts[key] for key in ("tensors", "scratch", "records", "margin")) < 16
    assert parts["kernels"] == "cmsis-nn"


def test_a_model_without_a_bundle_says_that_it_can_not_be_tested(small: Any, tmp_path: Path) -> None:
    made = export(small.model, to="c", out=tmp_path / "c")
    assert any("No recorded samples" in note for note in made.notes)
    assert not [path for path in made.files if "golden" in path.name]


def test_the_same_bundle_gives_the_same_bytes(small: Any, tmp_path: Path) -> None:
    first, second = (export(small.path, to="c", out=tmp_path / name).files for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]

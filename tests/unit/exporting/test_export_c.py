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


@pytest.fixture
def left_out(small: Any, tmp_path: Path) -> Path:
    """The bundle with a step before the model and one after it that are not written in C."""
    from edgeai_runtime.bundle import open_bundle, write_bundle
    from edgeai_runtime.manifest import Step
    from edgeai_runtime.record import replace

    bundle = open_bundle(small.path)
    manifest = replace(
        bundle.manifest,
        preprocessing={"x": (Step(op="log", params={"offset": 1}),)},
        postprocessing={"y": (Step(op="top_k", params={"k": 2}),)},
    )
    files = [path for path in sorted(bundle.root.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    path = tmp_path / "left.edge"
    write_bundle(path, manifest, {str(file.relative_to(bundle.root)): file for file in files})
    return path


def test_what_is_left_to_the_program_is_said_everywhere(
    left_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgeai.cli.app import run

    out = tmp_path / "c"
    assert run(["export", str(left_out), "--to", "c", "-o", str(out)]) == 0
    said = " ".join(capsys.readouterr().err.split())
    for when, name, step in (("pre", "x", "log"), ("post", "y", "top_k")):
        sentence = f"The {when}-processing of {name} is NOT written, the program has to do it: '{step}' is not written"
        assert sentence in said
        assert sentence in (out / "small_net_2_README.md").read_text()
        assert sentence in (out / "small_net_2_model.h").read_text()
        header = (out / f"small_net_2_{when}process.h").read_text()
        assert f"NOT WRITTEN, the program has to do it: '{step}' is not written in C" in header
        assert f"small_net_2_{when}process_0" not in header


@needs_gcc
def test_an_example_without_the_steps_still_tests_the_model(small: Any, left_out: Path, tmp_path: Path) -> None:
    out = tmp_path / "c"
    made = export(left_out, to="c", out=out)
    sources = [path for path in made.files if path.suffix in (".c", ".cc")]
    program = _build(out, [*sources, _stub(out, small)])
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1  # the stand-in gets logarithms, the recorded outputs are of other inputs
    assert "steps: 0 differences in 4 samples" in done.stdout
    assert "self-test: 12 differences in 4 samples" in done.stdout


@needs_gcc
@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("preprocess", "* 0.25f", "* 0.2500001f"),
        ("postprocess", "sum = 0.0f", "sum = 0.1f"),
        ("postprocess", "is_better(score, result", "!is_better(score, result"),
    ],
)
def test_the_example_finds_a_wrong_step(small: Any, tmp_path: Path, file: str, right: str, wrong: str) -> None:
    out = tmp_path / "c"
    made = export(small.path, to="c", out=out)
    source = out / f"small_net_2_{file}.c"
    text = source.read_text()
    assert right in text
    source.write_text(text.replace(right, wrong))
    program = _build(out, [path for path in made.files if path.suffix == ".c"], "-DSMALL_NET_2_STEPS_TEST_MAIN")
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "steps: 0 differences" not in done.stdout


def test_memory_of_the_steps_is_counted(small: Any, tmp_path: Path) -> None:
    facts = export(small.path, to="c", out=tmp_path / "c").facts
    assert facts["steps"] == {"flash_bytes": 0, "ram_bytes": 3 * 4, "raw_bytes": 4 + 2 * 8, "left_out": []}
    assert facts["ram_bytes"] == facts["arena_bytes"] + 12
    readme = (tmp_path / "c" / "small_net_2_README.md").read_text()
    assert f"| **RAM, together** | **{facts['ram_bytes']}** |" in readme
    assert (tmp_path / "c" / "small_net_2_postprocess.c").read_text().count("static float output_0_scores_0[3];") == 1


def test_a_bare_model_has_no_steps(small: Any, tmp_path: Path) -> None:
    made = export(small.model, to="c", out=tmp_path / "c")
    assert not [path for path in made.files if "process" in path.name or "steps" in path.name]
    assert (tmp_path / "c" / "model_README.md").is_file()

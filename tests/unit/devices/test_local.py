"""The processor of this machine, and what it means for int8."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_devices import local
from edgeai_devices.catalog import read_all_rules
from edgeai_devices.local import describe_local, detect_cpu, int8_in_words, rules_for_cpu
from edgeai_runtime.delegates.probe import Probe
from edgeai_runtime.errors import UsageError


def test_flags_are_read_from_x86() -> None:
    cpu = detect_cpu("processor : 0\nflags : fpu avx2 avx512_vnni fma\n")
    assert {"avx2", "fma", "avx512_vnni"} <= set(cpu.isa)
    assert cpu.known


def test_features_are_read_from_arm() -> None:
    assert detect_cpu("Features\t: fp asimd asimddp\n").isa == ("asimd", "asimddp")


def test_what_the_system_does_not_tell_is_not_known() -> None:
    assert not detect_cpu("nothing here").known


@pytest.mark.parametrize(
    ("architecture", "isa", "words"),
    [
        ("x86_64", ("avx2", "avx512_vnni"), "does not saturate"),
        ("x86_64", ("avx2", "avx_vnni"), "does not saturate"),
        ("x86_64", ("avx2",), "can saturate"),
        ("x86_64", (), "no AVX2"),
        ("aarch64", ("asimd", "asimddp"), "run fast"),
        ("aarch64", ("asimd",), "little speed"),
        ("riscv64", (), "not known"),
    ],
)
def test_the_instruction_set_is_put_in_words(architecture: str, isa: tuple[str, ...], words: str) -> None:
    assert words in int8_in_words(architecture, isa)


@pytest.mark.parametrize(
    ("architecture", "isa", "rules"),
    [
        ("x86_64", ("avx2", "avx512_vnni"), "xnnpack-avx512-vnni"),
        ("x86_64", ("avx2", "avx_vnni"), "xnnpack-avx2"),
        ("x86_64", (), None),
        ("aarch64", ("asimd", "asimddp"), "xnnpack-arm-dot"),
        ("aarch64", ("asimd",), "xnnpack-arm"),
        ("riscv64", (), None),
    ],
)
def test_rules_are_chosen_by_the_instruction_set(architecture: str, isa: tuple[str, ...], rules: str | None) -> None:
    assert rules_for_cpu(architecture, isa) == rules


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> dict[str, Probe]:
    """What the probes find; nothing else is present."""
    found: dict[str, Probe] = {}
    monkeypatch.setattr(local, "probe", lambda name: found.get(name, Probe(present=False)))
    return found


def test_this_machine_has_the_delegates_that_are_found_hardware_first(present: dict[str, Probe]) -> None:
    present.update({"litert:xnnpack": Probe(present=True), "onnxruntime:cuda": Probe(present=True)})
    profile = describe_local("mine")
    assert profile.delegates == ("onnxruntime:cuda", "litert:xnnpack")
    assert profile.formats == ("tflite", "onnx")
    assert profile.id == "mine"
    assert profile.memory.ram_mib[0] > 0


def test_a_simulator_is_no_hardware_of_this_machine(present: dict[str, Probe]) -> None:
    present["litert:xnnpack"] = Probe(present=True)
    present["onnxruntime:qnn-htp"] = Probe(present=True, emulated=True)
    assert describe_local().delegates == ("litert:xnnpack",)


def test_without_an_engine_this_machine_has_no_profile(present: dict[str, Probe]) -> None:
    with pytest.raises(UsageError, match="No engine is installed"):
        describe_local()


def test_rules_are_kept_that_hold_for_this_machine(
    present: dict[str, Probe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "rules_for_cpu", lambda *_: "xnnpack-avx2")
    present["litert:xnnpack"] = Probe(present=True)
    assert [each.id for each in describe_local(rules=read_all_rules(tmp_path)).rules] == ["xnnpack-avx2"]
    present.clear()
    present["openvino:cpu"] = Probe(present=True)
    assert describe_local(rules=read_all_rules(tmp_path)).rules == ()


@pytest.mark.parametrize("name", ["My Box", "../x", "", "a_b"])
def test_an_id_is_made_of_small_letters_digits_and_dashes(name: str, present: dict[str, Probe]) -> None:
    with pytest.raises(UsageError, match="small letters"):
        describe_local(name)

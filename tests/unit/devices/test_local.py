"""The processor of this machine, and what it means for int8."""

from __future__ import annotations

import pytest

from edgeai_devices.local import detect_cpu, int8_in_words


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

"""What the processor of this machine has, and what that means for quantized models."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass

from edgeai_runtime.bench.machine import isa_flags

_SAME_NAME = {"amd64": "x86_64", "arm64": "aarch64"}
_INT8_DOT_X86 = {"avx512_vnni", "avx_vnni", "amx_int8"}


@dataclass(frozen=True, kw_only=True)
class LocalCpu:
    """The processor of this machine: its architecture (`x86_64`, `aarch64`) and the flags of interest it has.

    `known` is false where the system does not tell the flags; an empty `isa` then means nothing.
    """

    architecture: str
    isa: tuple[str, ...]
    known: bool


def detect_cpu(cpuinfo: str | None = None) -> LocalCpu:
    """Read the flags of this machine's processor (Linux; elsewhere `known` is false), or of the text `cpuinfo`."""
    machine = platform.machine().lower()
    flags = tuple(isa_flags(cpuinfo))
    return LocalCpu(architecture=_SAME_NAME.get(machine, machine), isa=flags, known=bool(flags))


def int8_in_words(architecture: str, isa: Iterable[str]) -> str:
    """Say what the instruction set means for int8 models.

    x86 without VNNI multiplies u8 by s8 in pairs and adds them up in a saturating int16 (`vpmaddubsw`): 8-bit weights
    can clip there, silently. ARM's dot product adds up in int32.
    """
    flags = set(isa)
    if architecture == "x86_64":
        if flags & _INT8_DOT_X86:
            return "int8 dot products (VNNI): int8 models run fast, and u8 x s8 does not saturate"
        if "avx2" in flags:
            return "no VNNI: u8 x s8 sums can saturate in int16; weights are kept to 7 bits, int8 gains are smaller"
        return "no AVX2: int8 is slow here, and some engines do not start at all"
    if architecture == "aarch64":
        if flags & {"asimddp", "i8mm"}:
            return "int8 dot products: int8 models run fast"
        return "no int8 dot product: int8 saves memory and gains little speed; engines built for ARMv8.2 do not start"
    return "not known for this architecture"

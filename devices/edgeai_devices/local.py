"""What the processor of this machine has, what that means for quantized models, and this machine's own profile."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from edgeai_devices.profile import Cpu, Memory, Profile
from edgeai_devices.profile_rules import Rules
from edgeai_runtime.bench.machine import describe_machine, isa_flags
from edgeai_runtime.delegates.probe import probe
from edgeai_runtime.delegates.table import DELEGATES
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import FORMATS

_SAME_NAME = {"amd64": "x86_64", "arm64": "aarch64"}
_INT8_DOT_X86 = {"avx512_vnni", "avx_vnni", "amx_int8"}
_MAX_CLOCK = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
_HERE = "Read from this machine by edgeai devices --local"


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


def rules_for_cpu(architecture: str, isa: Iterable[str]) -> str | None:
    """Return the id of the rules that hold for LiteRT on such a processor, or `None` when none are kept for it."""
    flags = set(isa)
    if architecture == "x86_64":
        return "xnnpack-avx512-vnni" if "avx512_vnni" in flags else "xnnpack-avx2" if "avx2" in flags else None
    if architecture == "aarch64":
        return "xnnpack-arm-dot" if flags & {"asimddp", "i8mm"} else "xnnpack-arm"
    return None


def describe_local(name: str | None = None, *, rules: Iterable[Rules] = ()) -> Profile:
    """Return the profile of this machine, with what can be read here and nothing else.

    Its delegates are those whose library and hardware are found; simulators are left out. Of `rules` those that hold
    for them are kept.

    Args:
        name: the profile's id; by default made of the processor's name.
        rules: rules to choose from, as `catalog.read_all_rules` returns them.

    Raises:
        UsageError: `name` cannot be an id, or no engine is installed, so that nothing is known of delegates.
    """
    machine, cpu = describe_machine(), detect_cpu()
    chosen = _slug(machine["cpu"]) if name is None else name
    if chosen != _slug(chosen):
        raise UsageError(f"An id is made of small letters, digits and dashes. Received: {name!r}", hint=_slug(chosen))
    delegates = _delegates_here()
    if not delegates:
        raise UsageError("No engine is installed here, so the delegates are not known.", hint="edgeai doctor")
    clock = _max_mhz()
    cores = psutil.cpu_count(logical=False)
    formats = tuple(each for each in FORMATS if any(each in DELEGATES[one].formats for one in delegates))
    figures = {"cpu.model", "cpu.architecture", "memory.ram_mib"}
    figures |= {"cpu.isa"} if cpu.known else set()
    figures |= {"cpu.cores"} if cores else set()
    figures |= {"cpu.max_mhz"} if clock else set()
    wanted = rules_for_cpu(cpu.architecture, cpu.isa)
    return Profile(
        id=chosen,
        name=f"{machine['cpu']}, {platform.system()}",
        verified="device",
        cpu=Cpu(model=machine["cpu"], architecture=cpu.architecture, isa=cpu.isa, cores=cores, max_mhz=clock),
        memory=Memory(ram_mib=(psutil.virtual_memory().total // 2**20,)),
        formats=formats,
        precisions=("int8", "dynamic_int8", "float16", "float32"),
        delegates=delegates,
        rules=tuple(each for each in rules if each.id == wanted and set(each.applies_to) & set(delegates)),
        sources=dict.fromkeys(sorted(figures), _HERE),
        notes=(int8_in_words(cpu.architecture, cpu.isa),) if cpu.known else (),
    )


def _delegates_here() -> tuple[str, ...]:
    """Hardware first, then the CPU; the slow reference kernels and what chooses for itself are no target."""
    found = [spec for spec in DELEGATES.values() if spec.formats and spec.device != "unknown" and _is_here(spec.name)]
    return tuple(spec.name for spec in sorted(found, key=lambda spec: ("npu", "gpu", "cpu").index(spec.device)))


def _is_here(name: str) -> bool:
    answer = probe(name)
    return answer.present and not answer.emulated


def _max_mhz() -> int | None:
    try:
        return int(_MAX_CLOCK.read_text(encoding="ascii")) // 1000 or None
    except (OSError, ValueError):
        return None


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower().replace("(r)", "").replace("(tm)", "")).strip("-") or "this-machine"

"""A device profile: what is known of one device, where each figure comes from, and how far it was tried.

A profile is a TOML file. Every figure names its source in `[sources]`; a figure without one, an unknown key or a wrong
type is an error, so that a guess cannot slip in. Peak TOPS are left out on purpose: they predict no latency.

    id = "rpi5"
    name = "Raspberry Pi 5"
    kind = "computer"                # computer | phone | microcontroller | npu (an accelerator, whatever it is in)
    verified = "none"                # none | emulated | device: how far edgeai was tried on it
    formats = ["tflite", "onnx"]     # best first
    precisions = ["int8", "float32"]
    delegates = ["litert:xnnpack"]
    compilers = []                   # vela, qnn, …: what makes artifacts for its accelerators
    exports = []                     # c, android, ios: what `edgeai export --to` writes for it
    rules = ["xnnpack-arm-dot"]      # files of rules: operators, shapes, slow kernels (profile_rules.py)
    notes = ["…"]

    [cpu]
    model = "4 x Arm Cortex-A76"
    architecture = "aarch64"
    isa = ["asimddp"]                # as /proc/cpuinfo spells them
    cores = 4
    max_mhz = 2400

    [memory]
    ram_mib = [4096, 8192]           # one entry per size the device is sold with
    flash_kib = 2048                 # of a microcontroller: holds the program and the model
    sram_kib = 768                   # of a microcontroller, the largest piece: holds the arena

    [npu]                            # and [gpu]; profile_accelerator.py
    model = "Arm Ethos-U55"
    delegates = []
    compilers = ["vela"]
    precisions = ["int8"]
    static_shapes = true
    sram_kib = 2048
    [npu.vela]
    accelerator_config = "ethos-u55-128"
    system_config = "Ethos_U55_High_End_Embedded"
    memory_mode = "Shared_Sram"

    [sources]
    "cpu.model" = "…"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from edgeai_devices.profile_accelerator import Accelerator, figures_of, parse_accelerator
from edgeai_devices.profile_document import Table, read_document
from edgeai_devices.profile_rules import COMPILERS, EXPORTS, Compiler, Export, Rules
from edgeai_runtime.delegates.table import DELEGATES
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import FORMATS, PRECISIONS, Format, Precision

Verified = Literal["none", "emulated", "device"]
VERIFIED: tuple[Verified, ...] = get_args(Verified)

Kind = Literal["computer", "phone", "microcontroller", "npu"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """The processor. `isa` holds the flags that matter for inference, spelled as in `/proc/cpuinfo`."""

    model: str
    architecture: str
    isa: tuple[str, ...] = ()
    cores: int | None = None
    max_mhz: int | None = None


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory sizes. `ram_mib` has several entries when the device is sold in several sizes, none when it varies.

    `flash_kib` and `sram_kib` are a microcontroller's, on the chip; `sram_kib` is its largest piece: an arena must
    fit in it. What an accelerator has of its own is in its table.
    """

    ram_mib: tuple[int, ...] = ()
    flash_kib: int | None = None
    sram_kib: int | None = None
    bandwidth_gb_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What is known of one device.

    Attributes:
        id: the name used on the command line; the file's stem.
        formats: formats that run on it, best first.
        precisions: precisions worth trying on it, best first.
        delegates: the runtime's delegates that can be used, best first; those of the accelerators among them.
        compilers: compilers that make artifacts for it.
        exports: what `edgeai export` writes for it.
        rules: what delegates, compilers and exports can take of a model.
        verified: `none` (from data sheets), `emulated` (ran in an emulator of the processor), `device`.
        sources: per figure (`cpu.cores`), where it comes from.
        notes: what a user should know.
    """

    id: str
    name: str
    verified: Verified
    cpu: Cpu
    kind: Kind = "computer"
    memory: Memory = field(default_factory=Memory)
    gpu: Accelerator | None = None
    npu: Accelerator | None = None
    formats: tuple[Format, ...] = FORMATS
    precisions: tuple[Precision, ...] = PRECISIONS
    delegates: tuple[str, ...] = ()
    compilers: tuple[Compiler, ...] = ()
    exports: tuple[Export, ...] = ()
    rules: tuple[Rules, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def rules_for(self, target: str) -> tuple[Rules, ...]:
        """Return the rules that hold for `target`: a delegate, a compiler or an export."""
        return tuple(rules for rules in self.rules if target in rules.applies_to)

    def to_json(self) -> dict[str, Any]:
        """Return a document of plain lists, strings and numbers; of the rules their ids."""
        document: dict[str, Any] = _plain(asdict(self))
        document["rules"] = [rules.id for rules in self.rules]
        return document

    def memory_in_words(self) -> str:
        """Return `4-16 GiB`, `512 MiB`, `786 KiB + 2048 KiB flash` or `varies`."""
        sizes = sorted(self.memory.ram_mib)
        if not sizes:
            chip = [f"{self.memory.sram_kib} KiB"] if self.memory.sram_kib else []
            chip += [f"{self.memory.flash_kib} KiB flash"] if self.memory.flash_kib else []
            return " + ".join(chip) or "varies"
        if sizes[0] < 1024:
            return f"{sizes[0]} MiB" if len(sizes) == 1 else f"{sizes[0]}-{sizes[-1]} MiB"
        first, last = sizes[0] // 1024, sizes[-1] // 1024
        return f"{first} GiB" if first == last else f"{first}-{last} GiB"


def read_profile(path: Path, *, find_rules: Callable[[str], Rules | None]) -> Profile:
    """Read and check a profile; `find_rules` returns the rules of an id, or `None` when there are none.

    Raises:
        UsageError: not TOML, an unknown or missing key, a wrong type, or a figure without a source; names file and key.
    """
    profile = parse_profile(read_document(path, what="device profile"), where=str(path), find_rules=find_rules)
    if profile.id != path.stem:
        raise UsageError(f"{path}: id must be the name of the file, {path.stem!r}. Received: {profile.id!r}")
    return profile


def parse_profile(
    document: dict[str, Any], *, where: str, find_rules: Callable[[str], Rules | None] = lambda _: None
) -> Profile:
    """Make a profile of a document read from TOML; `where` opens every error message."""
    table = Table(document, where)
    table.check_keys(Profile, required=("id", "name", "verified", "cpu"))
    cpu, memory, gpu, npu = (table.table(key) for key in ("cpu", "memory", "gpu", "npu"))
    cpu.check_keys(Cpu, required=("model", "architecture"))
    memory.check_keys(Memory)
    figures = {f"cpu.{key}" for key in cpu.content} | {f"memory.{key}" for key in memory.content}
    figures |= figures_of(gpu, "gpu") | figures_of(npu, "npu")
    profile = Profile(
        id=table.text("id"),
        name=table.text("name"),
        kind=table.choice("kind", KINDS, "computer"),
        verified=table.choice("verified", VERIFIED),
        cpu=Cpu(
            model=cpu.text("model"),
            architecture=cpu.text("architecture"),
            isa=cpu.texts("isa"),
            cores=cpu.whole("cores"),
            max_mhz=cpu.whole("max_mhz"),
        ),
        memory=Memory(
            ram_mib=memory.wholes("ram_mib"),
            flash_kib=memory.whole("flash_kib"),
            sram_kib=memory.whole("sram_kib"),
            bandwidth_gb_s=memory.number("bandwidth_gb_s"),
        ),
        gpu=parse_accelerator(gpu),
        npu=parse_accelerator(npu),
        formats=table.choices("formats", FORMATS, FORMATS),
        precisions=table.choices("precisions", PRECISIONS, PRECISIONS),
        delegates=table.choices("delegates", tuple(DELEGATES)),
        compilers=table.choices("compilers", COMPILERS),
        exports=table.choices("exports", EXPORTS),
        rules=tuple(_find(each, find_rules, where) for each in table.texts("rules")),
        sources=table.check_sources(table.table("sources"), figures),
        notes=table.texts("notes"),
    )
    _check_agreement(profile, where)
    return profile


def _find(rules: str, find_rules: Callable[[str], Rules | None], where: str) -> Rules:
    found = find_rules(rules)
    if found is None:
        raise UsageError(f"{where}: rules: there is no file {rules}.toml in the folder rules. Received: {rules!r}")
    return found


def _check_agreement(profile: Profile, where: str) -> None:
    """What accelerators and rules name must be what the device has."""
    for name, accelerator in (("gpu", profile.gpu), ("npu", profile.npu)):
        for key in ("delegates", "compilers"):
            for each in getattr(accelerator, key, ()):
                if each not in getattr(profile, key):
                    raise UsageError(f"{where}: {name}: {key} names {each!r}, which the device's own {key} do not.")
    targets = {*profile.delegates, *profile.compilers, *profile.exports}
    for rules in profile.rules:
        if not targets & set(rules.applies_to):
            raise UsageError(
                f"{where}: rules: {rules.id!r} is for {', '.join(rules.applies_to)}, which the device has not."
            )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value

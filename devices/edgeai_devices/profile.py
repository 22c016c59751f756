"""A device profile: what is known of one device, where each figure comes from, and how far it was tried.

A profile is a TOML file. Every figure names its source in `[sources]`; a figure without one, an unknown key or a wrong
type is an error, so that a guess can not slip in. Peak TOPS are left out on purpose: they predict no latency.

    id = "rpi5"
    name = "Raspberry Pi 5"
    verified = "none"                # none | emulated | device: how far edgeai was tried on it
    formats = ["tflite", "onnx"]     # best first
    precisions = ["int8", "float32"]
    delegates = ["litert:xnnpack"]
    notes = ["…"]

    [cpu]
    model = "4 x Arm Cortex-A76"
    architecture = "aarch64"
    isa = ["asimddp"]                # as /proc/cpuinfo spells them
    cores = 4
    max_mhz = 2400

    [memory]
    ram_mib = [4096, 8192]           # one entry per size the device is sold with

    [sources]
    "cpu.model" = "…"
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import tomllib

from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import FORMATS, PRECISIONS, Format, Precision

Verified = Literal["none", "emulated", "device"]
VERIFIED: tuple[Verified, ...] = get_args(Verified)

_Word = TypeVar("_Word", bound=str)


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
    """Memory sizes; several entries when the device is sold in several sizes, none when it varies."""

    ram_mib: tuple[int, ...] = ()
    flash_kib: int | None = None
    bandwidth_gb_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What is known of one device.

    Attributes:
        id: the name used on the command line; the file's stem.
        formats: formats that run on it, best first.
        precisions: precisions worth trying on it, best first.
        delegates: delegates that can be used, best first.
        verified: `none` (from data sheets), `emulated` (ran in an emulator of the processor), `device`.
        sources: per figure (`cpu.cores`), where it comes from.
        notes: what a user should know.
    """

    id: str
    name: str
    verified: Verified
    cpu: Cpu
    memory: Memory = field(default_factory=Memory)
    formats: tuple[Format, ...] = FORMATS
    precisions: tuple[Precision, ...] = PRECISIONS
    delegates: tuple[str, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a document of plain lists, strings and numbers."""
        document = asdict(self)
        for key in ("formats", "precisions", "delegates", "notes"):
            document[key] = list(document[key])
        document["cpu"]["isa"] = list(self.cpu.isa)
        document["memory"]["ram_mib"] = list(self.memory.ram_mib)
        return document

    def memory_in_words(self) -> str:
        """Return `4-16 GiB`, `512 MiB` or `varies`."""
        sizes = sorted(self.memory.ram_mib)
        if not sizes:
            return "varies"
        if sizes[0] < 1024:
            return f"{sizes[0]} MiB" if len(sizes) == 1 else f"{sizes[0]}-{sizes[-1]} MiB"
        first, last = sizes[0] // 1024, sizes[-1] // 1024
        return f"{first} GiB" if first == last else f"{first}-{last} GiB"


def read_profile(path: Path) -> Profile:
    """Read and check a profile.

    Raises:
        UsageError: not TOML, an unknown or missing key, a wrong type, or a figure without a source; names file and key.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The device profile {path} can not be read: {error}") from error
    profile = parse_profile(document, where=str(path))
    if profile.id != path.stem:
        raise UsageError(f"{path}: id must be the name of the file, {path.stem!r}. Received: {profile.id!r}")
    return profile


def parse_profile(document: dict[str, Any], *, where: str) -> Profile:
    """Make a profile of a document read from TOML; `where` opens every error message."""
    _check_keys(
        document, {each.name for each in fields(Profile)}, required={"id", "name", "verified", "cpu"}, where=where
    )
    cpu = _table(document, "cpu", where)
    memory = _table(document, "memory", where)
    sources = _table(document, "sources", where)
    _check_keys(cpu, {each.name for each in fields(Cpu)}, required={"model", "architecture"}, where=f"{where}: cpu")
    _check_keys(memory, {each.name for each in fields(Memory)}, required=set(), where=f"{where}: memory")
    figures = {f"cpu.{key}" for key in cpu} | {f"memory.{key}" for key in memory}
    _check_keys(sources, figures, required=figures, where=f"{where}: sources")
    for key in sources:
        _text(sources, key, where)
    return Profile(
        id=_text(document, "id", where),
        name=_text(document, "name", where),
        verified=_choice(_text(document, "verified", where), VERIFIED, f"{where}: verified"),
        cpu=Cpu(
            model=_text(cpu, "model", where),
            architecture=_text(cpu, "architecture", where),
            isa=_texts(cpu, "isa", where, default=()),
            cores=_whole(cpu, "cores", where),
            max_mhz=_whole(cpu, "max_mhz", where),
        ),
        memory=Memory(
            ram_mib=_wholes(memory, "ram_mib", where),
            flash_kib=_whole(memory, "flash_kib", where),
            bandwidth_gb_s=_number(memory, "bandwidth_gb_s", where),
        ),
        formats=tuple(
            _choice(each, FORMATS, f"{where}: formats") for each in _texts(document, "formats", where, default=FORMATS)
        ),
        precisions=tuple(
            _choice(each, PRECISIONS, f"{where}: precisions")
            for each in _texts(document, "precisions", where, default=PRECISIONS)
        ),
        delegates=_texts(document, "delegates", where, default=()),
        sources=dict(sources),
        notes=_texts(document, "notes", where, default=()),
    )


def _check_keys(table: dict[str, Any], allowed: set[str], *, required: set[str], where: str) -> None:
    for key in table:
        if key not in allowed:
            close = get_close_matches(key, sorted(allowed), n=1)
            raise UsageError(f"{where}: unknown key {key!r}.", hint=f"Did you mean {close[0]}?" if close else "")
    for key in sorted(required - set(table)):
        raise UsageError(
            f"{where}: {key!r} is missing.", hint="Every figure needs an entry that says where it comes from."
        )


def _table(document: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = document.get(key, {})
    if not isinstance(value, dict):
        raise UsageError(f"{where}: {key} must be a table. Received: {value!r}")
    return value


def _text(table: dict[str, Any], key: str, where: str) -> str:
    value = table[key]
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{where}: {key} must be a text. Received: {value!r}")
    return value


def _texts(table: dict[str, Any], key: str, where: str, *, default: tuple[str, ...]) -> tuple[str, ...]:
    value = table.get(key, list(default))
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise UsageError(f"{where}: {key} must be a list of texts. Received: {value!r}")
    return tuple(value)


def _whole(table: dict[str, Any], key: str, where: str) -> int | None:
    value = table.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value <= 0):
        raise UsageError(f"{where}: {key} must be a whole number above 0. Received: {value!r}")
    return value


def _wholes(table: dict[str, Any], key: str, where: str) -> tuple[int, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(type(each) is int and each > 0 for each in value):
        raise UsageError(f"{where}: {key} must be a list of whole numbers above 0. Received: {value!r}")
    return tuple(value)


def _number(table: dict[str, Any], key: str, where: str) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0:
        raise UsageError(f"{where}: {key} must be a number above 0. Received: {value!r}")
    return float(value)


def _choice(value: str, allowed: tuple[_Word, ...], where: str) -> _Word:
    for each in allowed:
        if each == value:
            return each
    raise UsageError(f"{where} takes {', '.join(allowed)}. Received: {value!r}")

"""What a compiler of an accelerator is to edgeai: a module with two functions, and the report of what it made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgeai_devices.profile import Profile
from edgeai_devices.profile_accelerator import Accelerator
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Format


@dataclass(frozen=True, kw_only=True)
class LeftOnCpu:
    """Operators that the compiler left to the processor: their name in the source, and the outputs of each."""

    operator: str
    outputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CompileReport:
    """What a compiler tells of an artifact that it made. Nothing here was measured on a device.

    Attributes:
        compiler: its name in the table.
        tool, version: the package or program, and its version.
        target: the accelerator as the compiler names it.
        options: the options that the compiler got.
        operators_on_accelerator, operators_on_cpu: numbers of operators as the compiler counts them; `None` where it
            does not tell.
        left_on_cpu: what the processor has to run.
        sram_bytes, dram_bytes: working memory that it planned; on the chip and off it.
        flash_bytes: read-only memory that weights and commands take.
        cycles: its estimate of the accelerator's clock cycles for one inference.
        estimated_ms: its estimate of one inference at the clock of `target`: never a measurement.
    """

    compiler: str
    tool: str
    version: str
    target: str
    options: Mapping[str, str] = field(default_factory=dict)
    operators_on_accelerator: int | None = None
    operators_on_cpu: int | None = None
    left_on_cpu: tuple[LeftOnCpu, ...] = ()
    sram_bytes: int | None = None
    dram_bytes: int | None = None
    flash_bytes: int | None = None
    cycles: int | None = None
    estimated_ms: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a document of plain values, without what the compiler does not tell."""
        document = asdict(self)
        left = [{"operator": each.operator, "outputs": [*each.outputs]} for each in self.left_on_cpu]
        document["left_on_cpu"] = None if self.operators_on_cpu is None else left
        return {key: value for key, value in document.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """What a compiler made.

    Attributes:
        files: the first is the one to load; the others belong to it and stay beside it.
        report: what the compiler tells of it.
        notes: what a reader must know, in sentences.
    """

    files: tuple[Path, ...]
    report: CompileReport
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a document of plain values."""
        return {
            "files": [str(file) for file in self.files],
            "report": self.report.to_json(),
            "notes": [*self.notes],
        }


class CompilerModule(Protocol):
    """A module of this package; `CompilerSpec.module` names it."""

    def version(self) -> str:
        """Return the version of the compiler that is installed.

        Raises:
            MissingEngineError: it is not; the hint says how it is installed, or that it is not to be had here.
        """
        ...

    def compile_model(self, path: Path, *, profile: Profile | None, folder: Path) -> Compiled:
        """Compile the artifact `path` into the empty folder `folder`; files of the result lie in it.

        Raises:
            UsageError: the profile has no accelerator for this compiler.
            MissingEngineError: the compiler is not installed.
            ModelError: the compiler refuses the model, or crashed on it; the end of its log is in the message.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class CompilerSpec:
    """One compiler of the table.

    Attributes:
        name: as in profiles.
        export: what `edgeai export --to` calls what it makes.
        title: for people.
        formats: of artifacts that it reads, best first.
        reads: the ending of what it is really given, where `edgeai.compiling` makes that of an artifact first.
        module: where it is driven.
        needs_profile: it compiles for one device and must know which.
        extra: the extra of the distribution `edgeai` that brings it; empty: there is none.
        verified: how far what it makes was tried by us: `none`, `emulated`, `device`.
    """

    name: str
    export: str
    title: str
    formats: tuple[Format, ...]
    module: str
    reads: str = ""
    needs_profile: bool = True
    extra: str = ""
    verified: str = "none"


def accelerator_for(profile: Profile | None, compiler: str) -> Accelerator:
    """Return the accelerator of a device that `compiler` makes artifacts for.

    Raises:
        UsageError: no device was named, or it has none.
    """
    if profile is None:
        hint = "Name it: --device ID; `edgeai devices` lists all."
        raise UsageError(f"{compiler} compiles for one device, and none was named.", hint=hint)
    for accelerator in (profile.npu, profile.gpu):
        if accelerator is not None and compiler in accelerator.compilers:
            return accelerator
    has = f"; its compilers: {', '.join(profile.compilers)}" if profile.compilers else ""
    raise UsageError(
        f"{profile.id} ({profile.name}) has no accelerator that {compiler} compiles for{has}.",
        hint="`edgeai devices` lists the devices of each compiler.",
    )

"""`--to ethos-u`, `coreml`, …: what compilers of accelerators make, by their own table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeai.exporting.made import Exported
from edgeai_devices.compilers.table import COMPILERS

if TYPE_CHECKING:
    from edgeai_devices.profile import Profile


def compiler_words() -> tuple[str, ...]:
    """Return the words of `--to` that are compilers: what they make, and their own names."""
    return tuple(dict.fromkeys([spec.export for spec in COMPILERS.values()] + list(COMPILERS)))


def compile_for_device(
    path: Path, *, compiler: str, profile: Profile | None, out: Path, variant: str | None, force: bool
) -> Exported:
    """Have a bundle's variant, or a model, compiled; `edgeai.compiling` chooses and tells what it raises."""
    from edgeai.compiling import compile_for

    made = compile_for(path, compiler=compiler, profile=profile, out=out, variant=variant, force=force)
    return Exported(files=made.files, notes=made.notes, facts=made.report.to_json())

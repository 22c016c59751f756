"""What `edgeai.toml` asks for, as frozen dataclasses, with defaults filled in and paths made absolute.

Not here: reading (`config_read.py`); which keys there are (`schema.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgeai.builder.gate_result import Gates
from edgeai_converters.spec import Budget, DataSpec, Pruning
from edgeai_devices.profile import Profile
from edgeai_runtime.manifest import Format, Precision, Step

VERSION = "1"
"""The version of bundles when the project names none."""


@dataclass(frozen=True, kw_only=True)
class TargetConfig:
    """One target of a model.

    Attributes:
        device: what is known of the device; `None` when the target names none.
        formats: formats to make: those named, else the device's, else all.
        precisions: precisions to try, likewise.
        outputs: what is written to the output folder.
        gates: what must hold.
    """

    name: str
    device: Profile | None
    formats: tuple[Format, ...]
    precisions: tuple[Precision, ...]
    outputs: tuple[str, ...]
    gates: Gates


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """One model: its source, its data, the budget of its search, and its targets. Steps are by tensor name."""

    name: str
    source: Path
    data: DataSpec
    targets: tuple[TargetConfig, ...]
    depends: tuple[Path, ...] = ()
    metric: str | None = None
    labels: Path | None = None
    preprocess: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    postprocess: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    input_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    prune: Pruning = "auto"
    threads: int = 1
    seed: int = 0
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """A whole `edgeai.toml`.

    Attributes:
        file: the file, absolute.
        output: folder of what is made, absolute.
        sign_key: a path, or `env:NAME`; `None` signs nothing.
        encrypt_key: likewise; `None` encrypts nothing.
    """

    file: Path
    name: str
    version: str
    output: Path
    models: tuple[ModelConfig, ...]
    sign_key: str | None = None
    encrypt_key: str | None = None

    @property
    def root(self) -> Path:
        """The folder of the file: every relative path begins there."""
        return self.file.parent

    @property
    def state(self) -> Path:
        """The folder of finished steps."""
        return self.root / ".edgeai"

    @property
    def lock(self) -> Path:
        """The lock file, `edgeai.lock` of `edgeai.toml`: files in one folder have one each."""
        return self.file.with_suffix(".lock")

    @property
    def record(self) -> Path:
        """What builds of this file wrote to the output folder, which may be that of another file too."""
        return self.output / f".{self.file.stem}-outputs.json"

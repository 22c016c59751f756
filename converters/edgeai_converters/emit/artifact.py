"""What an emitter gives back: the files it wrote and how their boundary looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgeai_runtime.manifest import Format, TensorSpec


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A model written in one format.

    Attributes:
        format: the format written.
        files: the files, all in one folder; the first is the one an engine opens.
        inputs: the artifact's own inputs, in the order of the graph's inputs.
        outputs: the artifact's own outputs, in the order of the graph's outputs.
        operators: how often each operator of the format occurs.
        notes: what a user should know (transposes left, operations kept in float, …).
    """

    format: Format
    files: tuple[Path, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file an engine opens."""
        return self.files[0]

    @property
    def size_bytes(self) -> int:
        """The size of all files together."""
        return sum(file.stat().st_size for file in self.files)

"""The steps of a build, as data: what each kind does, what its result depends on, which function makes it.

    preflight ─► search ─► compress ─► measure ─► compile… ─► bundle ─► check ─► export… ─► gate ─► encrypt ─► sign

Per model and target. `search` is left out where `edgeai.lock` knows the recipes; `compress` makes their artifacts;
`measure` is for gates on times and memory, `check` for targets with a device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from edgeai.builder.config import BuildConfig, ModelConfig, TargetConfig
from edgeai_converters.progress import OnStep
from edgeai_converters.recipe import Recipe
from edgeai_converters.workfolder import digest_of

Kind = Literal[
    "preflight", "search", "compress", "measure", "compile", "bundle", "check", "export", "gate", "encrypt", "sign"
]  # fmt: skip

MAKERS: dict[Kind, str] = {
    "preflight": "edgeai.builder.make_preflight:make",
    "search": "edgeai.builder.make_compress:search",
    "compress": "edgeai.builder.make_compress:compress",
    "measure": "edgeai.builder.make_measure:make",
    "compile": "edgeai.builder.make_compile:make",
    "bundle": "edgeai.builder.make_bundle:make",
    "check": "edgeai.builder.make_check:make",
    "export": "edgeai.builder.make_export:make",
    "gate": "edgeai.builder.make_gate:make",
    "encrypt": "edgeai.builder.make_encrypt:make",
    "sign": "edgeai.builder.make_sign:make",
}
"""What fills the folder of a step's result. Imported when a step is run, so that an unchanged build is quick."""

NOTES = "notes.json"
"""In the folder of a result: lines that `--explain` tells of the step, where it has any."""

KEY_VERSION = 1
"""Goes into every key; raised when a step begins to mean something else."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of one target.

    Attributes:
        kind: what is done.
        name: of the step within its target: the kind, or `export:android`, `compile:ethos-u`.
        settings: what of `edgeai.toml` it depends on, as JSON values.
        files: digests of the files it reads, by role.
        tools: versions of the packages that its result depends on.
        needs: keys of the results it is made from, by name of the step.
    """

    kind: Kind
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> dict[str, Any]:
        """Everything that the result depends on; two steps with the same key have the same result."""
        return {
            "step": self.kind,
            "version": KEY_VERSION,
            "settings": dict(self.settings),
            "files": dict(self.files),
            "tools": dict(self.tools),
            "needs": dict(self.needs),
        }

    @property
    def digest(self) -> str:
        """The SHA-256 (hex) of the key."""
        return digest_of(self.key)


@dataclass(frozen=True, kw_only=True)
class Making:
    """What a maker is given.

    Attributes:
        folder: an empty folder to fill.
        step: the step.
        made: folders of the results it needs, by name of the step.
        recipes: the recipes to replay; `None` in a search.
        found: a finished search of the same recipes, to be taken over; `None` without one.
    """

    config: BuildConfig
    model: ModelConfig
    target: TargetConfig
    step: Step
    folder: Path
    made: Mapping[str, Path]
    recipes: tuple[Recipe, ...] | None = None
    found: Path | None = None
    on_step: OnStep | None = None


def maker(kind: Kind) -> Callable[[Making], None]:
    """Return the function that makes a step."""
    module, _, name = MAKERS[kind].partition(":")
    found: Callable[[Making], None] = getattr(import_module(module), name)
    return found

"""What an engine adapter offers: five members, so that a new engine is one module.

An engine loads artifacts of one format and runs them through a delegate. A session is one loaded artifact. Both are
small protocols; `fake.py` beside this file is the one used in tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from edgeai_runtime.manifest import Format, TensorSpec
from edgeai_runtime.placement import PlacementReport
from edgeai_runtime.record import dataclass


@dataclass(frozen=True, kw_only=True)
class EngineInfo:
    """Whether an engine can be used here.

    Attributes:
        present: the package imports and works.
        package: the distribution found, or the one to install (`ai-edge-litert`).
        version: its version, empty when absent.
        reason: why it cannot be used, empty when present.
        install: the pip line that mends it.
    """

    present: bool
    package: str
    version: str
    reason: str
    install: str


class Session(Protocol):
    """One loaded artifact. Not safe for several threads at once.

    A session may have more: `bind(inputs, outputs)` returns a call that runs from and into the memory of these arrays
    (right in shape and dtype, contiguous), or `None`; `replicas(count, threads)` returns `count` sessions, each for
    another thread, that compute with `threads` threads each.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """Run once: arrays in the order of `inputs` (their dtype and rank), results in the order of `outputs`.

        A change of shape along a free dimension is followed where the engine can. The results are the caller's: no
        later call writes into them.
        """
        ...

    def placement(self) -> PlacementReport:
        """Say which operation runs where, as far as the engine can tell; `unknown` otherwise."""
        ...

    def close(self) -> None:
        """Give back memory and files; the session cannot be used afterwards."""
        ...


class Engine(Protocol):
    """One engine adapter."""

    name: str
    format: Format

    def info(self) -> EngineInfo:
        """Say whether the engine is installed, without raising."""
        ...

    def open(self, path: Path, *, delegate: str, threads: int, options: Mapping[str, str]) -> Session:
        """Load the artifact `path` on `delegate` with at most `threads` threads.

        Raises:
            MissingEngineError: the engine is not installed.
            ModelError: the file is not a model that this engine can read.
            PlacementError: the delegate cannot be used here.
            EngineError: anything else that the engine says, with its own log attached.
        """
        ...

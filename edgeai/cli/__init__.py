"""The command line: one file per verb, each parse → spec → api → render."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with `arguments` (by default those of the process) and return the exit code."""
    from edgeai.cli.app import run

    return run(arguments)

"""The files that `edgeai build` writes for a CI system: JUnit, SARIF and a Markdown summary.

They are of this run alone and are replaced without asking, as a build is repeated; their folders are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class BuildFiles:
    """Where to; `None` writes nothing."""

    junit: Path | None = None
    sarif: Path | None = None
    summary: Path | None = None

    def write(self, document: dict[str, Any], config: Path) -> None:
        """Write those that were asked for.

        Args:
            document: `BuildResult.to_json()`.
            config: the file that was built; SARIF points at its lines.

        Raises:
            OutputError: one can not be written.
        """
        if self.junit is not None:
            from edgeai.report.build_junit import build_junit

            _write(self.junit, build_junit(document))
        if self.sarif is not None:
            from edgeai.report.sarif import build_sarif

            text = config.read_text(encoding="utf-8")
            _write(self.sarif, build_sarif(document, uri=_in_repository(config), text=text))
        if self.summary is not None:
            from edgeai.report.build_summary import build_summary

            _write(self.summary, build_summary(document))


def _write(path: Path, text: str) -> None:
    from edgeai_runtime.atomic import write_atomically

    write_atomically(path, text.encode())


def _in_repository(file: Path) -> str:
    """Return the path of a file as its repository knows it, or from the current folder, or its name."""
    roots = [folder for folder in file.absolute().parents if (folder / ".git").exists()]
    for root in (*roots[:1], Path.cwd()):
        if file.absolute().is_relative_to(root):
            return file.absolute().relative_to(root).as_posix()
    return file.name

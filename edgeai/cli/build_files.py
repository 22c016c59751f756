"""The files that `edgeai build` writes for a CI system: JUnit, SARIF and a Markdown summary.

They are of this run alone and are replaced without asking, as a build is repeated; their folders are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_runtime.errors import OutputError, UsageError

if TYPE_CHECKING:
    from edgeai.builder.config import BuildConfig


@dataclass(frozen=True, kw_only=True)
class BuildFiles:
    """Where to; `None` writes nothing."""

    junit: Path | None = None
    sarif: Path | None = None
    summary: Path | None = None

    def check(self, config: BuildConfig) -> None:
        """Refuse what cannot be written, before the work whose result it is to hold.

        Args:
            config: what is built; its own files are not to be replaced.

        Raises:
            UsageError: two of them are one file, or one is a file of the build.
            OutputError: one cannot be written.
        """
        from edgeai.builder.writable import require_writable

        taken = {file.resolve(): file.name for file in (config.file, config.lock, config.record)}
        taken |= {model.source.resolve(): "a model" for model in config.models}
        for option, file in (("--junit", self.junit), ("--sarif", self.sarif), ("--summary", self.summary)):
            if file is None:
                continue
            if (same := taken.get(file.resolve())) is not None:
                raise UsageError(f"{option}: {file} is {same} already.", hint="Name another file.")
            taken[file.resolve()] = f"the file of {option}"
            require_writable(file, option)

    def write(self, document: dict[str, Any], config: Path) -> OutputError | None:
        """Write those that were asked for, and return the error of the first that cannot be written.

        Args:
            document: `BuildResult.to_json()`.
            config: the file that was built; SARIF points at its lines.
        """
        failure: OutputError | None = None
        for file, make in ((self.junit, _junit), (self.sarif, _sarif), (self.summary, _summary)):
            try:
                if file is not None:
                    _write(file, make(document, config))
            except OutputError as error:  # the others are written all the same
                failure = failure or error
        return failure


def _junit(document: dict[str, Any], config: Path) -> str:
    from edgeai.report.build_junit import build_junit

    return build_junit(document)


def _sarif(document: dict[str, Any], config: Path) -> str:
    from edgeai.report.sarif import build_sarif

    return build_sarif(document, uri=_in_repository(config), text=config.read_text(encoding="utf-8-sig"))


def _summary(document: dict[str, Any], config: Path) -> str:
    from edgeai.report.build_summary import build_summary

    return build_summary(document)


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

"""The source archive: who unpacks it has all that the Makefile and the tests there call."""

from __future__ import annotations

from pathlib import Path

import tomllib

# The build tool adds these two by itself.
ALWAYS = {"pyproject.toml", ".gitignore"}


def test_the_source_archive_has_every_tracked_file_and_folder_of_the_root(
    tracked: tuple[Path, ...], root: Path
) -> None:
    build = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    named = set(build["targets"]["sdist"]["include"])
    assert {path.relative_to(root).parts[0] for path in tracked} == named | ALWAYS

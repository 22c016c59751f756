"""The files: sizes of modules and of everything tracked, marks of types, and words that must not be there."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

LINES = 500
BYTES = 1_000_000
TEXT = {".py", ".md", ".toml", ".txt", ".sh", ".yml", ".yaml", ".json", ".html", ".j2", ".css", ".svg", ".cfg", ""}

# Written in pieces, so that this file does not hold what it forbids. Hosts of package registries and folders of one
# machine: what is committed must work anywhere.
FORBIDDEN = (
    r"(?<![\w.])(?:" + "|".join(["pypi" + r"\.org", "pythonhosted" + r"\.org", "download" + r"\.pytorch\.org"]) + ")",
    r"(?:registry" + r"\.npmjs\.org|deb" + r"\.debian\.org|crates" + r"\.io|proxy" + r"\.golang\.org)",
    r"(?<![\w.~$}/-])/(?:" + "|".join(["work", "opt", "root"]) + r")/[\w.]",
)


def test_no_module_is_longer_than_500_lines(modules: dict[Path, str], root: Path) -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules}
    assert [f"{path.relative_to(root)}: {length}" for path, length in lengths.items() if length >= LINES] == []


@pytest.mark.parametrize("name", ["utils", "common", "helpers", "manager", "misc"])
def test_no_module_has_a_name_that_says_nothing(modules: dict[Path, str], root: Path, name: str) -> None:
    assert [str(path.relative_to(root)) for path in modules if name in path.stem.split("_")] == []


def test_no_tracked_file_is_larger_than_a_megabyte(tracked: tuple[Path, ...], root: Path) -> None:
    assert [str(path.relative_to(root)) for path in tracked if path.stat().st_size > BYTES] == []


@pytest.mark.parametrize("pattern", FORBIDDEN, ids=["python registries", "other registries", "folders of one machine"])
def test_no_tracked_file_names_a_host_or_a_folder_of_one_machine(
    tracked: tuple[Path, ...], root: Path, pattern: str
) -> None:
    found = [
        f"{path.relative_to(root)}:{number}: {line.strip()[:100]}"
        for path in tracked
        if path.suffix in TEXT
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if re.search(pattern, line)
    ]
    assert found == []


def test_every_package_is_marked_as_typed(packages: dict[str, Path]) -> None:
    assert [name for name, folder in packages.items() if not (folder / "py.typed").is_file()] == []


@pytest.mark.parametrize("folder", ["runtime", "converters", "devices", "tests"])
def test_folder_of_packages_is_no_package_itself(root: Path, folder: str) -> None:
    assert not (root / folder / "__init__.py").exists()


def test_every_package_folder_has_an_init(modules: dict[Path, str], root: Path) -> None:
    bare = {path.parent for path in modules if not (path.parent / "__init__.py").is_file()}
    assert sorted(str(folder.relative_to(root)) for folder in bare) == []


def test_every_module_starts_with_a_docstring(
    modules: dict[Path, str], tree: Callable[[Path], ast.Module], root: Path
) -> None:
    assert [str(path.relative_to(root)) for path in modules if not ast.get_docstring(tree(path))] == []

"""What the house tests look at: the tracked files and the syntax trees of our packages."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "edgeai": ROOT / "edgeai",
    "edgeai_converters": ROOT / "converters" / "edgeai_converters",
    "edgeai_devices": ROOT / "devices" / "edgeai_devices",
    "edgeai_runtime": ROOT / "runtime" / "edgeai_runtime",
}


@cache
def _tracked() -> tuple[Path, ...]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = (ROOT / name for name in listed.decode().split("\0") if name)
    return tuple(path for path in paths if path.is_file())


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def packages() -> dict[str, Path]:
    """Our four packages and where they lie."""
    return PACKAGES


@pytest.fixture(scope="session")
def tracked() -> tuple[Path, ...]:
    """Every file that git tracks."""
    try:
        return _tracked()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")


@pytest.fixture(scope="session")
def modules() -> dict[Path, str]:
    """Every module of our packages, with the package it belongs to."""
    return {path: name for name, folder in PACKAGES.items() for path in sorted(folder.rglob("*.py"))}


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], ast.Module]:
    """A function from a module's path to its syntax tree."""
    return _tree

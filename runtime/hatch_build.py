"""Build hook of the device wheel: modules go in without docstrings and comments, those of the public face excepted.

A device pays for each byte that is sent to it, and nobody reads the insides of a library there. Code is not changed:
the syntax tree without docstrings is the same before and after, or the build fails.
"""

from __future__ import annotations

import ast
import io
import shutil
import tokenize
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "edgeai_runtime"
WHOLE = ("loading.py", "model.py", "placement.py", "errors.py")
"""Modules that `help()` is asked about: they keep their words."""


class StripHook(BuildHookInterface[Any]):
    """Puts stripped copies of the modules into the wheel in place of the modules."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the copies, and tell the builder of them."""
        if version == "editable":
            return
        root = Path(self.root)
        self._copies = Path(self.directory) / f"{PACKAGE}-stripped"
        for module in sorted((root / PACKAGE).rglob("*.py")):
            place = module.relative_to(root)
            copy = self._copies / place
            copy.parent.mkdir(parents=True, exist_ok=True)
            source = module.read_text(encoding="utf-8")
            copy.write_text(source if place.name in WHOLE else strip(source), encoding="utf-8")
            build_data["force_include"][str(copy)] = place.as_posix()

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copies."""
        if version != "editable":
            shutil.rmtree(self._copies, ignore_errors=True)


def strip(source: str) -> str:
    """Return a module's source without docstrings, other loose strings, comments and empty lines.

    Raises:
        ValueError: something else than that would have changed.
    """
    lines = source.splitlines()
    for start, end, is_needed in _loose_strings(ast.parse(source)):
        margin = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
        lines[start : end + 1] = [f"{margin}..." if is_needed else "", *[""] * (end - start)]
    kept = _without_comments("\n".join(lines) + "\n")
    stripped = "\n".join(line.rstrip() for line in kept.splitlines() if line.strip()) + "\n"
    if ast.dump(_bare(ast.parse(stripped))) != ast.dump(_bare(ast.parse(source))):
        raise ValueError("stripping changed more than words")
    return stripped


def _loose_strings(tree: ast.Module) -> list[tuple[int, int, bool]]:
    """Return the first and last line, from 0, of each string that stands for itself, and whether it is all there is."""
    bodies = [body for node in ast.walk(tree) if isinstance(body := getattr(node, "body", None), list)]
    return [
        (one.lineno - 1, (one.end_lineno or one.lineno) - 1, one is body[0] and all(map(_is_loose, body)))
        for body in bodies
        for one in body
        if _is_loose(one)
    ]


def _is_loose(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _without_comments(source: str) -> str:
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(lines)


def _bare(tree: ast.Module) -> ast.Module:
    """Return a syntax tree without constants that stand for themselves, in place."""
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            body[:] = [one for one in body if not _is_loose(one)]
    return tree

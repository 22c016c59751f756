"""Build hook of the device wheel: modules go in without docstrings, comments and annotations outside classes.

A device pays for each byte that is sent to it, and nobody reads the insides of a library there. Code is not changed:
the syntax tree without these is the same before and after, or the build fails.
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
KEPT = frozenset({"load"})
"""Functions that `help()` is asked about: they keep their words."""

_BLANK = (tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER)
_FSTRING_START = getattr(tokenize, "FSTRING_START", None)  # from Python 3.12 on; a string like any other before
_FSTRING_END = getattr(tokenize, "FSTRING_END", None)


class StripHook(BuildHookInterface[Any]):
    """Puts stripped copies of the modules into the wheel in place of the modules."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the copies, and tell the builder of them."""
        if version == "editable":
            return
        self._copies = Path(self.directory) / f"{PACKAGE}-stripped"
        modules = [one for one in self.build_config.builder.recurse_included_files() if one.path.endswith(".py")]
        for module in modules:
            copy = self._copies / module.distribution_path
            copy.parent.mkdir(parents=True, exist_ok=True)
            source = Path(module.path).read_text(encoding="utf-8")
            copy.write_text(strip(source), encoding="utf-8")
            build_data["force_include"][str(copy)] = module.distribution_path

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copies."""
        if version != "editable":
            shutil.rmtree(self._copies, ignore_errors=True)


def strip(source: str) -> str:
    """Return a module's source without docstrings, comments, empty lines, and annotations.

    What only they need is not imported. Annotations in classes stay, since data classes are made of them. A statement
    takes one line, indented by one column per level.

    Raises:
        ValueError: something else than that would have changed.
    """
    lines = _without_typing(_without_annotations(source)).splitlines()
    for start, end, is_needed in _loose_strings(ast.parse("\n".join(lines))):
        margin = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
        lines[start : end + 1] = [f"{margin}..." if is_needed else "", *[""] * (end - start)]
    kept = _without_comments("\n".join(lines) + "\n")
    stripped = _narrow("\n".join(line.rstrip() for line in kept.splitlines() if line.strip()) + "\n")
    if ast.dump(_bare(ast.parse(stripped))) != ast.dump(_bare(ast.parse(source))):
        raise ValueError("stripping changed more than words and types")
    return stripped


def _without_annotations(source: str) -> str:
    content = source.encode()
    starts = [0, *(place + 1 for place, byte in enumerate(content) if byte == ord("\n"))]
    tree = ast.parse(source)
    cuts = [(_end(one.target, starts), _end(one.annotation, starts)) for one in _annotated_values(tree)]
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation is not None:
            name_end = starts[node.lineno - 1] + node.col_offset + len(node.arg.encode())
            cuts.append((name_end, _end(node.annotation, starts)))
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            begin = starts[node.returns.lineno - 1] + node.returns.col_offset
            cuts.append((content.rindex(b"->", 0, begin), _end(node.returns, starts)))
    for start, end in sorted(cuts, reverse=True):
        content = content[:start].rstrip() + content[end:]
    return content.decode()


def _without_typing(source: str) -> str:
    """Leave out what is there for type checkers only, and what annotations alone imported."""
    tree, lines = ast.parse(source), source.splitlines()
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id != "TYPE_CHECKING"}
    if any(isinstance(node, ast.AnnAssign) for node in ast.walk(tree)):
        used.add("annotations")
    for node in tree.body:
        if not _is_typing(node):
            continue
        start, end = node.lineno - 1, node.end_lineno or node.lineno
        names = [one.name for one in node.names if one.name in used] if isinstance(node, ast.ImportFrom) else []
        kept = f"from {node.module} import {', '.join(names)}" if names and isinstance(node, ast.ImportFrom) else ""
        lines[start:end] = [kept, *[""] * (end - start - 1)]
    return "\n".join(lines) + "\n"


def _annotated_values(tree: ast.Module) -> list[ast.AnnAssign]:
    """Return what is given a value and a type at once, but for that in classes."""
    kept = {id(one) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for one in node.body}
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.AnnAssign) and id(node) not in kept]
    return [node for node in nodes if node.value is not None]


def _assignment(node: ast.AnnAssign) -> ast.Assign:
    assert node.value is not None
    return ast.Assign(targets=[node.target], value=node.value)


def _is_typing(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module in ("typing", "collections.abc", "__future__") and all(
            one.asname is None for one in node.names
        )
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _end(node: ast.expr, starts: list[int]) -> int:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return starts[node.end_lineno - 1] + node.end_col_offset


def _narrow(source: str) -> str:
    """Put each statement on a line of its own, one column further in per level, with no space that is not needed."""
    lines, words = source.splitlines(keepends=True), [""]
    level, is_new, formatted = 0, True, 0
    begin = (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.INDENT, tokenize.DEDENT):
            level += 1 if token.type == tokenize.INDENT else -1
        elif token.type == tokenize.NEWLINE:
            words.append("\n")
            is_new = True
        if token.type in _BLANK:
            continue
        begin = begin if formatted else token.start
        formatted += (token.type == _FSTRING_START) - (token.type == _FSTRING_END)
        if formatted:  # copied as it stands when it ends
            continue
        word = "".join(lines[begin[0] - 1 : token.end[0]])
        word = word[begin[1] : len(word) - len(lines[token.end[0] - 1]) + token.end[1]]
        if is_new:
            words.append(" " * level)
        elif _is_wordlike(words[-1][-1:]) and _is_wordlike(word[0]):
            words.append(" ")
        words.append(word)
        is_new = False
    return "".join(words)


def _is_wordlike(character: str) -> bool:
    return character.isalnum() or character == "_"


def _loose_strings(tree: ast.Module) -> list[tuple[int, int, bool]]:
    """Return the first and last line, from 0, of each string that stands for itself, and whether it is all there is."""
    bodies = [
        body
        for node in ast.walk(tree)
        if isinstance(body := getattr(node, "body", None), list) and getattr(node, "name", "") not in KEPT
    ]
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
    """Return a syntax tree without constants that stand for themselves and what is there for types, in place."""
    tree.body[:] = [one for one in tree.body if not _is_typing(one)]
    annotated = {id(one): one for one in _annotated_values(tree)}
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            if isinstance(part := getattr(node, name, None), list):
                part[:] = [_assignment(one) if id(one) in annotated else one for one in part]
        if isinstance(body := getattr(node, "body", None), list):
            body[:] = [one for one in body if not _is_loose(one)]
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return tree

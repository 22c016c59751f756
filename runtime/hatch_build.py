"""Build hook of the device wheel: modules go in as short as they can be said, for a machine to read.

A device pays for each byte that is sent to it, and nobody reads the insides of a library there. Left out are
docstrings, comments, annotations (but where they are read), what only these import, and spaces; variables inside
functions get short names. Names that others see stay: of modules, classes, functions, parameters, attributes, globals.
"""

from __future__ import annotations

import ast
import io
import itertools
import keyword
import shutil
import string
import symtable
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "edgeai_runtime"
KEPT = frozenset({"load"})
"""Functions that `help()` is asked about: they keep their words."""
READ = frozenset({"manifest.py"})
"""Modules whose classes' annotations are read when they run."""

_BLANK = (tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER)
_FSTRING_START = getattr(tokenize, "FSTRING_START", None)  # from Python 3.12 on; a string like any other before
_FSTRING_END = getattr(tokenize, "FSTRING_END", None)
_LOOKS_INSIDE = frozenset({"locals", "vars", "eval", "exec", "dir"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


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
            copy.write_text(strip(source, keep_annotations=Path(module.path).name in READ), encoding="utf-8")
            build_data["force_include"][str(copy)] = module.distribution_path

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copies."""
        if version != "editable":
            shutil.rmtree(self._copies, ignore_errors=True)


def strip(source: str, *, keep_annotations: bool = False) -> str:
    """Return the same module in fewer bytes; with `keep_annotations`, those of classes stay.

    Without, what is annotated in a class is said to be an `object`, since data classes are made of that.

    Raises:
        ValueError: the text does not mean what it was made of.
    """
    tree = ast.parse(source)
    _leave_out_words(tree)
    _leave_out_types(tree, keep_annotations=keep_annotations)
    for function in _outer_functions(tree.body):
        _shorten_names(function)
    stripped = _narrow(ast.unparse(ast.fix_missing_locations(tree)) + "\n")
    if ast.dump(ast.parse(stripped)) != ast.dump(tree):
        raise ValueError("stripping changed more than words, types and names of variables")
    return stripped


def _leave_out_words(tree: ast.Module) -> None:
    """Take out strings that stand for themselves; `...` stands where nothing else is left."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and getattr(node, "name", "") not in KEPT:
            body[:] = [one for one in body if not _is_loose(one)] or [ast.Expr(ast.Constant(...))] * bool(body)


def _is_loose(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _leave_out_types(tree: ast.Module, *, keep_annotations: bool) -> None:
    """Take out annotations, what is there for type checkers only, and what nothing imports but them."""
    in_classes = {id(one) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for one in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, _FUNCTIONS):
            node.returns = None
        elif isinstance(node, ast.AnnAssign) and id(node) in in_classes and not keep_annotations:
            if {"ClassVar", "InitVar", "KW_ONLY"} & {getattr(one, "id", "") for one in ast.walk(node.annotation)}:
                raise ValueError(f"an annotation that has a meaning: {ast.unparse(node)}")
            node.annotation = ast.Name("object", ast.Load())
        for name in ("body", "orelse", "finalbody"):
            if isinstance(part := getattr(node, name, None), list):
                part[:] = [_untyped(one) if id(one) not in in_classes else one for one in part]
    tree.body[:] = [one for one in tree.body if not _is_for_type_checkers(one)]
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
        "annotations" if keep_annotations else ""
    }
    for one in list(tree.body):
        if isinstance(one, ast.ImportFrom) and str(one.module).partition(".")[0] in sys.stdlib_module_names:
            one.names = [each for each in one.names if each.asname or each.name in used]
            if not one.names:
                tree.body.remove(one)


def _untyped(node: ast.stmt) -> ast.stmt:
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return ast.Assign(targets=[node.target], value=node.value, lineno=node.lineno)
    return node


def _is_for_type_checkers(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
        and not node.orelse
    )


def _outer_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef]:
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield node
        else:
            yield from _outer_functions([one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)])


def _shorten_names(function: ast.FunctionDef) -> None:
    """Give short names to the variables of a function and of all functions in it, in place.

    A name is changed in the whole of it or not at all, and to one that does not occur there, each to another: so which
    variable is meant by a name stays as it was. Only what is nothing but a variable is changed: no parameter, function,
    class or import, nothing global in any part, and nothing where the names of variables are looked at.
    """
    nodes = list(ast.walk(function))
    present = {name for node in nodes for name in _names_in(node)}
    if present & _LOOKS_INSIDE:
        return
    bound = {node.id: None for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.name: None for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
    fixed = {name for node in nodes if not _is_variable(node) for name in _names_in(node)}
    tables = symtable.symtable(ast.unparse(function), "function", "exec").get_children()  # 3.14: annotations too
    fixed |= _other_names(next(table for table in tables if table.get_name() == function.name))
    letters = string.ascii_lowercase
    fresh = itertools.chain(letters, (first + second for first in letters for second in letters))
    free = (name for name in fresh if name not in present and not keyword.iskeyword(name))
    short = {name: next(free) for name in bound if name not in fixed and len(name) > 1}
    for node in nodes:
        if isinstance(node, ast.Name):
            node.id = short.get(node.id, node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            node.name = short.get(node.name, node.name)


def _other_names(table: symtable.SymbolTable) -> set[str]:
    """Return the names that are global, or of a class, in a function or anything in it."""
    is_class = table.get_type() == "class"
    found = {symbol.get_name() for symbol in table.get_symbols() if is_class or symbol.is_global()}
    return found.union(*map(_other_names, table.get_children()))


def _is_variable(node: ast.AST) -> bool:
    return isinstance(node, (ast.Name, ast.ExceptHandler))


def _names_in(node: ast.AST) -> list[str]:
    """Return the names that a node itself binds or reads as variables, in any way."""
    if isinstance(node, ast.keyword):  # the name of another one's parameter
        return []
    found = [getattr(node, key, None) for key in ("id", "arg", "name", "asname", "rest")]
    found += getattr(node, "names", []) if isinstance(node, (ast.Global, ast.Nonlocal)) else []
    return [one.partition(".")[0] for one in found if isinstance(one, str)]


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
        if token.type == _FSTRING_END:
            word = _requoted(word)
        if is_new:
            words.append(" " * level)
        elif _is_wordlike(words[-1][-1:]) and _is_wordlike(word[0]):
            words.append(" ")
        words.append(word)
        is_new = False
    return "".join(words)


def _requoted(text: str) -> str:
    """Return an f-string between quotes that do not occur in it: Python before 3.12 reads no others."""
    rest = text.lstrip("fFrR")
    quote = rest[:3] if rest[:3] in ('"""', "'''") else rest[0]
    body = rest[len(quote) : -len(quote)]
    for one in (quote, "'", '"', "'''", '"""'):
        if one not in body and not body.endswith(one[0]):
            return text[: len(text) - len(rest)] + one + body + one
    raise ValueError(f"no quotes are left for {text}")


def _is_wordlike(character: str) -> bool:
    return character.isalnum() or character == "_"

"""The import law: edgeai → converters → devices → runtime. An arrow may skip floors; none turns back."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

FLOORS = ("edgeai", "edgeai_converters", "edgeai_devices", "edgeai_runtime")
ENGINES = frozenset(
    {"tensorflow", "keras", "tf_keras", "torch", "openvino", "onnxruntime", "ai_edge_litert", "tflite_runtime"}
    | {"tf2onnx", "onnx2tf", "nncf", "onnxscript", "litert_torch", "sklearn", "PIL"}
)
Trees = Callable[[Path], ast.Module]


def imported(nodes: Iterator[ast.AST]) -> Iterator[tuple[str, int]]:
    """Yield the full name and the line of everything that is imported."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), node.lineno


def run_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when a module is imported: not the bodies of functions, not `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from run_at_import(node)


def test_no_module_imports_from_a_floor_above(modules: dict[Path, str], tree: Trees, root: Path) -> None:
    broken = [
        f"{path.relative_to(root)}:{line} imports {name}"
        for path, package in modules.items()
        for name, line in imported(ast.walk(tree(path)))
        if name.split(".")[0] in FLOORS[: FLOORS.index(package)]
    ]
    assert broken == []


def test_imports_are_absolute(modules: dict[Path, str], tree: Trees, root: Path) -> None:
    broken = [
        f"{path.relative_to(root)}:{line}"
        for path in modules
        for name, line in imported(ast.walk(tree(path)))
        if name.startswith(".")
    ]
    assert broken == []


def test_runtime_needs_only_the_standard_library_and_numpy_when_imported(
    modules: dict[Path, str], tree: Trees, root: Path
) -> None:
    allowed = sys.stdlib_module_names | {"numpy", "edgeai_runtime"}
    broken = [
        f"{path.relative_to(root)}:{line} imports {name}"
        for path, package in modules.items()
        if package == "edgeai_runtime"
        for name, line in imported(run_at_import(tree(path)))
        if name.split(".")[0] not in allowed
    ]
    assert broken == []


def test_engines_are_imported_inside_functions(modules: dict[Path, str], tree: Trees, root: Path) -> None:
    broken = [
        f"{path.relative_to(root)}:{line} imports {name}"
        for path in modules
        for name, line in imported(run_at_import(tree(path)))
        if name.split(".")[0] in ENGINES
    ]
    assert broken == []


def test_law_sees_an_import_inside_a_class_and_a_try() -> None:
    source = (
        "try:\n    import torch\nexcept ImportError:\n    pass\nclass A:\n    import keras\ndef f():\n    import jax\n"
    )
    assert [name for name, _ in imported(run_at_import(ast.parse(source)))] == ["torch", "keras"]

"""The build hook of the device wheel leaves out words and types, and nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("hatchling")

SOURCE = '''"""What it is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from there import Thing

TEXT = """two
    lines"""
Maker = Callable[[], "Thing"]


class Box:
    """A box."""

    size: Any  # in litres
    content: dict[str, int]

    def fill(self, *things: Thing, into: Mapping[str, int] | None = None) -> None:
        """Fill it."""


def load(x: int) -> int:
    """Load it."""
    return (
        x + 1  # one more
    )
'''
STRIPPED = '''from __future__ import annotations
from collections.abc import Callable
from typing import Any
TEXT="""two
    lines"""
Maker=Callable[[],"Thing"]
class Box:
 size:Any
 content:dict[str,int]
 def fill(self,*things,into=None):
  ...
def load(x):
 """Load it."""
 return(x+1)
'''


@pytest.fixture(scope="module")
def hook(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("device_wheel_hook", root / "runtime" / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_words_and_types_are_left_out(hook: ModuleType) -> None:
    assert hook.strip(SOURCE) == STRIPPED


def test_annotations_are_put_off_only_where_some_are_left(hook: ModuleType) -> None:
    source = "from __future__ import annotations\n\nX: Later = 1\n\n\ndef load(x: int) -> int:\n    size: int = x\n"
    assert hook.strip(source) == "X=1\ndef load(x):\n size=x\n"
    assert hook.strip(f"{source}    y: int\n").startswith("from __future__ import annotations\nX=1\n")


@pytest.mark.parametrize(
    "line",
    [
        'print(f"{1 + 2!r:>{3 + 4}} {{ }} {\'a\'}", "b" if x else rb"c", 1 if 2 else 0x3 or .5)',
        'TEXT = f"""\n  {1 +\n  2} é\n"""  # words',
        "x = {\n    **a,\n    'b': - - 1 ** ~ 2,\n}; del x, y; y = (x,)",
        "@a\ndef f(*, b: int = 1, **c): return not b, lambda d=2: d, yield_ is not None",
    ],
)
def test_spaces_are_left_out_only_where_the_meaning_stays(hook: ModuleType, line: str) -> None:
    stripped = hook.strip(f"if x:\n    {line}\n" if "\n" not in line else f"{line}\n")
    assert len(stripped) < len(line) + len("if x:\n ")
    assert "  # " not in stripped


def test_every_module_can_be_stripped_and_compiled(hook: ModuleType, root: Path) -> None:
    for module in (root / "runtime" / "edgeai_runtime").rglob("*.py"):
        compile(hook.strip(module.read_text(encoding="utf-8")), str(module), "exec")


def test_a_change_of_more_than_that_is_an_error(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "_without_comments", lambda source: source.replace("+ 1", "+ 2"))
    with pytest.raises(ValueError, match="more than words and types"):
        hook.strip(SOURCE)

"""The build hook of the device wheel leaves out words, types and names that nobody sees, and nothing else."""

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
STRIPPED = '''Maker=Callable[[],'Thing']
class Box:
 size:object
 content:object
 def fill(self,*things,into=None):
  ...
def load(x):
 """Load it."""
 return x+1
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
    imports = "from collections.abc import Callable\n"
    text = "TEXT='two\\n    lines'\n"
    assert hook.strip(SOURCE) == imports + text + STRIPPED


def test_annotations_that_are_read_stay(hook: ModuleType) -> None:
    source = "from __future__ import annotations\nfrom typing import Any\nclass A:\n    x: Any = 1\n    y: A\n"
    assert hook.strip(source) == "class A:\n x:object=1\n y:object\n"
    kept = "from __future__ import annotations\nfrom typing import Any\nclass A:\n x:Any=1\n y:A\n"
    assert hook.strip(source, keep_annotations=True) == kept
    with pytest.raises(ValueError, match="an annotation that has a meaning"):
        hook.strip(source.replace("Any = 1", "ClassVar[int] = 1"))


@pytest.mark.parametrize(
    ("source", "stripped"),
    [
        ("total = [value for value in given]", "a=[b for b in given]"),
        ("given = len(given)", "given=len(given)"),  # a parameter
        ("import math as there\n    return there", "import math as there\n return there"),
        ("print(there)\n    many = [there for there in given]", "print(there)\n a=[there for there in given]"),
        ("global seen\n    seen = given", "global seen\n seen=given"),
        ("a = first = given\n    return a, first", "a=b=given\n return(a,b)"),
        ("seen = locals()", "seen=locals()"),
        (
            "try: pass\n    except A as error: raise f(error) from error",
            "try:\n  pass\n except A as a:\n  raise f(a)from a",
        ),
        (
            "count = 0\n    def add(more):\n        nonlocal count\n        count = 1\n    call(count=count)",
            "count=0\n def add(more):\n  nonlocal count\n  count=1\n call(count=count)",
        ),
        ("rest = 1\n    call(rest=lambda: rest, x=given.rest)", "a=1\n call(rest=lambda:a,x=given.rest)"),
        ("name = 1\n    class Box: name = name", "name=1\n class Box:\n  name=name"),
        ("value = given\n    return f'{value!r:>{value}} value'", "a=given\n return f'{a!r:>{a}} value'"),
    ],
)
def test_variables_get_short_names_where_nobody_else_sees_them(hook: ModuleType, source: str, stripped: str) -> None:
    assert hook.strip(f"def one(given):\n    {source}\n") == f"def one(given):\n {stripped}\n"


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


@pytest.mark.parametrize(
    ("text", "requoted"),
    [
        ("f'{', '.join(x)}'", """f"{', '.join(x)}\""""),
        ("f'plain {x}'", "f'plain {x}'"),
        ("""f'{', '.join(x)} "a" b'""", """f'''{', '.join(x)} "a" b'''"""),
    ],
)
def test_no_quotes_stand_in_an_f_string_between_the_same(hook: ModuleType, text: str, requoted: str) -> None:
    assert hook._requoted(text) == requoted


def test_every_module_can_be_stripped_and_compiled(hook: ModuleType, root: Path) -> None:
    for module in (root / "runtime" / "edgeai_runtime").rglob("*.py"):
        stripped = hook.strip(module.read_text(encoding="utf-8"), keep_annotations=module.name in hook.READ)
        compile(stripped, str(module), "exec")


def test_a_text_that_means_something_else_is_an_error(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "_is_wordlike", lambda character: False)
    with pytest.raises((ValueError, SyntaxError)):
        hook.strip(SOURCE)
    monkeypatch.setattr(hook, "_narrow", lambda source: source.replace("+ 1", "+ 2"))
    with pytest.raises(ValueError, match="more than words, types and names"):
        hook.strip(SOURCE)

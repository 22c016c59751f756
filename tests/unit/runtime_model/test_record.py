"""The runtime's own `dataclass` does what that of `dataclasses` does, as far as it goes."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from edgeai_runtime.record import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Own:
    name: str
    size: int | None = None
    more: dict[str, int] = field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Real:
    name: str
    size: int | None = None
    more: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wider(Own):
    last: int = 0


BOTH = pytest.mark.parametrize("kind", [Own, Real])


@BOTH
def test_values_are_taken_by_name_and_defaults_are_made_anew(kind: Any) -> None:
    first, second = kind(name="a"), kind(name="a", size=2)
    assert (first.name, first.size, first.more) == ("a", None, {})
    assert second.size == 2
    assert first.more is not second.more


@BOTH
@pytest.mark.parametrize("arguments", [{}, {"size": 1}, {"name": "a", "sise": 1}, {"name": "a", "size": 1, "mor": {}}])
def test_missing_and_unknown_names_are_refused(kind: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        kind(**arguments)


@BOTH
def test_positions_are_refused(kind: Any) -> None:
    with pytest.raises(TypeError):
        kind("a")


@BOTH
def test_equal_values_make_equal_objects(kind: Any) -> None:
    assert kind(name="a", size=1) == kind(size=1, name="a")
    assert kind(name="a") != kind(name="b")
    assert kind(name="a") != "a"
    assert hash(kind(name="a", more=())) == hash(kind(name="a", more=()))


@BOTH
def test_nothing_can_be_changed(kind: Any) -> None:
    one = kind(name="a")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'name'"):
        one.name = "b"
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'name'"):
        del one.name


@BOTH
def test_it_is_shown_as_it_is_written(kind: Any) -> None:
    assert repr(kind(name="a")) == f"{kind.__name__}(name='a', size=None, more={{}})"


@BOTH
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_is_equal(kind: Any, again: Callable[[Any], Any]) -> None:
    one = kind(name="a", more={"b": 1})
    assert again(one) == one


@BOTH
def test_dataclasses_knows_it(kind: Any) -> None:
    one = kind(name="a", more={"b": 1})
    assert dataclasses.is_dataclass(one)
    assert dataclasses.replace(one, size=3) == kind(name="a", size=3, more={"b": 1})
    assert dataclasses.asdict(one) == {"name": "a", "size": None, "more": {"b": 1}}
    assert [(each.name, each.type) for each in dataclasses.fields(kind)] == [
        *(("name", "str"), ("size", "int | None"), ("more", "dict[str, int]"))
    ]


def test_its_signature_is_the_same() -> None:
    assert str(inspect.signature(Own)) == str(inspect.signature(Real))


def test_a_real_data_class_may_be_made_of_it() -> None:
    wide = Wider(name="a", last=2)
    assert (wide.name, wide.size, wide.last) == ("a", None, 2)
    assert wide != Own(name="a")

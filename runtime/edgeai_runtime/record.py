"""`dataclass` for what every start of a process defines: frozen and keyword-only, without compiling anything.

`dataclasses.dataclass` writes and compiles source text for each class, which a cold start pays for every time. This one
gives a class the same methods from functions that are there already; what `dataclasses` itself asks of a class (for
`replace`, `fields`, `asdict`), and its signature, is made by the real one when it is first wanted.

Out of scope: inheritance, `__post_init__`, options of `field` other than `default_factory`.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from reprlib import recursive_repr
from typing import Any, Literal, NoReturn, TypeVar

_Kind = TypeVar("_Kind")

MISSING = object()
"""What stands for the default of a field that has none."""


class _Field:
    """The default of a field whose value is made anew for each object."""

    def __init__(self, *, default_factory: Callable[[], Any]) -> None:
        self.make = default_factory


def field_defaults(kind: Any) -> Mapping[str, Any] | None:
    """Return the fields of such a class or object with their defaults (`MISSING`: none); `None` for anything else."""
    return getattr(kind, "__record_fields__", None)


def replace(one: _Kind, **changes: Any) -> _Kind:
    """Return the object with some fields changed, as `dataclasses.replace` does."""
    fields = type(one).__record_fields__  # type: ignore[attr-defined]
    return type(one)(**{name: getattr(one, name) for name in fields} | changes)


def _dataclass(*, frozen: Literal[True], kw_only: Literal[True]) -> Callable[[type[Any]], type[Any]]:
    return _complete


def _complete(kind: type[Any]) -> type[Any]:
    """Add to a class what makes it a data class."""
    defaults = {name: kind.__dict__[name] for name in kind.__annotations__ if name in kind.__dict__}
    for name, default in defaults.items():
        if isinstance(default, _Field):
            delattr(kind, name)
    kind.__record_fields__ = dict.fromkeys(kind.__annotations__, MISSING) | defaults
    for name, method in _METHODS.items():
        if name not in kind.__dict__ or kind.__dict__[name] is None:
            setattr(kind, name, method)
    for name in ("__dataclass_fields__", "__dataclass_params__", "__signature__"):
        setattr(kind, name, _Later(kind, name))
    return kind


def _init(self: Any, **values: Any) -> None:
    fields = type(self).__record_fields__
    state = self.__dict__
    for name, default in fields.items():
        if name in values:
            state[name] = values[name]
        elif default is MISSING:
            missing = [one for one in fields if fields[one] is MISSING and one not in values]
            raise TypeError(f"{type(self).__qualname__} needs {', '.join(map(repr, missing))}")
        else:
            state[name] = default.make() if type(default) is _Field else default
    for name in values.keys() - fields.keys():
        raise TypeError(f"{type(self).__qualname__} got an unexpected keyword argument {name!r}")


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self.__record_fields__)


def _equals(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


@recursive_repr()
def _repr(self: Any) -> str:
    texts = [f"{name}={getattr(self, name)!r}" for name in self.__record_fields__]
    return f"{type(self).__qualname__}({', '.join(texts)})"


def _refuse(self: Any, name: str, *value: Any) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot {'assign to' if value else 'delete'} field {name!r}")


class _Later:
    """What `dataclasses` knows of a class, found out when it is first asked for."""

    def __init__(self, kind: type[Any], name: str) -> None:
        self._kind, self._name = kind, name

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Make the same class with `dataclasses` and take what it has."""
        import dataclasses
        import inspect

        kind = self._kind
        members = {"__module__": kind.__module__, "__doc__": "", "__annotations__": kind.__annotations__}
        for name, default in kind.__record_fields__.items():
            if default is not MISSING:
                members[name] = dataclasses.field(default_factory=default.make) if type(default) is _Field else default
        same: type[Any] = dataclasses.dataclass(frozen=True, kw_only=True)(type(kind.__name__, (), members))
        kind.__dataclass_fields__, kind.__dataclass_params__ = same.__dataclass_fields__, same.__dataclass_params__
        kind.__signature__ = inspect.signature(same)
        return kind.__dict__[self._name]


_METHODS: dict[str, Any] = {
    "__init__": _init,
    "__eq__": _equals,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
    "__match_args__": (),
}

if typing.TYPE_CHECKING:  # for whom it is what it does
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
else:
    dataclass, field = _dataclass, _Field

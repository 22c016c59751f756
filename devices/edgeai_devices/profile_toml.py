"""Writing a profile as TOML that `read_profile` reads back to the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from edgeai_devices.profile import Profile

_TABLES = ("cpu", "memory", "gpu", "npu")
_LAST = ("sources",)


def profile_to_toml(profile: Profile, *, head: str = "") -> str:
    """Return the TOML text of `profile`; `head` opens it as a comment. What is not known is left out."""
    document = profile.to_json()
    lines = [f"# {line}" for line in head.splitlines()]
    lines += _entries((key, value) for key, value in document.items() if key not in (*_TABLES, *_LAST))
    for name in (*_TABLES, *_LAST):
        lines += _table(name, document[name] or {})
    return "\n".join(lines) + "\n"


def _table(name: str, content: Mapping[str, Any]) -> list[str]:
    inner = {key: value for key, value in content.items() if isinstance(value, Mapping)}
    entries = _entries((key, value) for key, value in content.items() if key not in inner)
    lines = ["", f"[{name}]", *entries] if entries else []
    for key, value in inner.items():
        lines += _table(f"{name}.{key}", value)
    return lines


def _entries(items: Iterable[tuple[str, Any]]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in items if value not in (None, [], False)]


def _key(key: str) -> str:
    return key if key.replace("_", "").isalnum() else _value(key)


def _value(value: Any) -> str:
    """JSON's texts, numbers and lists of texts are TOML's as well, but for characters that TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

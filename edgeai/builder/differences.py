"""Say in words what differs between two key documents: which file, which setting, which version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_DIGEST_LENGTH = 64


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return one phrase per difference, such as `files.data changed` or `tools.numpy: 2.1.0 → 2.2.0`."""
    return list(_differences(before, after, ""))


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], at: str) -> Iterator[str]:
    for key in sorted({*before, *after}):
        name = f"{at}.{key}" if at else key
        if key not in before or key not in after:
            yield f"{name} is {'new' if key in after else 'gone'}"
        elif isinstance(before[key], Mapping) and isinstance(after[key], Mapping):
            yield from _differences(before[key], after[key], name)
        elif before[key] != after[key]:
            old, new = _short(before[key]), _short(after[key])
            yield f"{name}: {old} → {new}" if old and new and old != new else f"{name} changed"


def _short(value: object) -> str:
    """Return a value in a few words, digests left out; nothing where there is nothing short to say."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(_short(each) for each in value if not _is_digest(each)) if _is_plain(value) else ""
    return str(value) if _is_plain([value]) and not _is_digest(value) else ""


def _is_plain(values: list[object]) -> bool:
    return all(isinstance(each, str | int | float) for each in values)


def _is_digest(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) == _DIGEST_LENGTH
        and all(letter in "0123456789abcdef" for letter in value)
    )

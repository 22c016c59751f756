"""Paths inside a bundle: which are allowed, and which cannot stand beside each other.

A path must mean the same file on Linux, macOS, Windows and Android and must never leave the bundle's root, so:
relative, `/` between the parts, no `..`, no drive, no backslash, no control characters, no part that Windows changes.
"""

from __future__ import annotations

from collections.abc import Iterable

from edgeai_runtime.errors import IntegrityError

MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "signature.json"
MAX_PATH_CHARACTERS = 240  # a cache folder in front of it still fits the 4096 of Linux and, mostly, the 260 of Windows

_WINDOWS_DEVICES = {"con", "prn", "aux", "nul"} | {f"{name}{digit}" for name in ("com", "lpt") for digit in "123456789"}


def check_member_path(path: str, *, where: str) -> None:
    """Refuse a member path that is not relative, that escapes the bundle, or that some system would read otherwise.

    Raises:
        IntegrityError: says which rule is broken.
    """
    reason = _fault(path)
    if reason:
        raise IntegrityError(
            f"{where}: the path {path[:80]!r} {reason}",
            hint="A path in a bundle is relative, with '/' between its parts, and stays inside, such as "
            "'variants/int8/model.tflite'. Do not use this bundle unless you know who made it.",
        )


def check_paths_together(paths: Iterable[str], *, where: str) -> None:
    """Refuse two different paths that would be one file on some system, or a file that is another one's folder.

    Raises:
        IntegrityError: names both paths.
    """
    files: dict[str, str] = {}
    for path in paths:
        other = files.setdefault(_folded(path), path)
        if other != path:
            raise IntegrityError(f"{where}: {other!r} and {path!r} are the same file where case does not matter")
    for folded, path in files.items():
        parts = folded.split("/")
        for length in range(1, len(parts)):
            parent = files.get("/".join(parts[:length]))
            if parent is not None:
                raise IntegrityError(f"{where}: {parent!r} is a file and the folder of {path!r} at once")


def _folded(path: str) -> str:
    if not path.isascii():
        import unicodedata

        path = unicodedata.normalize("NFC", path)
    return path.casefold()


def _fault(path: str) -> str:
    if not path:
        return "is empty"
    if len(path) > MAX_PATH_CHARACTERS:
        return f"has {len(path)} characters, more than {MAX_PATH_CHARACTERS}"
    if "\\" in path:
        return "has a backslash"
    if path.startswith("/"):
        return "is absolute"
    if not path.isprintable():
        return "has characters that cannot be printed"
    if any(character in path for character in ':*?"<>|'):
        return "has a character that is a drive or a pattern on some systems"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return f"has the part {part!r}, so it may escape the bundle"
        if part[-1] in ". ":
            return f"has the part {part!r}, whose end some systems drop"
        if part.split(".", 1)[0].lower() in _WINDOWS_DEVICES:
            return f"has the part {part!r}, a device on Windows"
    return ""

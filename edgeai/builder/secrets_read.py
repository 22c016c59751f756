"""Keys that `edgeai.toml` names: a path, or `env:NAME` of a variable that holds a path, or the key itself.

What is read here is never written anywhere: not to a cache, not to a lock, not to a log. A step that depends on a key
knows it by a fingerprint, from which the key cannot be told.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from edgeai_runtime.errors import UsageError

_PEM = "-----BEGIN"
_HEX = re.compile("[0-9a-fA-F]{64}")


def read_secret(named: str, root: Path) -> bytes:
    """Return the content of a key.

    Args:
        named: a path relative to `root`, or `env:NAME`. A variable holds the key's own text, or a path.
        root: the folder of `edgeai.toml`.

    Raises:
        UsageError: the variable is not set, or the file cannot be read.
    """
    scheme, _, name = named.partition(":")
    if scheme == "env":
        value = os.environ.get(name, "")
        if not value.strip():
            raise UsageError(
                f"The key is in the environment variable {name}, which is not set.",
                hint=f"Set {name} to the key's own text, or to the path of its file.",
            )
        if _PEM in value or _HEX.fullmatch(value.strip()):
            return value.encode()
        path, of = root / value.strip(), f" (from ${name})"
    else:
        path, of = root / named, ""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"The key {path}{of} cannot be read: {error.strerror or error}") from error


def fingerprint(named: str, root: Path) -> str:
    """Return what a step's key knows of a secret: the start of its digest; nothing when the secret is not to be had."""
    try:
        return hashlib.sha256(b"edgeai build key\0" + read_secret(named, root)).hexdigest()[:16]
    except UsageError:
        return ""

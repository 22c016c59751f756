"""Where edgeai keeps what it can make again: unpacked bundles, verdicts, measured times, compiled models.

`$EDGEAI_CACHE`, else the user's cache folder of the platform (`~/.cache/edgeai`, `~/Library/Caches/edgeai`,
`%LOCALAPPDATA%\\edgeai\\Cache`). Everything in it may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

CACHE_VARIABLE = "EDGEAI_CACHE"
CACHE_HINT = (
    f"Set {CACHE_VARIABLE} to a folder that can be written, or use the bundle as a folder: it is opened in place."
)
_LEFTOVER_AGE_S = 24 * 3600.0


def cache_folder() -> Path:
    """Return the cache folder of this user; it need not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    try:
        home = Path.home()
    except RuntimeError:  # a service without a home
        import tempfile

        return Path(tempfile.gettempdir()) / "edgeai-cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "edgeai"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "edgeai" / "Cache"
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (base if base.is_absolute() else home / ".cache") / "edgeai"


def bundle_folder(cache: Path, digest: str) -> Path:
    """Return the folder of an unpacked bundle; `digest` is that of its manifest, so of all its content."""
    return cache / "bundles" / digest


def verdict_folder(digest: str) -> Path:
    """Return the folder of what self-checks found on a bundle; it exists once there was one."""
    return cache_folder() / "verdicts" / digest[:40]


def compiled_folder(digest: str) -> Path:
    """Return the folder of what engines compiled of a bundle; it exists once `warm` was run on it."""
    return cache_folder() / "compiled" / digest[:40]


def unfinished_folder(cache: Path) -> Path:
    """Return the folder of files that are being written, on the same file system as the entries."""
    return cache / "unfinished"


def remove_leftovers(cache: Path) -> None:
    """Delete what processes that were killed left unfinished more than a day ago; never an error."""
    with contextlib.suppress(OSError):
        for path in unfinished_folder(cache).iterdir():
            with contextlib.suppress(OSError):
                if time.time() - path.lstat().st_mtime > _LEFTOVER_AGE_S:
                    path.unlink()

"""Finding profiles: those shipped here, and a user's own in `./devices/*.toml`, which come first."""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from pathlib import Path

from edgeai_devices.profile import Profile, read_profile
from edgeai_devices.profile_rules import Rules
from edgeai_devices.profile_rules_file import read_rules
from edgeai_runtime.errors import UsageError

_SHIPPED = Path(__file__).parent / "profiles"
OWN_FOLDER = Path("devices")
"""Where a user's own profiles are looked for, relative to the working folder; files of rules in its folder `rules`."""


def read_profiles(own: Path | None = None) -> tuple[Profile, ...]:
    """Return all profiles in order of their ids; an own profile replaces a shipped one of the same id.

    Args:
        own: folder of a user's own profiles; by default `./devices`, which need not exist.

    Raises:
        UsageError: a profile or a file of rules does not pass the checks.
    """
    files = _profile_files(own)
    known: dict[Path, Rules] = {}
    find_rules = partial(_find_rules, known=known, own=own)
    return tuple(read_profile(files[key], find_rules=find_rules) for key in sorted(files))


def read_all_rules(own: Path | None = None) -> tuple[Rules, ...]:
    """Return all rules in order of their ids; own ones replace shipped ones of the same id.

    Raises:
        UsageError: a file of rules does not pass the checks.
    """
    folders = (_SHIPPED, OWN_FOLDER if own is None else own)
    files = {path.stem: path for folder in folders for path in sorted((folder / "rules").glob("*.toml"))}
    return tuple(read_rules(files[key]) for key in sorted(files))


def find_profile(device: str, own: Path | None = None) -> Profile:
    """Return the profile with the id `device`; no other profile is read.

    Raises:
        UsageError: there is none, and the nearest id is offered; or it does not pass the checks.
    """
    files = _profile_files(own)
    if device in files:
        return read_profile(files[device], find_rules=partial(_find_rules, known={}, own=own))
    close = get_close_matches(device.lower(), list(files), n=1, cutoff=0.4)
    hint = f"Did you mean {close[0]}? `edgeai devices` lists all." if close else "`edgeai devices` lists all."
    raise UsageError(f"There is no device profile {device!r}.", hint=hint)


def _profile_files(own: Path | None) -> dict[str, Path]:
    folders = (_SHIPPED, OWN_FOLDER if own is None else own)
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


def _find_rules(name: str, *, known: dict[Path, Rules], own: Path | None) -> Rules | None:
    """Return the rules `name`, each file read once; own ones come before those shipped."""
    for folder in (OWN_FOLDER if own is None else own, _SHIPPED):
        path = folder / "rules" / f"{name}.toml"
        if path.is_file():
            if path not in known:
                known[path] = read_rules(path)
            return known[path]
    return None

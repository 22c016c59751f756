"""Finding profiles: those shipped here, and a user's own in `./devices/*.toml`, which come first."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from edgeai_devices.profile import Profile, read_profile
from edgeai_runtime.errors import UsageError

_SHIPPED = Path(__file__).parent / "profiles"
OWN_FOLDER = Path("devices")
"""Where a user's own profiles are looked for, relative to the working folder."""


def read_profiles(own: Path | None = None) -> tuple[Profile, ...]:
    """Return all profiles in order of their ids; an own profile replaces a shipped one of the same id.

    Args:
        own: folder of a user's own profiles; by default `./devices`, which need not exist.

    Raises:
        UsageError: a profile does not pass the checks.
    """
    found: dict[str, Profile] = {}
    for folder in (_SHIPPED, OWN_FOLDER if own is None else own):
        for path in sorted(folder.glob("*.toml")):
            profile = read_profile(path)
            found[profile.id] = profile
    return tuple(found[key] for key in sorted(found))


def find_profile(device: str, own: Path | None = None) -> Profile:
    """Return the profile with the id `device`.

    Raises:
        UsageError: there is none; the nearest id is offered.
    """
    profiles = {profile.id: profile for profile in read_profiles(own)}
    if device in profiles:
        return profiles[device]
    close = get_close_matches(device.lower(), list(profiles), n=1, cutoff=0.4)
    hint = f"Did you mean {close[0]}? `edgeai devices` lists all." if close else "`edgeai devices` lists all."
    raise UsageError(f"There is no device profile {device!r}.", hint=hint)

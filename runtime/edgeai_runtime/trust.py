"""What a device demands of a bundle beyond its digests: who signed it, which one, how old at most, and not revoked.

With a history, the newest version of each bundle that was opened is kept, so that nobody takes the device back:

    <history>/<hash of the bundle's name and key>/2.1

The name of the one file is the version; a newer one is written before the older is removed, so processes that open
several versions at once never lower it. The folder must last, and those who bring bundles must not write to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeai_runtime.bundle_files import FETCH_AGAIN
from edgeai_runtime.errors import IntegrityError, SignatureError, UsageError
from edgeai_runtime.manifest import Manifest
from edgeai_runtime.manifest_checks import manifest_files

if TYPE_CHECKING:
    from edgeai_runtime.signature import Signature

KEYS_VARIABLE = "EDGEAI_TRUSTED_KEYS"
REVOKED_VARIABLE = "EDGEAI_REVOKED"
HISTORY_VARIABLE = "EDGEAI_TRUST_HISTORY"


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What is demanded of a bundle beyond its digests; the empty one demands nothing.

    Attributes:
        keys: public keys whose signatures count: PEM files (each may hold several keys), or their content as bytes.
        require_signature: refuse what is not signed, bare artifacts too; by default when there are keys. With `False`
            an unsigned bundle is opened, in a child process first, and a signature that is there must be right.
        name: the only bundle that is meant, so that no other one signed with the same key takes its place.
        minimum_version: refuse bundles of an older version, such as `2.1`, so that nobody rolls back.
        history: a folder that lasts, in which the newest version of each bundle (by name and key) that was opened is
            kept; an older one is refused from then on. Signatures are required with it.
        revoked: what counts no more: ids of keys and digests of bundles (64 hexadecimal digits), or files, or their
            content as bytes, with one of these per line (after `#` a comment) or public keys in PEM.
    """

    keys: Sequence[str | Path | bytes] = ()
    require_signature: bool | None = None
    name: str | None = None
    minimum_version: str | None = None
    history: str | Path | None = None
    revoked: Sequence[str | Path | bytes] = ()

    def __post_init__(self) -> None:
        for name, given in (("keys", self.keys), ("revoked", self.revoked)):
            object.__setattr__(self, name, (given,) if isinstance(given, (str, bytes, Path)) else tuple(given))
        object.__setattr__(
            self, "require_signature", bool(self.keys) if self.require_signature is None else self.require_signature
        )
        if self.require_signature and not self.keys:
            raise UsageError("a signature is required, but no key is given to check it with", hint="Trust(keys=…)")
        if self.history is not None and not self.require_signature:
            raise UsageError("a history is kept of signed bundles alone", hint="Trust(keys=…, history=…)")
        if self.minimum_version is not None and _version_numbers(self.minimum_version) is None:
            raise UsageError(f"minimum_version is numbers with dots. Received: {self.minimum_version!r}")


def trust_here(*, keys: Sequence[str | Path] = (), minimum_version: str | None = None) -> Trust:
    """Return what the environment demands, with `keys` in place of its own ones, when there are any.

    `$EDGEAI_TRUSTED_KEYS` and `$EDGEAI_REVOKED` are lists of files, separated as in `$PATH`; `$EDGEAI_TRUST_HISTORY` is
    a folder, and counts where there are keys. Nothing is demanded when all are empty.
    """
    trusted, revoked = (
        [name for name in os.environ.get(variable, "").split(os.pathsep) if name]
        for variable in (KEYS_VARIABLE, REVOKED_VARIABLE)
    )
    given = keys or trusted
    history = os.environ.get(HISTORY_VARIABLE) if given else None
    return Trust(keys=given, minimum_version=minimum_version, history=history or None, revoked=revoked)


def refuse_bare(path: Path, trust: Trust) -> None:
    """Refuse a bare artifact where a policy holds: nothing in it is signed, named or numbered.

    Raises:
        SignatureError: `trust` demands what only a bundle has.
    """
    if trust.require_signature or trust.name or trust.minimum_version:
        raise SignatureError(
            f"{path} is a bare artifact, and only bundles are trusted here", hint="Pack and sign it on the workstation."
        )


def check_policy(manifest: Manifest, signature: Signature | None, trust: Trust, *, where: str) -> None:
    """Check that manifest and signature mean the same members, and that name and version are the ones demanded.

    Raises:
        SignatureError: another name, or an older version than the minimum or than one that was opened before.
        IntegrityError: a member has another digest in the signature than in the manifest.
    """
    for entry in manifest_files(manifest) if signature is not None else ():
        if signature is not None and signature.members.get(entry.path) != entry.sha256:
            raise IntegrityError(f"{where}: {entry.path!r} is not the member that was signed", hint=FETCH_AGAIN)
    if trust.name not in (None, manifest.name):
        raise SignatureError(f"{where} is the bundle {manifest.name!r}, and {trust.name!r} is wanted")
    limits = [(trust.minimum_version, "is wanted")]
    if trust.history is not None and signature is not None:
        seen = _newest_seen(Path(trust.history), manifest.name, signature.key_id)
        limits.append((seen or "0", "was opened here before" if seen else "is wanted, with numbers"))
    for limit, why in limits:
        have, least = _version_numbers(manifest.version), _version_numbers(limit or "")
        if limit is not None and (have is None or least is None or have < least):
            raise SignatureError(
                f"{where} has version {manifest.version!r}; at least {limit} {why}",
                hint="Fetch a newer one: going back to an older version is refused.",
            )


def remember_version(manifest: Manifest, signature: Signature | None, trust: Trust) -> None:
    """Keep in the history of `trust`, where it has one, that this version was opened.

    Raises:
        OutputError: it cannot be written, so the next bundle could be an older one.
    """
    if trust.history is not None and signature is not None:
        _keep_seen(Path(trust.history), manifest.name, signature.key_id, manifest.version)


def _version_numbers(version: str) -> list[int] | None:
    """Return the numbers of a version without trailing zeros; `None` when it is not numbers with dots."""
    if not re.fullmatch(r"\d{1,18}(\.\d{1,18}){0,9}", version, re.ASCII):
        return None
    numbers = [int(number) for number in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers


def _newest_seen(history: Path, name: str, key_id: str) -> str | None:
    """Return the newest version of the bundle `name`, signed with `key_id`, that was kept; `None` when none was.

    Raises:
        SignatureError: the history is there and cannot be read, so nobody knows.
    """
    return max(_seen(_place(history, name, key_id)), key=_order, default=None)


def _keep_seen(history: Path, name: str, key_id: str, version: str) -> None:
    """Keep `version`, numbers with dots, where it is newer than the newest so far.

    Raises:
        OutputError: the history cannot be written.
        SignatureError: it cannot be read.
    """
    place = _place(history, name, key_id)
    seen = _seen(place)
    if any(_order(one) >= _order(version) for one in seen):
        return
    from edgeai_runtime.atomic import write_atomically

    write_atomically(place / version, f"{name}\nsigned with {key_id}\n".encode(), durable=True)
    for one in seen:
        with contextlib.suppress(OSError):
            (place / one).unlink()


def _place(history: Path, name: str, key_id: str) -> Path:
    return history / hashlib.sha256(f"{key_id} {name}".encode()).hexdigest()[:32]


def _seen(place: Path) -> list[str]:
    try:
        return [one for one in os.listdir(place) if _version_numbers(one) is not None]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SignatureError(
            f"which versions were opened here cannot be read: {error}", hint="Mend the folder of Trust(history=…)."
        ) from error


def _order(version: str) -> list[int]:
    return _version_numbers(version) or []

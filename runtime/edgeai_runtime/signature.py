"""The signature of a bundle, and what a device demands of it: checked before the manifest is parsed.

`signature.json` is what the OpenSSF's `model-signing` writes with a key: a Sigstore bundle around a DSSE envelope
around an in-toto statement that lists every other member with its sha256. What edgeai signs with ECDSA is accepted by
that package and the reverse; Ed25519, which it does not take, stands in the same envelope.

Keys are public keys in PEM. `cryptography` is imported when there is a signature to check. Making signatures is the
workstation's work.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeai_runtime.bundle_files import FETCH_AGAIN, Container
from edgeai_runtime.bundle_paths import MANIFEST_NAME, SIGNATURE_NAME
from edgeai_runtime.errors import IntegrityError, MissingEngineError, SignatureError, UsageError
from edgeai_runtime.manifest import Manifest
from edgeai_runtime.manifest_checks import manifest_files

KEYS_VARIABLE = "EDGEAI_TRUSTED_KEYS"
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"

_MAX_BYTES = 16 * 2**20
_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)
_SIGN_AGAIN = "Sign it again with `edgeai sign`."


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What is demanded of a bundle beyond its digests; the empty one demands nothing.

    Attributes:
        keys: public keys whose signatures count: PEM files (each may hold several keys), or their content as bytes.
        require_signature: refuse what is not signed, bare artifacts too; by default when there are keys. With `False`
            an unsigned bundle is opened, in a child process first, and a signature that is there must be right.
        name: the only bundle that is meant, so that no other one signed with the same key takes its place.
        minimum_version: refuse bundles of an older version, such as `2.1`, so that nobody rolls back.
    """

    keys: Sequence[str | Path | bytes] = ()
    require_signature: bool | None = None
    name: str | None = None
    minimum_version: str | None = None

    def __post_init__(self) -> None:
        keys = self.keys
        object.__setattr__(self, "keys", (keys,) if isinstance(keys, (str, bytes, Path)) else tuple(keys))
        object.__setattr__(
            self, "require_signature", bool(self.keys) if self.require_signature is None else self.require_signature
        )
        if self.require_signature and not self.keys:
            raise UsageError("a signature is required, but no key is given to check it with", hint="Trust(keys=…)")
        if self.minimum_version is not None and _numbers(self.minimum_version) is None:
            raise UsageError(f"minimum_version is numbers with dots. Received: {self.minimum_version!r}")


def trust_here() -> Trust:
    """Return what `$EDGEAI_TRUSTED_KEYS` demands: PEM files, separated as in `$PATH`; nothing when it is empty."""
    return Trust(keys=[name for name in os.environ.get(KEYS_VARIABLE, "").split(os.pathsep) if name])


def refuse_bare(path: Path, trust: Trust) -> None:
    """Refuse a bare artifact where a policy holds: nothing in it is signed, named or numbered.

    Raises:
        SignatureError: `trust` demands what only a bundle has.
    """
    if trust.require_signature or trust.name or trust.minimum_version:
        raise SignatureError(
            f"{path} is a bare artifact, and only bundles are trusted here", hint="Pack and sign it on the workstation."
        )


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A signature that a trusted key made: the key's id and the sha256 of each member."""

    key_id: str
    members: dict[str, str]


def check_signature(container: Container, manifest: bytes, trust: Trust) -> Signature | None:
    """Check the signature over the list of members and over the bytes of `manifest.json`, before these are parsed.

    The other members are compared by their digests with the manifest, as always, and that with the signature by
    `check_policy`. Returns `None` for an unsigned bundle where that is allowed.

    Raises:
        SignatureError: there is none, or no trusted key made it.
        IntegrityError: it is right, and the bundle holds something else.
        MissingEngineError: `cryptography` is not installed.
        UsageError: a key of `trust` can not be read.
    """
    where = container.path
    if not trust.keys:
        return None
    if SIGNATURE_NAME not in container.sizes:
        if trust.require_signature:
            raise SignatureError(f"{where} is not signed", hint="Sign it with `edgeai sign`, or fetch the signed one.")
        return None
    if container.sizes[SIGNATURE_NAME] > _MAX_BYTES:
        raise SignatureError(f"{where}: {SIGNATURE_NAME} is larger than any signature")
    key_id, payload = _open_envelope(b"".join(container.chunks(SIGNATURE_NAME)), read_keys(trust.keys), str(where))
    signature = Signature(key_id=key_id, members=_read_statement(payload, str(where)))
    here = set(container.sizes) - {SIGNATURE_NAME}
    for what, names in (("added", here - set(signature.members)), ("removed", set(signature.members) - here)):
        if names:
            listed = ", ".join(map(repr, sorted(names)[:5]))
            raise IntegrityError(f"{where}: members were {what} after it was signed: {listed}", hint=FETCH_AGAIN)
    if hashlib.sha256(manifest).hexdigest() != signature.members[MANIFEST_NAME]:
        raise IntegrityError(f"{where}: {MANIFEST_NAME} was changed after it was signed", hint=FETCH_AGAIN)
    return signature


def check_policy(manifest: Manifest, signature: Signature | None, trust: Trust, *, where: str) -> None:
    """Check that manifest and signature mean the same members, and that name and version are the ones demanded.

    Raises:
        SignatureError: another name, or an older version.
        IntegrityError: a member has another digest in the signature than in the manifest.
    """
    for entry in manifest_files(manifest) if signature is not None else ():
        if signature is not None and signature.members.get(entry.path) != entry.sha256:
            raise IntegrityError(f"{where}: {entry.path!r} is not the member that was signed", hint=FETCH_AGAIN)
    if trust.name not in (None, manifest.name):
        raise SignatureError(f"{where} is the bundle {manifest.name!r}, and {trust.name!r} is wanted")
    if trust.minimum_version is not None:
        have, least = _numbers(manifest.version), _numbers(trust.minimum_version)
        if have is None or least is None or have < least:
            raise SignatureError(
                f"{where} has version {manifest.version!r}; at least {trust.minimum_version} is wanted",
                hint="Fetch a newer one: going back to an older version is refused.",
            )


def read_keys(keys: Sequence[str | Path | bytes]) -> dict[str, Any]:
    """Return public keys by their id: the sha256 of their PEM, which `model-signing` calls the hint.

    Raises:
        UsageError: a file that can not be read, is not PEM, or holds a private or another kind of key.
        MissingEngineError: `cryptography` is not installed.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise MissingEngineError(
            "signatures are checked with the package cryptography, which is not installed",
            hint='pip install "edgeai-runtime[sign]"',
        ) from error
    found: dict[str, Any] = {}
    for key in keys:
        name = "a key given as bytes" if isinstance(key, bytes) else f"the key {key}"
        try:
            blocks = list(_PEM.finditer(key if isinstance(key, bytes) else Path(key).read_bytes()))
            for block in blocks:
                if b"PRIVATE" in block[1]:
                    raise UsageError(f"{name} is private", hint="Give the public one; a private key stays at home.")
                public = load_pem_public_key(block[0])
                if signing_scheme(public) is None:
                    raise ValueError("neither Ed25519 nor ECDSA on P-256, P-384 or P-521")
                found[key_id(public)] = public
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise UsageError(f"{name} can not be read: {error}") from error
        if not blocks:
            raise UsageError(f"{name} is not PEM (-----BEGIN PUBLIC KEY-----)", hint="Make one with `edgeai keygen`.")
    return found


def key_id(public: Any) -> str:
    """Return the id of a public key, as `model-signing` computes it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def signed_bytes(payload: bytes) -> bytes:
    """Return what a DSSE signature is made over (the protocol's pre-authentication encoding)."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _open_envelope(content: bytes, keys: dict[str, Any], where: str) -> tuple[str, bytes]:
    """Return the id of the trusted key that signed, and the payload; nothing in the payload was looked at."""
    from cryptography.exceptions import InvalidSignature

    try:
        document = json.loads(content)
        if document["mediaType"] != MEDIA_TYPE:
            raise ValueError(f"media type {document['mediaType']!r}")
        envelope, material = document["dsseEnvelope"], document["verificationMaterial"]
        if "publicKey" not in material:
            raise ValueError("it was made with a certificate or an identity; a key is needed")
        hint = "" + (material["publicKey"].get("hint") or "")
        (made,) = envelope["signatures"]
        mark, payload = (base64.b64decode(text, validate=True) for text in (made["sig"], envelope["payload"]))
        if envelope["payloadType"] != PAYLOAD_TYPE:
            raise ValueError(f"payload type {envelope['payloadType']!r}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _malformed(where, error) from error
    if hint and hint not in keys:
        known = ", ".join(one[:16] for one in keys)
        raise SignatureError(f"{where} is signed with an unknown key, {str(hint)[:16]!r}", hint=f"Trusted: {known}.")
    for name in [hint] if hint else keys:
        try:
            keys[name].verify(mark, signed_bytes(payload), *(signing_scheme(keys[name]) or ()))
            return name, payload
        except InvalidSignature:
            continue
    raise SignatureError(f"{where}: the signature is false: no trusted key made it over this content", hint=FETCH_AGAIN)


def _read_statement(payload: bytes, where: str) -> dict[str, str]:
    try:
        statement = json.loads(payload)
        if (statement["_type"], statement["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
            raise ValueError(f"it says something else: {statement['predicateType']!r}")
        (subject,) = statement["subject"]
        serialization, resources = (statement["predicate"][key] for key in ("serialization", "resources"))
        if serialization["method"] != "files" or {one["algorithm"] for one in resources} != {"sha256"}:
            raise ValueError("its digests are not the sha256 of whole files")
        members = {str(one["name"]): str(one["digest"]) for one in resources}
        whole = hashlib.sha256(b"".join(bytes.fromhex(one["digest"]) for one in resources)).hexdigest()
        if len(members) != len(resources) or subject["digest"]["sha256"] != whole or MANIFEST_NAME not in members:
            raise ValueError("its list of members is not consistent")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _malformed(where, error) from error
    return members


def _malformed(where: str, error: Exception) -> SignatureError:
    reason = f"{error} is missing" if isinstance(error, KeyError) else error
    return SignatureError(f"{where}: {SIGNATURE_NAME} is not a signature of a bundle: {reason}", hint=_SIGN_AGAIN)


def signing_scheme(public: Any) -> tuple[Any, ...] | None:
    """Return what `verify` of a public key wants besides signature and message; `None` for a kind that is not known."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(public, ed25519.Ed25519PublicKey):
        return ()
    kinds = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}
    kind = kinds.get(public.curve.name) if isinstance(public, ec.EllipticCurvePublicKey) else None
    return (ec.ECDSA(kind),) if kind is not None else None


def _numbers(version: str) -> list[int] | None:
    """Return the numbers of a version without trailing zeros; `None` when it is not numbers with dots."""
    if not re.fullmatch(r"\d{1,18}(\.\d{1,18}){0,9}", version, re.ASCII):
        return None
    numbers = [int(number) for number in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers

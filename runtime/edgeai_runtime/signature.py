"""The signature of a bundle, checked before the manifest is parsed; what a device demands of it is in `trust.py`.

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
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeai_runtime.bundle_files import FETCH_AGAIN, Container
from edgeai_runtime.bundle_paths import MANIFEST_NAME, SIGNATURE_NAME
from edgeai_runtime.errors import IntegrityError, MissingEngineError, SignatureError, UsageError
from edgeai_runtime.trust import Trust

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"

_MAX_BYTES = 16 * 2**20
_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)
_ID = re.compile("[0-9a-f]{64}")
_SIGN_AGAIN = "Sign it again with `edgeai sign`."


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
        SignatureError: there is none, or no trusted key made it, or its key or the bundle is revoked.
        IntegrityError: it is right, and the bundle holds something else.
        MissingEngineError: `cryptography` is not installed.
        UsageError: a key or a revocation of `trust` cannot be read.
    """
    where = container.path
    digest, revoked = hashlib.sha256(manifest).hexdigest(), read_revoked(trust.revoked)
    if digest in revoked:
        raise SignatureError(f"{where} was revoked, whoever signed it", hint="Fetch another version.")
    if not trust.keys:
        return None
    if SIGNATURE_NAME not in container.sizes:
        if trust.require_signature:
            raise SignatureError(f"{where} is not signed", hint="Sign it with `edgeai sign`, or fetch the signed one.")
        return None
    if container.sizes[SIGNATURE_NAME] > _MAX_BYTES:
        raise SignatureError(f"{where}: {SIGNATURE_NAME} is larger than any signature")
    envelope = b"".join(container.chunks(SIGNATURE_NAME))
    key_id, payload = _open_envelope(envelope, read_keys(trust.keys), revoked, str(where))
    signature = Signature(key_id=key_id, members=_read_statement(payload, str(where)))
    here = set(container.sizes) - {SIGNATURE_NAME}
    for what, names in (("added", here - set(signature.members)), ("removed", set(signature.members) - here)):
        if names:
            listed = ", ".join(map(repr, sorted(names)[:5]))
            raise IntegrityError(f"{where}: members were {what} after it was signed: {listed}", hint=FETCH_AGAIN)
    if digest != signature.members[MANIFEST_NAME]:
        raise IntegrityError(f"{where}: {MANIFEST_NAME} was changed after it was signed", hint=FETCH_AGAIN)
    return signature


def read_keys(keys: Sequence[str | Path | bytes]) -> dict[str, Any]:
    """Return public keys by their id: the sha256 of their PEM, which `model-signing` calls the hint.

    Raises:
        UsageError: a file that cannot be read, is not PEM, or holds a private or another kind of key.
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
            raise UsageError(f"{name} cannot be read: {error}") from error
        if not blocks:
            raise UsageError(f"{name} is not PEM (-----BEGIN PUBLIC KEY-----)", hint="Make one with `edgeai keygen`.")
    return found


def read_revoked(given: Sequence[str | Path | bytes]) -> frozenset[str]:
    """Return the ids of keys and the digests of bundles that are revoked, as `Trust.revoked` names them.

    Raises:
        UsageError: a file that cannot be read, or holds something else.
        MissingEngineError: there are public keys, and `cryptography` is not installed.
    """
    found: set[str] = set()
    for one in given:
        if isinstance(one, str) and _ID.fullmatch(one):
            found.add(one)
            continue
        name = "revocations given as bytes" if isinstance(one, bytes) else f"the revocations {one}"
        try:
            content = one if isinstance(one, bytes) else Path(one).read_bytes()
            lines = _PEM.sub(b"", content).decode().splitlines()
        except (OSError, ValueError) as error:
            raise UsageError(f"{name} cannot be read: {error}") from error
        words = [word for line in lines if (word := line.partition("#")[0].strip())]
        for word in words:
            if not _ID.fullmatch(word):
                raise UsageError(f"{name}: neither an id or digest (64 hexadecimal digits) nor PEM: {word[:80]!r}")
        found |= {*words, *(read_keys([content]) if _PEM.search(content) else ())}
    return frozenset(found)


def key_id(public: Any) -> str:
    """Return the id of a public key, as `model-signing` computes it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def signed_bytes(payload: bytes) -> bytes:
    """Return what a DSSE signature is made over (the protocol's pre-authentication encoding)."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _open_envelope(content: bytes, keys: dict[str, Any], revoked: frozenset[str], where: str) -> tuple[str, bytes]:
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
    if hint in revoked:
        raise SignatureError(f"{where} is signed with a revoked key, {hint[:16]!r}", hint="Fetch one that is not.")
    keys = {name: key for name, key in keys.items() if name not in revoked}
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

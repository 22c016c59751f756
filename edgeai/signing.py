"""Keys and signatures on the workstation; the device's side is `edgeai_runtime.signature`.

A signature lists every member of a bundle with its sha256, in the format of the OpenSSF's `model-signing`, and becomes
more member, `signature.json`, the last. The bytes of all others stay as they are, unless a new version is asked for.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeai_runtime.errors import MissingEngineError, OutputError, UsageError

if TYPE_CHECKING:
    from edgeai_runtime.bundle_files import Container

Algorithm = Literal["ed25519", "ecdsa-p256"]
_PASSWORD = "Set EDGEAI_KEY_PASSWORD, or sign in a terminal, where you are asked."
ALGORITHMS: tuple[Algorithm, ...] = ("ed25519", "ecdsa-p256")


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """A pair of keys that was written: the two PEM files, the algorithm, and the id that signatures carry."""

    private: Path
    public: Path
    algorithm: Algorithm
    key_id: str


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A bundle that was signed: where it is, the id of the key, and the members that the signature covers."""

    bundle: Path
    key_id: str
    members: tuple[str, ...]


def generate_keys(
    path: Path, *, algorithm: Algorithm = "ed25519", password: str | None = None, force: bool = False
) -> KeyPair:
    """Write a new private key to `path`, for its owner's eyes only, and the public one beside it, as `.pub`.

    Args:
        path: of the private key, in PEM (PKCS #8).
        algorithm: `ed25519`, or `ecdsa-p256`, which the reference package takes as well.
        password: encrypts the private key.
        force: replace keys that are there. What they signed can then be signed by nobody again.

    Raises:
        OutputError: a file exists already, or cannot be written.
        UsageError: `path` ends in `.pub`, or the algorithm is not known.
        MissingEngineError: `cryptography` is not installed.
    """
    _require_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    from edgeai_runtime.atomic import output_error, write_atomically
    from edgeai_runtime.signature import key_id

    public = path.with_suffix(".pub")
    if path == public:
        raise UsageError(f"{path} would be the public key", hint="Name the private one, such as release.key.")
    if algorithm not in ALGORITHMS:
        raise UsageError(f"the algorithm is one of {', '.join(ALGORITHMS)}. Received: {algorithm!r}")
    for file in (path, public):
        if os.path.lexists(file) and not force:
            raise OutputError(f"{file} exists already", hint="Choose another name, or overwrite it with --force.")
    key: Any = ec.generate_private_key(ec.SECP256R1()) if algorithm == "ecdsa-p256" else None
    key = key if key is not None else ed25519.Ed25519PrivateKey.generate()
    lock: Any = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    content = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    unfinished = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(content)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise output_error(path, error) from error
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_atomically(public, pem)
    return KeyPair(private=path, public=public, algorithm=algorithm, key_id=key_id(key.public_key()))


def is_encrypted(key: Path) -> bool:
    """Say whether a private key asks for a password."""
    try:
        return b"ENCRYPTED" in key.read_bytes()
    except OSError as error:
        raise UsageError(f"the key {key} cannot be read: {error.strerror or error}") from error


def sign_bundle(
    path: Path,
    *,
    key: Path | bytes,
    password: str | None = None,
    version: str | None = None,
    output: Path | None = None,
    force: bool = False,
) -> Signed:
    """Check every digest of a bundle, sign the list of its members, and put the signature in.

    Args:
        path: the bundle, a `.edge` file or a folder.
        key: the private key, in PEM: Ed25519, or ECDSA on P-256, P-384 or P-521; its file, or its content.
        password: of the key.
        version: written into the manifest before it is signed, such as `2.1`: what `Trust.minimum_version` looks at.
        output: write a new `.edge` file and leave `path` alone; by default the signature is added to `path`.
        force: replace `output`, or the signature that `path` has.

    Raises:
        BundleError: the bundle is not whole. Nothing that is damaged is signed.
        OutputError: signed already, `output` exists, or it cannot be written.
        UsageError: the key or its password is wrong.
        MissingEngineError: `cryptography` is not installed.
    """
    from edgeai_runtime.atomic import open_beside, write_atomically
    from edgeai_runtime.bundle_files import open_container, read_manifest_bytes
    from edgeai_runtime.bundle_members import check_listing, check_member
    from edgeai_runtime.bundle_paths import MANIFEST_NAME, SIGNATURE_NAME
    from edgeai_runtime.manifest_checks import manifest_files
    from edgeai_runtime.manifest_json import dump_manifest, parse_manifest
    from edgeai_runtime.signature import key_id
    from edgeai_runtime.trust import Trust

    private = read_private_key(key, password)
    if output is not None and os.path.lexists(output) and not force:
        raise OutputError(f"{output} exists already", hint="Choose another name, or overwrite it with --force.")
    if output is not None and output.is_dir():
        raise OutputError(f"{output} is a folder", hint="Name a .edge file.")
    with open_container(path) as container:
        if output is None and SIGNATURE_NAME in container.sizes and not force:
            raise OutputError(f"{path} is signed already", hint="Replace the signature with --force.")
        content = read_manifest_bytes(container)
        manifest = parse_manifest(content, where=f"{path}: {MANIFEST_NAME}")
        if version is not None:
            Trust(minimum_version=version)  # refuses one that no minimum could be compared with
            manifest = dataclasses.replace(manifest, version=version)
            content = dump_manifest(manifest)
        check_listing(container, manifest)
        members = {MANIFEST_NAME: hashlib.sha256(content).hexdigest()}
        for entry in manifest_files(manifest):
            check_member(container, entry)
            members[entry.path] = entry.sha256
        signature = make_signature(members, private, name=manifest.name)
        if output is None and path.is_dir():
            if version is not None:
                write_atomically(path / MANIFEST_NAME, content, durable=True)
            write_atomically(path / SIGNATURE_NAME, signature, durable=True)
        else:
            with open_beside(output or path, durable=True) as file:
                _copy_with(container, content, list(members)[1:], signature, file)
    return Signed(bundle=output or path, key_id=key_id(private.public_key()), members=tuple(members))


def make_signature(members: dict[str, str], private: Any, *, name: str) -> bytes:
    """Return the bytes of `signature.json` over `members` (name → sha256 in hex), as the reference package lays it out.

    Args:
        members: all members but the signature.
        private: the private key, an object of `cryptography`.
        name: what is signed; for people only.
    """
    from edgeai_runtime import signature as sig
    from edgeai_runtime.bundle_paths import SIGNATURE_NAME

    ordered = sorted(members, key=lambda path: path.split("/"))
    statement = {
        "_type": sig.STATEMENT_TYPE,
        "subject": [
            {
                "name": name,
                "digest": {"sha256": hashlib.sha256(b"".join(bytes.fromhex(members[m]) for m in ordered)).hexdigest()},
            }
        ],
        "predicateType": sig.PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE_NAME],
            },
            "resources": [{"name": m, "algorithm": "sha256", "digest": members[m]} for m in ordered],
        },
    }
    payload = json.dumps(statement, indent=2).encode()
    document = {
        "mediaType": sig.MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": sig.key_id(private.public_key())}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": sig.PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(_sign(private, sig.signed_bytes(payload))).decode(), "keyid": ""}],
        },
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def _sign(private: Any, message: bytes) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec

    from edgeai_runtime.signature import signing_scheme

    scheme = signing_scheme(private.public_key())
    if not scheme:
        return bytes(private.sign(message))
    try:  # RFC 6979: the same bundle and key give the same bytes
        return bytes(private.sign(message, ec.ECDSA(scheme[0].algorithm, deterministic_signing=True)))
    except (UnsupportedAlgorithm, TypeError):  # an older OpenSSL or an older cryptography
        return bytes(private.sign(message, *scheme))


def read_private_key(key: Path | bytes, password: str | None) -> Any:
    """Return a private key as an object of `cryptography`; arguments and errors are those of `sign_bundle`."""
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from edgeai_runtime.signature import signing_scheme

    locked = b"ENCRYPTED" in key if isinstance(key, bytes) else is_encrypted(key)
    content, name = (key, "that was given") if isinstance(key, bytes) else (key.read_bytes(), str(key))
    if locked and not password:
        raise UsageError(f"the key {name} is encrypted and there is no password for it", hint=_PASSWORD)
    try:
        private = load_pem_private_key(content, password.encode() if locked and password else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        reason = "the password is wrong, or it is damaged" if locked else "it is not a private key in PEM"
        hint = _PASSWORD if locked else "Make one with `edgeai keygen`."
        raise UsageError(f"the key {name} cannot be opened: {reason}", hint=hint) from error
    if signing_scheme(private.public_key()) is None:
        raise UsageError(f"the key {name} is neither Ed25519 nor ECDSA on P-256, P-384 or P-521")
    return private


def _copy_with(container: Container, manifest: bytes, members: list[str], signature: bytes, file: Any) -> None:
    """Write manifest, members and signature as a zip, in the layout that every bundle has."""
    import zipfile

    from edgeai_runtime.bundle_arrays import stored_member
    from edgeai_runtime.bundle_paths import MANIFEST_NAME, SIGNATURE_NAME

    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(stored_member(MANIFEST_NAME), manifest)
        for name in members:
            info = stored_member(name)
            info.file_size = container.sizes[name]
            with archive.open(info, "w") as target:
                for chunk in container.chunks(name):
                    target.write(chunk)
        archive.writestr(stored_member(SIGNATURE_NAME), signature)


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise MissingEngineError(
            "keys and signatures need the package cryptography, which is not installed",
            hint='pip install "edgeai[sign]"',
        ) from error

"""Encrypt the variants of a bundle; the device's side, and the construction, is `edgeai_runtime.encryption`.

What is encrypted: the files of every variant. What is not: the manifest, golden samples, labels and assets, so that a
bundle can be listed, checked and signed without the key.
"""

from __future__ import annotations

import hmac
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeai_runtime.encryption import CHUNK_BYTES, file_cipher, header, key_id, read_key
from edgeai_runtime.errors import OutputError, UsageError
from edgeai_runtime.manifest import Encryption, Manifest, Variant
from edgeai_runtime.record import replace

if TYPE_CHECKING:
    from edgeai_runtime.encryption import Key


@dataclass(frozen=True, kw_only=True)
class Encrypted:
    """A bundle that was encrypted: where it is, the id of the key, and the variants."""

    bundle: Path
    key_id: str
    variants: tuple[str, ...]


def generate_key(path: Path, *, force: bool = False) -> str:
    """Write a new random key to `path`, as 64 hexadecimal digits, for its owner's eyes only; return its id.

    Raises:
        OutputError: the file exists already, or cannot be written.
    """
    from edgeai_runtime.atomic import output_error

    if os.path.lexists(path) and not force:
        raise OutputError(f"{path} exists already", hint="Choose another name, or overwrite it with --force.")
    key = os.urandom(32)
    unfinished = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(f"{key.hex()}\n".encode())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise output_error(path, error) from error
    return key_id(key)


def encrypt_bundle(path: Path, *, key: Key, output: Path, reproducible: bool = False, force: bool = False) -> Encrypted:
    """Check every digest of a bundle and write it again with its variants encrypted.

    A signature is left behind: sign what this writes.

    Args:
        path: the bundle, a `.edge` file or a folder.
        key: 32 bytes, 64 hexadecimal digits, a file with either, or a function that is given "" and returns these.
        output: the `.edge` file to write.
        reproducible: derive the salts from key and content (a synthetic initialization vector: Rogaway and Shrimpton
            2006, "A Provable-Security Treatment of the Key-Wrap Problem") instead of drawing them, so that the same
            bundle and key give the same bytes; whoever has two bundles of one name then sees which variants are equal.
        force: replace `output`.

    Raises:
        BundleError: the bundle is not whole.
        UsageError: it is encrypted already, it is a pipeline, or the key is none.
        OutputError: `output` exists, or cannot be written.
        MissingEngineError: `cryptography` is not installed.
    """
    from edgeai_runtime.bundle import file_entry, write_bundle
    from edgeai_runtime.bundle_files import open_container, read_manifest_bytes
    from edgeai_runtime.bundle_members import check_listing, check_member
    from edgeai_runtime.bundle_paths import MANIFEST_NAME
    from edgeai_runtime.manifest_checks import manifest_files
    from edgeai_runtime.manifest_json import parse_manifest

    secret = read_key(key)
    if os.path.lexists(output) and not force:
        raise OutputError(f"{output} exists already", hint="Choose another name, or overwrite it with --force.")
    with open_container(path) as container, tempfile.TemporaryDirectory(dir=output.absolute().parent) as folder:
        manifest = parse_manifest(read_manifest_bytes(container), where=f"{path}: {MANIFEST_NAME}")
        _refuse_unfit(path, manifest)
        check_listing(container, manifest)
        for entry in manifest_files(manifest):
            check_member(container, entry)
        members: dict[str, Path | bytes] = {}
        variants = []
        for variant in manifest.variants:
            salt = _salt(manifest.name, variant, secret) if reproducible else os.urandom(32).hex()
            entries = []
            for entry in variant.files:
                written = Path(folder) / str(len(members))
                context = header(manifest.name, variant.id, entry.path)
                with written.open("wb") as file:
                    file.writelines(encrypt_chunks(container.chunks(entry.path), secret, salt, context))
                members[entry.path] = written
                entries.append(file_entry(entry.path, written))
            record = Encryption(method="aes-256-gcm", salt=salt, key_id=key_id(secret))
            variants.append(replace(variant, files=tuple(entries), encryption=record))
        for entry in manifest_files(manifest):
            if entry.path not in members:
                members[entry.path] = b"".join(container.chunks(entry.path))
        write_bundle(output, replace(manifest, variants=tuple(variants)), members, force=force)
    return Encrypted(bundle=output, key_id=key_id(secret), variants=tuple(one.id for one in variants))


def encrypt_chunks(content: Iterable[bytes], key: bytes, salt: str, header: bytes) -> Iterator[bytes]:
    """Yield the ciphertext of a file, chunk by chunk; `decrypt_file` of the runtime takes it.

    Args:
        content: the plaintext, in pieces of any size.
        key: 32 bytes.
        salt: never used before with this key and header, or for the same content only.
        header: what the chunks are bound to.
    """
    cipher, nonce = file_cipher(key, salt, header)
    waiting, index = bytearray(), 0
    for piece in content:
        waiting += piece
        while len(waiting) > CHUNK_BYTES:  # a whole one is kept back: it may be the last
            yield cipher.encrypt(nonce(index, False), bytes(waiting[:CHUNK_BYTES]), header)
            del waiting[:CHUNK_BYTES]
            index += 1
    yield cipher.encrypt(nonce(index, True), bytes(waiting), header)


def _refuse_unfit(path: Path, manifest: Manifest) -> None:
    if manifest.pipeline is not None:
        hint = "Encrypt the bundles of its stages, then put them together."
        raise UsageError(f"{path} is a pipeline: its variants are those of its stages", hint=hint)
    for variant in manifest.variants:
        if variant.format == "onnx" and len(variant.files) > 1:
            hint = "Write the model with its weights inside; that can be done up to 2 GiB."
            raise UsageError(f"{path}: {variant.id} is an ONNX model with weights in other files", hint=hint)
    if any(variant.encryption is not None for variant in manifest.variants):
        raise UsageError(f"{path} is encrypted already", hint="Encrypt the bundle that it was made from.")
    paths = [entry.path for variant in manifest.variants for entry in variant.files]
    shared = next((one for one in paths if paths.count(one) > 1), None)
    if shared is not None:
        raise UsageError(f"{path}: two variants share {shared!r}, and each is encrypted for itself")


def _salt(name: str, variant: Variant, key: bytes) -> str:
    """Return a salt that only the same content, names and key give; it reveals nothing without the key."""
    facts = [name, variant.id, *([entry.path, entry.sha256] for entry in variant.files)]
    return hmac.digest(key, b"edgeai.encryption/1 salt" + json.dumps(facts).encode(), "sha256").hex()

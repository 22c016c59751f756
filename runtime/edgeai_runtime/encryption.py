"""Encrypted variants: decrypted in memory each time they are opened; no engine, cache or child gets a file of them.

The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015, "Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance", section 7) over AES-256-GCM. A file is cut into chunks of `CHUNK_BYTES`, the last one
shorter, and each becomes ciphertext and tag under the nonce

    prefix (7 bytes) | number of the chunk (4, big-endian) | 1 for the last chunk, else 0

so no chunk can be taken away, moved or repeated. HKDF-SHA256 gives the key and the prefix of each file from the
bundle's key, the variant's salt and the `header`; the header is also the associated data of every chunk, so what
belongs to another bundle, variant or path is refused. An engine gets nothing before the last tag was right.

Encrypting is the workstation's work (`edgeai.encrypting`). `cryptography` is imported when something is decrypted.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_runtime.errors import IntegrityError, MissingEngineError, UsageError

if TYPE_CHECKING:
    from edgeai_runtime.bundle import Bundle
    from edgeai_runtime.manifest import Encryption, Variant

    #: The 32 bytes, 64 hexadecimal digits, a file that holds either, or a function from the key's id to these.
    Key = bytes | str | Path | Callable[[str], bytes | str | Path]

KEY_VARIABLE = "EDGEAI_DECRYPTION_KEY"
CHUNK_BYTES = 1 << 20
_TAG_BYTES = 16
_WRITES_FILES = re.compile("(?i)cache_?(dir|path|enable)|file_?path|context_enable|^isolate")


class MemoryPath(type(Path())):  # type: ignore[misc]
    """The path of an encrypted artifact; engines that find `contents`, what each of its files holds, open no file."""

    contents: tuple[bytes, ...]

    def open(self, *_: Any, **__: Any) -> io.BytesIO:
        """Return a reader of the first of them."""
        return io.BytesIO(self.contents[0])


def decrypt_variant(bundle: Bundle, variant: Variant, record: Encryption) -> Path:
    """Return the path of an encrypted variant with its contents.

    Raises:
        UsageError: there is no key, it cannot be read, or it is another one.
        IntegrityError: a file is not the one that was encrypted.
        MissingEngineError: `cryptography` is not installed.
    """
    key, name = read_key(bundle.key, record.key_id), bundle.manifest.name
    if key_id(key) != record.key_id:
        raise UsageError(f"{variant.id} was encrypted with the key {record.key_id[:16]}…, not {key_id(key)[:16]}…")
    found = MemoryPath(bundle.file(variant.files[0]))
    found.contents = tuple(
        [decrypt_file(bundle.file(one), key, record.salt, header(name, variant.id, one.path)) for one in variant.files]
    )
    return found


def decrypt_file(path: Path, key: bytes, salt: str, header: bytes) -> bytes:
    """Return the plaintext of one file.

    Raises:
        IntegrityError: it is not, chunk by chunk, what was encrypted with this key, salt and header.
        MissingEngineError: `cryptography` is not installed.
    """
    cipher, nonce = file_cipher(key, salt, header)
    from cryptography.exceptions import InvalidTag

    size = CHUNK_BYTES + _TAG_BYTES
    last = max(path.stat().st_size - 1, 0) // size
    try:
        with path.open("rb") as file:
            return b"".join(
                [cipher.decrypt(nonce(index, index == last), file.read(size), header) for index in range(last + 1)]
            )
    except (InvalidTag, ValueError):
        raise IntegrityError(
            f"{path} cannot be decrypted: a chunk was changed, moved or cut off, or it is another file than "
            f"{header.decode()}"
        ) from None


def file_cipher(key: bytes, salt: str, header: bytes) -> tuple[Any, Callable[[int, bool], bytes]]:
    """Return the cipher of one file, and what gives the nonce of a chunk: its number, and whether it is the last."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError as error:
        raise MissingEngineError(
            "encrypted variants need the package cryptography", hint='pip install "edgeai-runtime[sign]"'
        ) from error
    made = HKDF(SHA256(), 39, salt.encode(), header).derive(key)
    return AESGCM(made[:32]), lambda index, last: made[32:] + index.to_bytes(4, "big") + bytes([last])


def header(bundle: str, variant: str, path: str) -> bytes:
    """Return what every chunk of a file is bound to: the names of its bundle and variant, and its path in it."""
    return json.dumps(["edgeai.encryption/1", bundle, variant, path]).encode()


def key_id(key: bytes) -> str:
    """Return what tells keys apart and tells nothing of them (64 hexadecimal digits)."""
    return hashlib.sha256(b"edgeai.encryption/1 key" + key).hexdigest()


def read_key(given: Key | None, wanted: str = "") -> bytes:
    """Return the 32 bytes of a key; without one, that of `$EDGEAI_DECRYPTION_KEY`. No error shows any of it.

    Raises:
        UsageError: there is none, or what is given is no key.
    """
    given = given or os.environ.get(KEY_VARIABLE, b"")
    if callable(given):
        given = given(wanted)
    try:
        if not isinstance(given, bytes):
            text = str(given)
            given = text.encode() if re.fullmatch("[0-9a-fA-F]{64}", text) else Path(text).read_bytes()
        key = given if len(given) == 32 else bytes.fromhex(given.decode())
        if len(key) != 32:
            raise ValueError
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", "") or "32 bytes, 64 hexadecimal digits, or a file that holds either"
        raise UsageError(f"the key {wanted[:16]} is needed: {why}", hint=f"Give key=, or set {KEY_VARIABLE}.") from None
    return key


def child_environment(bundle: Bundle | None) -> dict[str, str]:
    """Return the variable that a child process needs to open what is encrypted, where the key is not in it already."""
    for variant in bundle.manifest.variants if bundle is not None and bundle.key is not None else ():
        if bundle is not None and variant.encryption is not None:
            return {KEY_VARIABLE: read_key(bundle.key, variant.encryption.key_id).hex()}
    return {}


def refuse_files(words: Iterable[str]) -> None:
    """Refuse options that let an engine write what it makes of an encrypted variant, and what needs its file.

    Raises:
        UsageError: names them.
    """
    found = [word for word in words if _WRITES_FILES.search(word)]
    if found:
        raise UsageError(f"an encrypted variant is never a file, as {', '.join(found)} would have it")

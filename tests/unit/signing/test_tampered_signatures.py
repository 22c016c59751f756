"""What was changed after it was signed, or says what does not fit, is refused with its reason."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeai.signing import KeyPair, generate_keys
from edgeai_runtime.bundle import open_bundle
from edgeai_runtime.errors import (
    IntegrityError,
    SignatureError,
)
from edgeai_runtime.trust import Trust
from tests.unit.signing.conftest import MODEL

pytest.importorskip("cryptography")


def edit(folder: Path, change: Callable[[Any], object]) -> None:
    """Change the document of a folder's signature."""
    file = folder / "signature.json"
    document = json.loads(file.read_bytes())
    change(document)
    file.write_text(json.dumps(document))


def edit_payload(folder: Path, keys: KeyPair, change: Callable[[Any], object]) -> None:
    """Change the statement and sign it anew: what a mistaken signer would do."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from edgeai_runtime.signature import signed_bytes

    private: Any = load_pem_private_key(keys.private.read_bytes(), None)

    def both(document: Any) -> None:
        envelope = document["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        change(statement)
        payload = json.dumps(statement).encode()
        envelope["payload"] = base64.b64encode(payload).decode()
        envelope["signatures"][0]["sig"] = base64.b64encode(private.sign(signed_bytes(payload))).decode()

    edit(folder, both)


def test_a_statement_that_lists_a_member_twice_is_refused(folder: Path, keys: KeyPair) -> None:
    import hashlib

    def double(statement: Any) -> None:
        resources = statement["predicate"]["resources"]
        resources.append(resources[0])
        whole = hashlib.sha256(b"".join(bytes.fromhex(one["digest"]) for one in resources)).hexdigest()
        statement["subject"][0]["digest"]["sha256"] = whole

    edit_payload(folder, keys, double)
    with pytest.raises(SignatureError, match="not consistent"):
        open_bundle(folder, trust=Trust(keys=keys.public))


def test_a_signature_larger_than_any_is_not_read(folder: Path, trust: Trust) -> None:
    with (folder / "signature.json").open("r+b") as file:
        file.truncate(17 * 2**20)
    with pytest.raises(SignatureError, match="larger than any signature"):
        open_bundle(folder, trust=trust)


def test_a_signature_that_names_a_trusted_key_and_is_not_its_own_is_false(tmp_path: Path, folder: Path) -> None:
    other = generate_keys(tmp_path / "other.key")
    edit(folder, lambda document: document["verificationMaterial"]["publicKey"].update(hint=other.key_id))
    with pytest.raises(SignatureError, match="signature is false"):
        open_bundle(folder, trust=Trust(keys=other.public))


def test_without_a_hint_every_trusted_key_is_tried(tmp_path: Path, folder: Path, keys: KeyPair) -> None:
    other = generate_keys(tmp_path / "other.key", algorithm="ecdsa-p256")
    edit(folder, lambda document: document["verificationMaterial"]["publicKey"].clear())
    assert open_bundle(folder, trust=Trust(keys=[other.public, keys.public])).signed_by == keys.key_id
    with pytest.raises(SignatureError, match="signature is false"):
        open_bundle(folder, trust=Trust(keys=other.public))


def test_a_changed_member_is_refused(folder: Path, trust: Trust) -> None:
    (folder / MODEL).write_bytes(b"no_real model")
    with pytest.raises(IntegrityError, match="sha256 differs"):
        open_bundle(folder, trust=trust)


def test_a_manifest_that_lists_another_member_is_refused_before_it_is_parsed(folder: Path, trust: Trust) -> None:
    (folder / "manifest.json").write_bytes(b"{ this would not be parsed")
    with pytest.raises(IntegrityError, match=r"manifest\.json was changed after it was signed"):
        open_bundle(folder, trust=trust)


def test_an_added_and_a_removed_member_are_named(folder: Path, trust: Trust) -> None:
    (folder / "extra.bin").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"were added after it was signed: 'extra\.bin'"):
        open_bundle(folder, trust=trust)
    (folder / "extra.bin").unlink()
    (folder / MODEL).unlink()
    with pytest.raises(IntegrityError, match=r"were removed after it was signed: 'variants/a/model\.tflite'"):
        open_bundle(folder, trust=trust)


def test_a_signature_whose_digest_of_a_member_is_not_the_manifests_is_refused(folder: Path, keys: KeyPair) -> None:
    import hashlib

    def lie(statement: Any) -> None:
        resources = statement["predicate"]["resources"]
        resources[1]["digest"] = "00" * 32
        whole = hashlib.sha256(b"".join(bytes.fromhex(one["digest"]) for one in resources)).hexdigest()
        statement["subject"][0]["digest"]["sha256"] = whole

    edit_payload(folder, keys, lie)
    with pytest.raises(IntegrityError, match="is not the member that was signed"):
        open_bundle(folder, trust=Trust(keys=keys.public))


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("predicateType",), "https://example.org/other", "it says something else"),
        (("predicate", "serialization", "method"), "shards", "not the sha256 of whole files"),
        (("predicate", "resources", 0, "algorithm"), "blake3", "not the sha256 of whole files"),
        (("predicate", "resources", 0, "digest"), "00" * 32, "not consistent"),
        (("predicate", "resources", 0, "name"), MODEL, "not consistent"),
        (("predicate", "resources"), [], "not the sha256 of whole files"),
        (("subject",), [], "not enough values"),
        (("predicate",), 5, "not a signature of a bundle"),
    ],
)
def test_a_statement_that_does_not_fit_is_refused(
    folder: Path, keys: KeyPair, place: tuple[Any, ...], value: Any, words: str
) -> None:
    def change(statement: Any) -> None:
        for key in place[:-1]:
            statement = statement[key]
        statement[place[-1]] = value

    edit_payload(folder, keys, change)
    with pytest.raises(SignatureError, match=words):
        open_bundle(folder, trust=Trust(keys=keys.public))


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("mediaType",), "text/plain", "media type 'text/plain'"),
        (("dsseEnvelope", "payloadType"), "text/plain", "payload type 'text/plain'"),
        (("dsseEnvelope", "signatures"), [], "not enough values"),
        (("dsseEnvelope", "signatures", 0, "sig"), "AAAA", "signature is false"),
        (("dsseEnvelope", "signatures", 0, "sig"), "!", "not a signature of a bundle"),
        (("dsseEnvelope", "payload"), 7, "not a signature of a bundle"),
        (("verificationMaterial",), {"certificate": {}}, "certificate or an identity"),
        (("verificationMaterial", "publicKey"), [], "not a signature of a bundle"),
        (("verificationMaterial", "publicKey", "hint"), {"a": 1}, "not a signature of a bundle"),
    ],
)
def test_an_envelope_that_does_not_fit_is_refused(
    folder: Path, trust: Trust, place: tuple[Any, ...], value: Any, words: str
) -> None:
    def change(document: Any) -> None:
        for key in place[:-1]:
            document = document[key]
        document[place[-1]] = value

    edit(folder, change)
    with pytest.raises(SignatureError, match=words):
        open_bundle(folder, trust=trust)


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_truncated_signature_is_refused(folder: Path, trust: Trust, part: float) -> None:
    content = (folder / "signature.json").read_bytes()
    (folder / "signature.json").write_bytes(content[: int(part * len(content))])
    with pytest.raises(SignatureError, match="not a signature of a bundle"):
        open_bundle(folder, trust=trust)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe", b"null", b"NaN", b'{"mediaType": []}'])
def test_a_signature_that_is_no_document_is_refused(folder: Path, trust: Trust, content: bytes) -> None:
    (folder / "signature.json").write_bytes(content)
    with pytest.raises(SignatureError, match="not a signature of a bundle"):
        open_bundle(folder, trust=trust)

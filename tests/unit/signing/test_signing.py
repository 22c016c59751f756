"""Keys, signatures and policies: what is signed is accepted, whatever else is refused with its reason."""

from __future__ import annotations

import base64
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeai.signing import ALGORITHMS, KeyPair, generate_keys, make_signature, sign_bundle
from edgeai_runtime.bundle import file_entry, open_bundle, verify_bundle, write_bundle
from edgeai_runtime.bundle_files import open_container
from edgeai_runtime.errors import (
    BundleError,
    IntegrityError,
    MissingEngineError,
    OutputError,
    SignatureError,
    UsageError,
)
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Manifest, TensorSpec, Variant
from edgeai_runtime.signature import check_signature, read_keys
from edgeai_runtime.trust import KEYS_VARIABLE, Trust, trust_here

pytest.importorskip("cryptography")

REFERENCE = Path(__file__).parent / "reference"
MODEL = "variants/a/model.tflite"
REFERENCE_FILES = {"manifest.json": b'{"some": "manifest"}\n', MODEL: b"some model", "variants/a.txt": b""}


def write(path: Path, *, version: str = "1.2", as_folder: bool = False) -> Path:
    """Write a small unsigned bundle that no engine can run."""
    content = b"no real model"
    spec = (TensorSpec(name="x", shape=(1, 2), dtype="float32"),)
    entry = file_entry(MODEL, content)
    variant = Variant(
        id="a", format="tflite", precision="float32", delegates=(), files=(entry,), inputs=spec, outputs=spec
    )
    manifest = Manifest(name="pets", version=version, inputs=spec, outputs=spec, variants=(variant,))
    write_bundle(path, manifest, {MODEL: content}, as_folder=as_folder)
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return generate_keys(tmp_path_factory.mktemp("keys") / "a.key")


@pytest.fixture(scope="module")
def trust(keys: KeyPair) -> Trust:
    return Trust(keys=keys.public)


@pytest.fixture
def folder(tmp_path: Path, keys: KeyPair) -> Path:
    """A signed bundle as a folder."""
    path = write(tmp_path / "signed", as_folder=True)
    sign_bundle(path, key=keys.private)
    return path


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


@pytest.mark.parametrize("as_folder", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_signed_is_accepted_with_the_public_key(tmp_path: Path, algorithm: Any, as_folder: bool) -> None:
    pair = generate_keys(tmp_path / "k.key", algorithm=algorithm)
    path = write(tmp_path / "b.edge", as_folder=as_folder)
    assert sign_bundle(path, key=pair.private).key_id == pair.key_id
    demanded = Trust(keys=pair.public.read_bytes(), name="pets", minimum_version="1.2.0")
    assert open_bundle(path, cache=tmp_path / "cache", trust=demanded).signed_by == pair.key_id
    checks = verify_bundle(path, trust=demanded)
    assert [check.name for check in checks[:4]] == ["container", "signature", "manifest", "policy"]
    assert all(check.ok for check in checks)


@pytest.mark.parametrize("curve", ["p256", "p384"])
def test_what_the_reference_package_signed_is_accepted(tmp_path: Path, curve: str) -> None:
    for name, content in (*REFERENCE_FILES.items(), ("signature.json", (REFERENCE / f"{curve}.json").read_bytes())):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with open_container(tmp_path) as container:
        given = Trust(keys=REFERENCE / f"{curve}.pub")
        signature = check_signature(container, REFERENCE_FILES["manifest.json"], given)
        assert signature is not None
        assert set(signature.members) == set(REFERENCE_FILES)
        other = Trust(keys=REFERENCE / f"{'p384' if curve == 'p256' else 'p256'}.pub")
        with pytest.raises(SignatureError, match="unknown key"):
            check_signature(container, REFERENCE_FILES["manifest.json"], other)


def test_signing_changes_no_other_byte(tmp_path: Path, keys: KeyPair) -> None:
    path = write(tmp_path / "b.edge")
    before = path.read_bytes()
    sign_bundle(path, key=keys.private, output=tmp_path / "signed.edge")
    assert path.read_bytes() == before
    sign_bundle(path, key=keys.private)
    assert path.read_bytes() == (tmp_path / "signed.edge").read_bytes()
    central = before.index(b"PK\x01\x02")  # where the list of members begins
    assert path.read_bytes()[:central] == before[:central]


def test_the_same_bundle_and_key_give_the_same_signature(tmp_path: Path) -> None:
    pair = generate_keys(tmp_path / "k.key", algorithm="ecdsa-p256")
    path = write(tmp_path / "b.edge")
    for name in ("one.edge", "two.edge"):
        sign_bundle(path, key=pair.private, output=tmp_path / name)
    assert (tmp_path / "one.edge").read_bytes() == (tmp_path / "two.edge").read_bytes()


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


def test_an_unsigned_bundle_is_refused_unless_that_is_allowed(tmp_path: Path, keys: KeyPair, trust: Trust) -> None:
    path = write(tmp_path / "b.edge")
    with pytest.raises(SignatureError, match="is not signed"):
        open_bundle(path, trust=trust)
    allowed = Trust(keys=keys.public, require_signature=False)
    assert open_bundle(path, cache=tmp_path, trust=allowed).signed_by == ""
    assert [check.ok for check in verify_bundle(path, trust=trust)] == [True, False]


def test_a_key_that_is_not_trusted_is_named(tmp_path: Path, folder: Path, keys: KeyPair) -> None:
    other = generate_keys(tmp_path / "other.key")
    with pytest.raises(SignatureError, match=rf"unknown key, '{keys.key_id[:16]}'(.|\n)*Trusted: {other.key_id[:16]}"):
        open_bundle(folder, trust=Trust(keys=other.public))
    assert open_bundle(folder, trust=Trust(keys=[other.public, keys.public])).signed_by == keys.key_id


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


def test_a_signature_that_nobody_asked_about_is_not_looked_at(folder: Path) -> None:
    (folder / "signature.json").write_bytes(b"rubbish")
    assert open_bundle(folder).signed_by == ""


@pytest.mark.parametrize(
    ("version", "least", "ok"),
    [
        ("1.2", "1.2", True),
        ("1.2.0", "1.2", True),
        ("1.10", "1.9", True),
        ("2", "1.9.9", True),
        ("1.2", "1.2.1", False),
        ("1.9", "1.10", False),
        ("latest", "1", False),
    ],
)
def test_an_older_version_than_the_minimum_is_refused(tmp_path: Path, version: str, least: str, ok: bool) -> None:
    path = write(tmp_path / "b", version=version, as_folder=True)
    demanded = Trust(minimum_version=least)
    if ok:
        assert open_bundle(path, trust=demanded).manifest.version == version
        return
    with pytest.raises(SignatureError, match=f"has version '{version}'; at least {least} is wanted"):
        open_bundle(path, trust=demanded)


def test_another_bundle_signed_with_the_same_key_is_refused_by_its_name(folder: Path, keys: KeyPair) -> None:
    with pytest.raises(SignatureError, match="is the bundle 'pets', and 'cars' is wanted"):
        open_bundle(folder, trust=Trust(keys=keys.public, name="cars"))


def test_a_policy_that_can_not_hold_is_a_wrong_usage() -> None:
    with pytest.raises(UsageError, match="no key is given"):
        Trust(require_signature=True)
    with pytest.raises(UsageError, match=r"numbers with dots. Received: 'v2'"):
        Trust(minimum_version="v2")


def test_what_is_no_public_key_is_a_wrong_usage(tmp_path: Path, keys: KeyPair) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    public = rsa.generate_private_key(65537, 2048).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for content, words in (
        (keys.private.read_bytes(), "is private"),
        (b"hello", "is not PEM"),
        (pem, "neither Ed25519 nor ECDSA"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "can not be read"),
    ):
        with pytest.raises(UsageError, match=words):
            read_keys([content])
    with pytest.raises(UsageError, match="can not be read"):
        read_keys([tmp_path / "missing.pub"])


def test_a_file_may_hold_several_keys(tmp_path: Path, folder: Path, keys: KeyPair) -> None:
    other = generate_keys(tmp_path / "other.key")
    both = tmp_path / "fleet.pem"
    both.write_bytes(other.public.read_bytes() + b"a comment\n" + keys.public.read_bytes())
    assert open_bundle(folder, trust=Trust(keys=both)).signed_by == keys.key_id


def test_load_takes_the_keys_of_the_environment(tmp_path: Path, keys: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, os.pathsep.join([str(keys.public), ""]))
    assert trust_here() == Trust(keys=[str(keys.public)])
    with pytest.raises(SignatureError, match="is not signed"):
        load(write(tmp_path / "b.edge"))
    (tmp_path / "a.tflite").write_bytes(b"x")
    with pytest.raises(SignatureError, match="is a bare artifact"):
        load(tmp_path / "a.tflite")


def test_a_bundle_that_changed_since_it_was_checked_is_not_opened(folder: Path) -> None:
    digest = open_bundle(folder).digest
    assert open_bundle(folder, digest=digest).digest == digest
    with pytest.raises(IntegrityError, match="changed after it was checked"):
        open_bundle(folder, digest="0" * 64)


def test_a_missing_cryptography_is_told_with_the_pip_line(
    folder: Path, keys: KeyPair, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingEngineError, match=r'pip install "edgeai-runtime\[sign\]"'):
        open_bundle(folder, trust=trust)
    with pytest.raises(MissingEngineError, match=r'pip install "edgeai\[sign\]"'):
        sign_bundle(folder, key=keys.private, force=True)
    assert open_bundle(folder).signed_by == ""


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_private_key_is_readable_by_its_owner_alone(keys: KeyPair) -> None:
    assert stat.S_IMODE(keys.private.stat().st_mode) == 0o600


def test_keys_are_not_overwritten(tmp_path: Path) -> None:
    pair = generate_keys(tmp_path / "k.key")
    before = pair.private.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        generate_keys(tmp_path / "k.key")
    pair.private.unlink()
    with pytest.raises(OutputError, match=r"k\.pub exists already"):
        generate_keys(tmp_path / "k.key")
    assert generate_keys(tmp_path / "k.key", force=True).private.read_bytes() != before
    with pytest.raises(UsageError, match="would be the public key"):
        generate_keys(tmp_path / "k.pub", force=True)


def test_an_encrypted_key_wants_its_password(tmp_path: Path) -> None:
    pair = generate_keys(tmp_path / "k.key", password="swordfish")
    path = write(tmp_path / "b.edge")
    with pytest.raises(UsageError, match="there is no password"):
        sign_bundle(path, key=pair.private)
    with pytest.raises(UsageError, match="the password is wrong"):
        sign_bundle(path, key=pair.private, password="herring")
    assert sign_bundle(path, key=pair.private, password="swordfish").key_id == pair.key_id


def test_a_signature_is_replaced_only_by_force(tmp_path: Path, folder: Path, keys: KeyPair) -> None:
    other = generate_keys(tmp_path / "other.key")
    with pytest.raises(OutputError, match="is signed already"):
        sign_bundle(folder, key=other.private)
    sign_bundle(folder, key=other.private, force=True)
    assert open_bundle(folder, trust=Trust(keys=other.public)).signed_by == other.key_id
    existing = write(tmp_path / "there.edge")
    with pytest.raises(OutputError, match="exists already"):
        sign_bundle(folder, key=keys.private, output=existing)


def test_a_folder_is_packed_when_it_is_signed_to_a_file(tmp_path: Path, keys: KeyPair, trust: Trust) -> None:
    as_folder = write(tmp_path / "folder", as_folder=True)
    sign_bundle(as_folder, key=keys.private, output=tmp_path / "packed.edge")
    sign_bundle(write(tmp_path / "b.edge"), key=keys.private)
    assert (tmp_path / "packed.edge").read_bytes() == (tmp_path / "b.edge").read_bytes()


@pytest.mark.parametrize("as_folder", [False, True])
def test_the_version_is_written_before_it_is_signed(tmp_path: Path, keys: KeyPair, as_folder: bool) -> None:
    path = write(tmp_path / "b.edge", version="1", as_folder=as_folder)
    sign_bundle(path, key=keys.private, version="2.1")
    demanded = Trust(keys=keys.public, minimum_version="2.1")
    assert open_bundle(path, cache=tmp_path / "cache", trust=demanded).manifest.version == "2.1"
    with pytest.raises(UsageError, match="numbers with dots"):
        sign_bundle(path, key=keys.private, version="v3", force=True)


def test_a_damaged_bundle_is_not_signed(tmp_path: Path, keys: KeyPair) -> None:
    path = write(tmp_path / "b", as_folder=True)
    (path / MODEL).write_bytes(b"no_real model")
    with pytest.raises(BundleError, match="sha256 differs"):
        sign_bundle(path, key=keys.private)
    assert not (path / "signature.json").exists()


def test_members_are_listed_in_the_order_of_the_reference(keys: KeyPair) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private = load_pem_private_key(keys.private.read_bytes(), None)
    names = ["variants/a.txt", "variants/a/z", "manifest.json"]
    document = json.loads(make_signature(dict.fromkeys(names, "00" * 32), private, name="n"))
    statement = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    ordered = [one["name"] for one in statement["predicate"]["resources"]]
    assert ordered == ["manifest.json", "variants/a/z", "variants/a.txt"]

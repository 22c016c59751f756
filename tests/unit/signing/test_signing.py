"""Signing and policies: what is signed is accepted, what a policy forbids is refused with its reason."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeai.signing import ALGORITHMS, KeyPair, generate_keys, make_signature, sign_bundle
from edgeai_runtime.bundle import open_bundle, verify_bundle
from edgeai_runtime.bundle_files import open_container
from edgeai_runtime.errors import (
    BundleError,
    IntegrityError,
    MissingEngineError,
    OutputError,
    SignatureError,
    UsageError,
)
from edgeai_runtime.signature import check_signature
from edgeai_runtime.trust import Trust
from tests.unit.signing.conftest import MODEL, write

pytest.importorskip("cryptography")

REFERENCE = Path(__file__).parent / "reference"
REFERENCE_FILES = {"manifest.json": b'{"some": "manifest"}\n', MODEL: b"some model", "variants/a.txt": b""}


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

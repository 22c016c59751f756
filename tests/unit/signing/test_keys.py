"""Keys: how they are made and kept, and what is taken for one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edgeai.signing import KeyPair, generate_keys, sign_bundle
from edgeai_runtime.bundle import open_bundle
from edgeai_runtime.errors import (
    OutputError,
    SignatureError,
    UsageError,
)
from edgeai_runtime.loading import load
from edgeai_runtime.signature import read_keys
from edgeai_runtime.trust import KEYS_VARIABLE, Trust, trust_here
from tests.unit.signing.conftest import write

pytest.importorskip("cryptography")


def test_what_is_no_public_key_is_a_wrong_usage(tmp_path: Path, keys: KeyPair) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    public = rsa.generate_private_key(65537, 2048).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for content, words in (
        (keys.private.read_bytes(), "is private"),
        (b"hello", "is not PEM"),
        (pem, "neither Ed25519 nor ECDSA"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "cannot be read"),
    ):
        with pytest.raises(UsageError, match=words):
            read_keys([content])
    with pytest.raises(UsageError, match="cannot be read"):
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

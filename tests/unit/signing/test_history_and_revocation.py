"""No way back to an older version that was opened before, and no use of keys or bundles that are revoked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeai.signing import KeyPair, generate_keys, sign_bundle
from edgeai_runtime.__main__ import main
from edgeai_runtime.bundle import file_entry, open_bundle, verify_bundle, write_bundle
from edgeai_runtime.errors import OutputError, SignatureError, UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Manifest, TensorSpec, Variant
from edgeai_runtime.trust import HISTORY_VARIABLE, KEYS_VARIABLE, REVOKED_VARIABLE, Trust, trust_here

pytest.importorskip("cryptography")

MODEL = "variants/a/model.tflite"
VERSIONS = ("1.9", "1.10", "2", "1")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return generate_keys(tmp_path_factory.mktemp("keys") / "a.key")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return generate_keys(tmp_path_factory.mktemp("keys") / "b.key")


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "lasts"


def signed(path: Path, keys: KeyPair, version: str = "1.2", *, name: str = "pets") -> Path:
    """Write a small signed bundle that no engine can run, as a folder."""
    content = b"no real model"
    spec = (TensorSpec(name="x", shape=(1, 2), dtype="float32"),)
    entry = file_entry(MODEL, content)
    variant = Variant(
        id="a", format="tflite", precision="float32", delegates=(), files=(entry,), inputs=spec, outputs=spec
    )
    manifest = Manifest(name=name, version=version, inputs=spec, outputs=spec, variants=(variant,))
    write_bundle(path, manifest, {MODEL: content}, as_folder=True)
    sign_bundle(path, key=keys.private)
    return path


def test_an_older_version_than_one_that_was_opened_is_refused(tmp_path: Path, keys: KeyPair, history: Path) -> None:
    bundles = {version: signed(tmp_path / version, keys, version) for version in VERSIONS}
    trust = Trust(keys=keys.public, history=history)
    for version in ("1", "1.9", "1.10", "1.10"):
        assert open_bundle(bundles[version], trust=trust).manifest.version == version
    with pytest.raises(SignatureError, match=r"has version '1\.9'; at least 1\.10 was opened here before"):
        open_bundle(bundles["1.9"], trust=trust)
    assert open_bundle(bundles["1.9"], trust=Trust(keys=keys.public)).manifest.version == "1.9"
    assert [file.name for file in history.rglob("*") if file.is_file()] == ["1.10"]


def test_a_history_is_of_one_name_and_one_key(tmp_path: Path, keys: KeyPair, other: KeyPair, history: Path) -> None:
    trust = Trust(keys=[keys.public, other.public], history=history)
    open_bundle(signed(tmp_path / "new", keys, "3"), trust=trust)
    open_bundle(signed(tmp_path / "cars", keys, "1", name="cars"), trust=trust)
    open_bundle(signed(tmp_path / "other", other, "2"), trust=trust)
    with pytest.raises(SignatureError, match="at least 3 was opened"):
        open_bundle(signed(tmp_path / "old", keys, "2"), trust=trust)


def test_processes_that_open_several_versions_at_once_never_lower_the_newest(
    tmp_path: Path, keys: KeyPair, history: Path
) -> None:
    script = "import sys; from edgeai_runtime.bundle import open_bundle; from edgeai_runtime.trust import Trust;"
    script += "open_bundle(sys.argv[1], trust=Trust(keys=sys.argv[2], history=sys.argv[3]))"
    bundles = [signed(tmp_path / version, keys, version) for version in VERSIONS]
    words = (sys.executable, "-c", script)
    work = [subprocess.Popen([*words, path, keys.public, history], stderr=subprocess.DEVNULL) for path in bundles]
    for process in work:
        process.wait()
    trust = Trust(keys=keys.public, history=history)
    with pytest.raises(SignatureError, match="at least 2 was opened"):
        open_bundle(bundles[1], trust=trust)


def test_what_did_not_open_is_not_in_the_history(tmp_path: Path, keys: KeyPair, history: Path) -> None:
    trust = Trust(keys=keys.public, history=history)
    damaged = signed(tmp_path / "damaged", keys, "9")
    (damaged / MODEL).write_bytes(b"no_real model")
    with pytest.raises(Exception, match="sha256 differs"):
        open_bundle(damaged, trust=trust)
    assert not history.exists()


def test_to_verify_an_update_is_not_to_have_used_it(
    tmp_path: Path, keys: KeyPair, history: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, str(keys.public))
    monkeypatch.setenv(HISTORY_VARIABLE, str(history))
    new, old = signed(tmp_path / "new", keys, "2"), signed(tmp_path / "old", keys, "1")
    main(["verify", str(new)])
    assert not history.exists()
    open_bundle(new, trust=trust_here())
    capsys.readouterr()
    assert main(["verify", str(old), "--no-run", "--json"]) == 1
    failed = [check for check in json.loads(capsys.readouterr().out)["checks"] if not check["ok"]]
    assert [check["name"] for check in failed] == ["policy"]
    assert "at least 2 was opened here before" in failed[0]["detail"]


def test_a_version_without_numbers_has_no_place_in_a_history(tmp_path: Path, keys: KeyPair, history: Path) -> None:
    with pytest.raises(SignatureError, match="'latest'; at least 0 is wanted, with numbers"):
        open_bundle(signed(tmp_path / "b", keys, "latest"), trust=Trust(keys=keys.public, history=history))


def test_a_history_that_can_not_be_read_or_written_opens_nothing(tmp_path: Path, keys: KeyPair, history: Path) -> None:
    trust = Trust(keys=keys.public, history=history)
    path = signed(tmp_path / "b", keys)
    history.write_bytes(b"a file in the way")
    with pytest.raises((SignatureError, OutputError)):
        open_bundle(path, trust=trust)


def test_a_history_wants_signatures() -> None:
    with pytest.raises(UsageError, match="signed bundles alone"):
        Trust(history="there")


@pytest.mark.parametrize("form", ["id", "file of ids", "public key"])
def test_a_revoked_key_signs_nothing(tmp_path: Path, keys: KeyPair, other: KeyPair, form: str) -> None:
    listed = tmp_path / "revoked.txt"
    listed.write_text(f"# stolen in May\n\n{keys.key_id}  # the old laptop\n")
    revoked = {"id": keys.key_id, "file of ids": listed, "public key": keys.public.read_bytes()}[form]
    trust = Trust(keys=[keys.public, other.public], revoked=revoked)
    path = signed(tmp_path / "b", keys)
    with pytest.raises(SignatureError, match=f"signed with a revoked key, '{keys.key_id[:16]}'"):
        open_bundle(path, trust=trust)
    assert [check.ok for check in verify_bundle(path, trust=trust)] == [True, False]
    assert open_bundle(signed(tmp_path / "c", other), trust=trust).signed_by == other.key_id


def test_a_revoked_key_is_not_tried_where_the_signature_does_not_name_its_own(tmp_path: Path, keys: KeyPair) -> None:
    path = signed(tmp_path / "b", keys)
    document = json.loads((path / "signature.json").read_bytes())
    document["verificationMaterial"]["publicKey"].clear()
    (path / "signature.json").write_text(json.dumps(document))
    assert open_bundle(path, trust=Trust(keys=keys.public)).signed_by == keys.key_id
    with pytest.raises(SignatureError, match="signature is false"):
        open_bundle(path, trust=Trust(keys=keys.public, revoked=keys.key_id))


def test_a_revoked_bundle_is_refused_whoever_signed_it(tmp_path: Path, keys: KeyPair) -> None:
    path = signed(tmp_path / "b", keys)
    digest = open_bundle(path).digest
    for trust in (Trust(keys=keys.public, revoked=digest), Trust(revoked=[digest])):
        with pytest.raises(SignatureError, match="was revoked"):
            open_bundle(path, trust=trust)


@pytest.mark.parametrize("content", [b"what is this", b"-----BEGIN PUBLIC KEY-----\nAAAA", b"\xff", b"ab" * 31])
def test_a_list_of_revocations_that_is_not_understood_opens_nothing(
    tmp_path: Path, keys: KeyPair, content: bytes
) -> None:
    path = signed(tmp_path / "b", keys)
    with pytest.raises(UsageError, match="revocations given as bytes"):
        open_bundle(path, trust=Trust(keys=keys.public, revoked=content))
    with pytest.raises(UsageError, match=r"missing\.txt cannot be read"):
        open_bundle(path, trust=Trust(keys=keys.public, revoked=tmp_path / "missing.txt"))


def test_load_takes_revocations_and_history_of_the_environment(
    tmp_path: Path, keys: KeyPair, history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trust_here() == Trust()
    monkeypatch.setenv(HISTORY_VARIABLE, str(history))
    assert trust_here() == Trust()
    monkeypatch.setenv(KEYS_VARIABLE, str(keys.public))
    listed = tmp_path / "revoked.txt"
    listed.write_text(keys.key_id)
    monkeypatch.setenv(REVOKED_VARIABLE, os.pathsep.join([str(listed), ""]))
    assert trust_here() == Trust(keys=[str(keys.public)], history=str(history), revoked=[str(listed)])
    with pytest.raises(SignatureError, match="revoked key"):
        load(signed(tmp_path / "b", keys))

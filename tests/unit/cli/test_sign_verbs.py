"""`keygen`, `sign` and `verify --key`, from one to the next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeai.cli import main
from edgeai_runtime.__main__ import main as device_main
from edgeai_runtime.bundle import file_entry, write_bundle
from edgeai_runtime.manifest import Manifest, TensorSpec, Variant

pytest.importorskip("cryptography")


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGEAI_KEY_PASSWORD", raising=False)
    spec = (TensorSpec(name="x", shape=(1, 2), dtype="float32"),)
    entry = file_entry("variants/a/model.tflite", b"model")
    variant = Variant(
        id="a", format="tflite", precision="float32", delegates=(), files=(entry,), inputs=spec, outputs=spec
    )
    manifest = Manifest(name="pets", version="2", inputs=spec, outputs=spec, variants=(variant,))
    write_bundle(tmp_path / "a.edge", manifest, {entry.path: b"model"})
    return Path("a.edge")


def test_keygen_sign_and_verify_work_on_each_other(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", "-o", "release.key", "--algorithm", "ecdsa-p256", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert {"algorithm": "ecdsa-p256", "encrypted": False, "public": "release.pub"}.items() <= made.items()
    assert main(["sign", "a.edge", "--key", "release.key", "--json"]) == 0
    signed = json.loads(capsys.readouterr().out)
    assert signed == {
        "bundle": "a.edge",
        "key_id": made["key_id"],
        "members": ["manifest.json", "variants/a/model.tflite"],
    }
    assert main(["verify", "a.edge", "--no-run", "--key", "release.pub", "--minimum-version", "2", "--json"]) == 0
    assert {"name": "signature", "ok": True, "detail": f"by the trusted key {made['key_id']}"} in json.loads(
        capsys.readouterr().out
    )["checks"]
    assert device_main(["verify", "a.edge", "--no-run", "--key", "release.pub"]) == 0


def test_another_key_and_an_older_version_fail(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one.key", "two.key"):
        assert main(["keygen", "-o", name]) == 0
    assert main(["sign", "a.edge", "--key", "one.key", "-o", "b.edge"]) == 0
    for words in (["--key", "two.pub"], ["--key", "one.pub", "--minimum-version", "2.1"]):
        assert main(["verify", "b.edge", "--no-run", *words]) == 1
        assert "NOT to be trusted" in capsys.readouterr().out
        assert device_main(["verify", "b.edge", "--no-run", *words]) == 1
    assert main(["verify", "a.edge", "--no-run", "--key", "one.pub"]) == 1
    assert "is not signed" in capsys.readouterr().out


def test_the_password_comes_from_the_environment(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEAI_KEY_PASSWORD", "swordfish")
    assert main(["keygen"]) == 0
    assert "edgeai.key: the private key, encrypted" in capsys.readouterr().out
    assert b"ENCRYPTED" in Path("edgeai.key").read_bytes()
    assert main(["sign", "a.edge", "--key", "edgeai.key"]) == 0
    monkeypatch.setenv("EDGEAI_KEY_PASSWORD", "herring")
    assert main(["sign", "a.edge", "--key", "edgeai.key", "--force"]) == 2
    assert "the password is wrong" in capsys.readouterr().err


def test_nothing_is_overwritten_without_force(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen"]) == 0
    assert main(["keygen"]) == 1
    assert main(["sign", "a.edge", "--key", "edgeai.key"]) == 0
    assert main(["sign", "a.edge", "--key", "edgeai.key"]) == 1
    assert "signed already" in capsys.readouterr().err
    assert main(["sign", "a.edge", "--key", "edgeai.key", "-o", "edgeai.pub"]) == 1

"""Encrypted bundles where they are made, loaded, checked and signed, on the fake engine."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai.cli import main
from edgeai.encrypting import encrypt_bundle
from edgeai.signing import generate_keys, sign_bundle
from edgeai_converters.pipeline_writer import write_pipeline
from edgeai_runtime.__main__ import main as device_main
from edgeai_runtime.bundle import open_bundle, verify_bundle, write_bundle
from edgeai_runtime.encryption import KEY_VARIABLE
from edgeai_runtime.errors import IntegrityError, OutputError, UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Manifest
from edgeai_runtime.manifest_json import parse_manifest
from edgeai_runtime.placement import Placement
from edgeai_runtime.record import replace
from edgeai_runtime.trust import Trust

pytest.importorskip("cryptography")

KEY = bytes(range(32))
X = np.array([[1, 2]], np.float32)
MARK = b"edgeai_fake"
"""Stands in the plaintext of every fake model."""


@pytest.fixture(autouse=True)
def _own_world(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture
def encrypted(make_fake: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes an encrypted bundle; its arguments are those of `make_fake`."""

    def make(**arguments: Any) -> Path:
        return encrypt_bundle(make_fake(**arguments), key=KEY, output=tmp_path / "sealed.edge", force=True).bundle

    return make


def members(path: Path) -> tuple[Manifest, dict[str, Path | bytes]]:
    with zipfile.ZipFile(path) as archive:
        contents: dict[str, Path | bytes] = {name: archive.read(name) for name in archive.namelist()}
    manifest = contents.pop("manifest.json")
    assert isinstance(manifest, bytes)
    return parse_manifest(manifest, where="test"), contents


def test_it_gives_what_the_plain_one_gives_and_holds_none_of_it(encrypted: Callable[..., Path]) -> None:
    path = encrypted()
    assert MARK not in path.read_bytes()
    with load(path, key=KEY) as model:
        assert model(X).tolist() == [[2, 4]]


def test_the_key_may_come_from_the_environment(encrypted: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY.hex())
    assert load(encrypted())(X).tolist() == [[2, 4]]


def test_a_function_is_asked_by_the_id_of_the_key(encrypted: Callable[..., Path]) -> None:
    path, asked = encrypted(), list[str]()

    def key(wanted: str) -> bytes:
        asked.append(wanted)
        return KEY

    load(path, key=key)
    record = open_bundle(path).manifest.variants[0].encryption
    assert record is not None
    assert set(asked) == {record.key_id}


def test_no_key_and_a_wrong_key_are_told_apart(encrypted: Callable[..., Path]) -> None:
    path = encrypted()
    with pytest.raises(UsageError, match=r"the key [0-9a-f]{16} is needed"):
        load(path)
    with pytest.raises(UsageError, match=r"net was encrypted with the key [0-9a-f]{16}…, not [0-9a-f]{16}…"):
        load(path, key=bytes(32))


def test_digests_and_signature_cover_the_ciphertext(encrypted: Callable[..., Path], tmp_path: Path) -> None:
    path = encrypted()
    assert all(check.ok for check in verify_bundle(path)), "without the key"
    keys = generate_keys(tmp_path / "s.key")
    sign_bundle(path, key=keys.private)
    assert load(path, key=KEY, trust=Trust(keys=keys.public))(X).tolist() == [[2, 4]]


def test_another_variants_file_is_refused_although_the_digests_are_right(
    encrypted: Callable[..., Path], tmp_path: Path
) -> None:
    manifest, contents = members(encrypted())
    (variant,) = manifest.variants
    other = replace(manifest, variants=(replace(variant, id="other"),), golden=())
    kept = {entry.path: contents[entry.path] for entry in variant.files}
    write_bundle(tmp_path / "moved.edge", other, kept)
    with pytest.raises(IntegrityError, match="another file"):
        load(tmp_path / "moved.edge", key=KEY)


@pytest.mark.parametrize("delegate", ["fake:npu", "fake:cpu"])
def test_a_child_process_gets_the_key_and_no_argument_shows_it(
    encrypted: Callable[..., Path], delegate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    commands, run = [], subprocess.run

    def watch(command: list[str], **options: Any) -> Any:
        commands.append(" ".join(command))
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", watch)
    path = encrypted(delegates=("fake:cpu", delegate))
    model = load(path, key=KEY, placement=Placement(require=delegate), selfcheck="always")
    assert "self-check passed" in model.placement.attempts[-1].reason
    assert commands
    assert not any(KEY.hex() in command for command in commands)
    assert KEY_VARIABLE not in os.environ


def test_measuring_what_is_fastest_works_with_a_key(
    encrypted: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEAI_AUTOTUNE_S", "0.2")
    model = load(encrypted(delegates=("fake:cpu",)), key=KEY, threads="auto")
    assert model.placement.measured[0].median_ms is not None


def test_nothing_decrypted_is_ever_in_a_file(
    encrypted: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    path = encrypted()
    (tmp_path / "net.edge").unlink()
    (tmp_path / "net.fake").unlink()
    with load(path, key=KEY, selfcheck="always", threads="auto"):
        files = [f for folder in (tmp_path, Path(os.environ["EDGEAI_CACHE"])) for f in folder.rglob("*") if f.is_file()]
        assert len(files) > 3, "the bundle and what was unpacked and remembered of it"
        assert [file for file in files if MARK in file.read_bytes()] == []


def test_opening_it_in_a_child_by_its_path_is_refused(encrypted: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="never a file, as isolate would have it"):
        load(encrypted(), key=KEY, isolate=True)


@pytest.mark.parametrize("option", ["CACHE_DIR", "cache_dir", "ModelCacheDirectory", "trt_engine_cache_path"])
def test_options_that_write_files_are_refused(option: str) -> None:
    from edgeai_runtime.encryption import refuse_files

    refuse_files(["precision", "library_path", "NPU_BYPASS_UMD_CACHING", "CACHE_MODE"])
    with pytest.raises(UsageError, match=option):
        refuse_files(["precision", option])


def test_the_stages_of_a_pipeline_take_the_key(
    encrypted: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "both.edge"
    stage = encrypted(delegates=("fake:cpu",))
    with monkeypatch.context() as here:
        here.setenv(KEY_VARIABLE, KEY.hex())  # its golden samples are recorded now
        write_pipeline(path, {"a": stage, "b": stage}, name="both", kind="sequence", inputs={"b": {"x": "a/y"}})
    assert load(path, key=KEY)(X).tolist() == [[4, 8]]
    with pytest.raises(UsageError, match="is needed"):
        load(path)
    with pytest.raises(UsageError, match="is a pipeline"):
        encrypt_bundle(path, key=KEY, output=tmp_path / "x.edge")


def test_the_same_bundle_and_key_give_the_same_bytes_when_asked(make_fake: Callable[..., Path], tmp_path: Path) -> None:
    made = [
        encrypt_bundle(make_fake(), key=KEY, output=tmp_path / f"{index}.edge", reproducible=index < 2).bundle
        for index in range(4)
    ]
    first, second, drawn, again = (path.read_bytes() for path in made)
    assert first == second
    assert len({first, drawn, again}) == 3


def test_a_bundle_is_encrypted_once_and_never_over_another_file(
    encrypted: Callable[..., Path], make_fake: Callable[..., Path], tmp_path: Path
) -> None:
    path = encrypted()
    with pytest.raises(UsageError, match="encrypted already"):
        encrypt_bundle(path, key=KEY, output=tmp_path / "twice.edge")
    with pytest.raises(OutputError, match="exists already"):
        encrypt_bundle(make_fake(), key=KEY, output=path)
    assert not (tmp_path / "twice.edge").exists()


def test_a_plain_manifest_says_nothing_of_encryption(make_fake: Callable[..., Path]) -> None:
    with zipfile.ZipFile(make_fake()) as archive:
        assert b"encryption" not in archive.read("manifest.json")


def test_the_verb_draws_a_key_and_the_device_runs_with_it(
    make_fake: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_fake()
    monkeypatch.chdir(tmp_path)
    assert main(["encrypt", "net.edge", "--new-key", "app.key", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["bundle"], made["variants"]) == ("net.encrypted.edge", ["net"])
    if os.name == "posix":
        assert (tmp_path / "app.key").stat().st_mode & 0o077 == 0
    assert main(["encrypt", "net.edge", "--new-key", "app.key", "-o", "b.edge"]) == 1, "a key is never overwritten"
    assert main(["encrypt", "net.edge", "-o", "b.edge"]) == 2
    assert main(["encrypt", "net.edge", "--key", "app.key", "-o", "b.edge"]) == 0
    capsys.readouterr()
    monkeypatch.setenv(KEY_VARIABLE, "app.key")
    assert device_main(["verify", "b.edge", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    monkeypatch.delenv(KEY_VARIABLE)
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "another cache"))  # where no verdict is known
    assert device_main(["verify", "b.edge", "--json"]) == 1
    assert "is needed" in capsys.readouterr().out

"""Writing bundles."""

from __future__ import annotations

import dataclasses
import errno
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edgeai_runtime.bundle import file_entry, open_bundle, write_bundle
from edgeai_runtime.errors import BundleError, IntegrityError, OutputError

MODEL = "variants/small/model.tflite"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_same_content_gives_the_same_bytes(sample: Any, tmp_path: Path) -> None:
    first, second = sample.write(tmp_path / "a.edge"), tmp_path / "b.edge"
    write_bundle(second, sample.manifest, dict(reversed(sample.members.items())))
    assert first.read_bytes() == second.read_bytes()


def test_members_are_stored_with_fixed_times_and_the_manifest_first(sample: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(sample.write(tmp_path / "a.edge")) as archive:
        infos = archive.infolist()
    assert [info.filename for info in infos] == ["manifest.json", *sample.members]
    assert {(info.compress_type, info.date_time, info.create_system) for info in infos} == {
        (zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0), 3)
    }


def test_a_member_may_be_a_file(sample: Any, tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.write_bytes(sample.members[MODEL])
    write_bundle(tmp_path / "b.edge", sample.manifest, {**sample.members, MODEL: source})
    assert (tmp_path / "b.edge").read_bytes() == sample.write(tmp_path / "a.edge").read_bytes()


def test_the_folder_has_the_same_members_as_the_zip(sample: Any, tmp_path: Path) -> None:
    folder = sample.write(tmp_path / "folder", as_folder=True)
    with zipfile.ZipFile(sample.write(tmp_path / "a.edge")) as archive:
        for name in archive.namelist():
            assert (folder / name).read_bytes() == archive.read(name)


@pytest.mark.parametrize("as_folder", [False, True])
def test_nothing_is_overwritten_without_force(sample: Any, tmp_path: Path, as_folder: bool) -> None:
    path = sample.write(tmp_path / "a.edge", as_folder=as_folder)
    with pytest.raises(OutputError, match="exists already") as caught:
        sample.write(path, as_folder=as_folder)
    assert "--force" in caught.value.hint


@pytest.mark.parametrize("as_folder", [False, True])
def test_force_replaces_a_bundle_and_leaves_nothing_else(sample: Any, tmp_path: Path, as_folder: bool) -> None:
    path = sample.write(tmp_path / "a.edge", as_folder=as_folder)
    renamed = dataclasses.replace(sample.manifest, name="newer")
    write_bundle(path, renamed, sample.members, force=True, as_folder=as_folder)
    assert open_bundle(path, cache=tmp_path / "cache").manifest.name == "newer"
    assert set(names(tmp_path)) <= {"a.edge", "cache"}


def test_force_never_replaces_a_folder_that_is_no_bundle(sample: Any, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not a bundle"):
        sample.write(tmp_path / "home", force=True, as_folder=True)
    assert names(tmp_path / "home") == ["thesis.txt"]


@pytest.mark.parametrize("as_folder", [False, True])
def test_force_does_not_turn_a_file_into_a_folder_or_back(sample: Any, tmp_path: Path, as_folder: bool) -> None:
    path = sample.write(tmp_path / "a.edge", as_folder=not as_folder)
    with pytest.raises(OutputError, match="would become"):
        sample.write(path, force=True, as_folder=as_folder)


@pytest.mark.parametrize("as_folder", [False, True])
def test_content_that_differs_from_its_entry_leaves_nothing_behind(
    sample: Any, tmp_path: Path, as_folder: bool
) -> None:
    members = {**sample.members, "labels.txt": b"cow\nd\xc3\xb6g\n"}
    with pytest.raises(IntegrityError, match=r"labels\.txt"):
        write_bundle(tmp_path / "a.edge", sample.manifest, members, as_folder=as_folder)
    assert names(tmp_path) == []


def test_a_failed_replacement_keeps_the_old_bundle(sample: Any, tmp_path: Path) -> None:
    path = sample.write(tmp_path / "folder", as_folder=True)
    with pytest.raises(IntegrityError):
        write_bundle(path, sample.manifest, {**sample.members, "labels.txt": b"x"}, force=True, as_folder=True)
    assert open_bundle(path).manifest == sample.manifest
    assert names(tmp_path) == ["folder"]


def test_the_old_bundle_comes_back_when_the_new_one_can_not_take_its_place(
    sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sample.write(tmp_path / "folder", as_folder=True)
    rename = Path.rename

    def fail_for_the_new_one(source: Path, target: Path) -> Path:
        if ".unfinished-" in source.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(OutputError, match="No space left"):
        sample.write(path, force=True, as_folder=True)
    assert open_bundle(path).manifest == sample.manifest
    assert names(tmp_path) == ["folder"]


def test_a_missing_member_is_named(sample: Any, tmp_path: Path) -> None:
    members = {path: content for path, content in sample.members.items() if path != MODEL}
    with pytest.raises(BundleError, match=MODEL):
        write_bundle(tmp_path / "a.edge", sample.manifest, members)


@pytest.mark.parametrize("name", ["extra.txt", "manifest.json"])
def test_a_member_that_is_not_listed_is_refused(sample: Any, tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match=f"does not list: {name}"):
        write_bundle(tmp_path / "a.edge", sample.manifest, {**sample.members, name: b""})


def test_a_signature_may_be_added(sample: Any, tmp_path: Path) -> None:
    write_bundle(tmp_path / "a.edge", sample.manifest, {**sample.members, "signature.json": b"{}"})
    assert open_bundle(tmp_path / "a.edge", cache=tmp_path / "cache").manifest == sample.manifest


def test_a_file_that_is_not_there_is_a_bundle_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        file_entry("a", tmp_path / "absent")


def test_a_place_that_can_not_be_written_is_an_output_error(sample: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        sample.write(tmp_path / "file" / "a.edge")


@pytest.mark.skipif(os.name != "posix", reason="the limit on file sizes is POSIX")
@pytest.mark.parametrize("as_folder", [False, True])
def test_no_room_on_the_disk_is_an_output_error_and_leaves_nothing(
    sample: Any, tmp_path: Path, as_folder: bool
) -> None:
    bundle = sample.write(tmp_path / "a.edge")
    target = tmp_path / "out" / "b.edge"
    program = f"""
import resource, sys
from pathlib import Path
from edgeai_runtime.bundle import open_bundle, write_bundle
from edgeai_runtime.bundle_files import open_container
from edgeai_runtime.errors import OutputError
bundle = open_bundle(Path({str(bundle)!r}), cache=Path({str(tmp_path / "cache")!r}))
with open_container(Path({str(bundle)!r})) as container:
    members = {{name: b"".join(container.chunks(name)) for name in container.sizes if name != "manifest.json"}}
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    write_bundle(Path({str(target)!r}), bundle.manifest, members, as_folder={as_folder})
except OutputError as error:
    sys.exit(0 if error.hint else 3)
sys.exit(4)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert names(tmp_path / "out") == []


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
def test_the_file_has_the_permissions_of_any_new_file(sample: Any, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    wanted = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert stat.S_IMODE(sample.write(tmp_path / "a.edge").stat().st_mode) == wanted

"""Opening bundles: content, refusals and the cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.bundle import is_bundle, open_bundle
from edgeai_runtime.errors import BundleError, IntegrityError, OutputError, SchemaError

MODEL = "variants/small/model.tflite"


@pytest.fixture(params=["zip", "folder"])
def bundle_path(request: Any, sample: Any, tmp_path: Path) -> Path:
    return sample.write(tmp_path / "pets.edge", as_folder=request.param == "folder")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def rezip(source: Path, target: Path, *, compress: bool = False, **changes: bytes | None) -> Path:
    """Copy a bundle with members changed, added or (None) left out; in a name `__` is `/` and `_dot_` a dot."""
    members = {name.replace("__", "/").replace("_dot_", "."): content for name, content in changes.items()}
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in dict.fromkeys([*old.namelist(), *members]):
            content = members.get(name, b"") if name in members else old.read(name)
            if content is not None:
                new.writestr(name, content, zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED)
    return target


def unpacked(bundle: Any) -> Path:
    return bundle.file(bundle.manifest.variants[0].files[0])


def test_an_opened_bundle_has_its_manifest_and_members(bundle_path: Path, cache: Path, sample: Any) -> None:
    bundle = open_bundle(bundle_path, cache=cache)
    assert bundle.manifest == sample.manifest
    assert unpacked(bundle).read_bytes() == sample.members[MODEL]
    assert bundle.labels() == ("cat", "dög")


def test_golden_arrays_come_by_the_names_of_the_tensors(bundle_path: Path, cache: Path) -> None:
    bundle = open_bundle(bundle_path, cache=cache)
    assert bundle.golden_inputs()["x"].shape == (8, 3)
    np.testing.assert_array_equal(bundle.golden_outputs("small")["p"], bundle.golden_outputs("source")["p"] + 1)


def test_golden_outputs_of_an_unknown_variant_say_what_there_is(bundle_path: Path, cache: Path) -> None:
    with pytest.raises(BundleError, match="large/p") as caught:
        open_bundle(bundle_path, cache=cache).golden_outputs("large")
    assert "small" in caught.value.hint


def test_the_digest_is_that_of_the_manifest_in_both_layouts(sample: Any, tmp_path: Path) -> None:
    packed = open_bundle(sample.write(tmp_path / "a.edge"), cache=tmp_path / "cache")
    folder = open_bundle(sample.write(tmp_path / "folder", as_folder=True))
    assert packed.digest == folder.digest
    assert packed.digest == hashlib.sha256((folder.root / "manifest.json").read_bytes()).hexdigest()


def test_a_folder_is_opened_in_place_and_leaves_the_cache_alone(sample: Any, tmp_path: Path, cache: Path) -> None:
    path = sample.write(tmp_path / "folder", as_folder=True)
    assert open_bundle(path, cache=cache).root == path
    assert not cache.exists()


def test_a_text_path_is_fine(bundle_path: Path, cache: Path) -> None:
    assert open_bundle(str(bundle_path), cache=cache).manifest.name == "pets"  # type: ignore[arg-type]


@pytest.mark.parametrize("member", [MODEL, "golden/inputs.npz", "golden/outputs.npz", "labels.txt"])
def test_one_changed_byte_in_any_member_is_noticed(bundle_path: Path, cache: Path, sample: Any, member: str) -> None:
    target = bundle_path / member if bundle_path.is_dir() else bundle_path
    content = bytearray(target.read_bytes())
    content[content.index(sample.members[member]) + 7] ^= 1
    target.write_bytes(content)
    with pytest.raises(IntegrityError, match=member):
        open_bundle(bundle_path, cache=cache)


def test_a_changed_member_with_a_right_checksum_of_the_zip_is_noticed(sample: Any, tmp_path: Path, cache: Path) -> None:
    path = sample.write(tmp_path / "a.edge")
    changed = rezip(path, tmp_path / "b.edge", labels_dot_txt=b"dog\nc\xc3\xb6w\n")
    with pytest.raises(IntegrityError, match=r"labels\.txt.*sha256"):
        open_bundle(changed, cache=cache)


def test_a_changed_bundle_is_noticed_although_the_right_one_is_in_the_cache(
    sample: Any, tmp_path: Path, cache: Path
) -> None:
    path = sample.write(tmp_path / "a.edge")
    open_bundle(path, cache=cache)
    with pytest.raises(IntegrityError, match=r"labels\.txt"):
        open_bundle(rezip(path, tmp_path / "b.edge", labels_dot_txt=b"dog\nc\xc3\xb6w\n"), cache=cache)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels_dot_txt": None}, "labels.txt' is missing"),
        ({"labels_dot_txt": b"cat"}, "has 3 bytes, the manifest says"),
        ({"extra_dot_so": b""}, "does not list: 'extra.so'"),
        ({"____x": b""}, "does not list"),
        ({"golden__": b""}, "does not list: 'golden/'"),
    ],
)
def test_a_zip_with_other_members_than_listed_is_refused(
    sample: Any, tmp_path: Path, cache: Path, changes: dict[str, bytes | None], message: str
) -> None:
    path = rezip(sample.write(tmp_path / "a.edge"), tmp_path / "b.edge", **changes)
    with pytest.raises(IntegrityError, match=message):
        open_bundle(path, cache=cache)
    assert not cache.exists()


def test_a_folder_with_another_file_is_refused(sample: Any, tmp_path: Path) -> None:
    path = sample.write(tmp_path / "folder", as_folder=True)
    (path / "variants" / "notes.txt").write_text("hello")
    with pytest.raises(IntegrityError, match=r"variants/notes\.txt"):
        open_bundle(path)


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_a_folder_with_a_link_is_refused(sample: Any, tmp_path: Path) -> None:
    path = sample.write(tmp_path / "folder", as_folder=True)
    shutil.move(path / "labels.txt", tmp_path / "labels.txt")
    (path / "labels.txt").symlink_to(tmp_path / "labels.txt")
    with pytest.raises(IntegrityError, match="link"):
        open_bundle(path)


def test_a_member_that_stands_twice_is_refused(sample: Any, tmp_path: Path, cache: Path) -> None:
    path = sample.write(tmp_path / "a.edge")
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")  # zipfile warns of the name
        archive.writestr("labels.txt", sample.members["labels.txt"])
    with pytest.raises(IntegrityError, match="stands twice"):
        open_bundle(path, cache=cache)


def test_compressed_members_are_refused(sample: Any, tmp_path: Path, cache: Path) -> None:
    path = rezip(sample.write(tmp_path / "a.edge"), tmp_path / "b.edge", compress=True)
    with pytest.raises(IntegrityError, match="compressed"):
        open_bundle(path, cache=cache)


def test_a_member_that_claims_more_than_the_file_has_is_refused(sample: Any, tmp_path: Path, cache: Path) -> None:
    path = sample.write(tmp_path / "a.edge")
    content = path.read_bytes()
    size = len(sample.members["labels.txt"]).to_bytes(4, "little")
    start = content.rindex(b"PK\x01\x02")  # the directory's last entry, labels.txt
    end = start + 20
    assert content[end : end + 8] == size + size
    path.write_bytes(content[:end] + (2**31).to_bytes(4, "little") * 2 + content[end + 8 :])
    with pytest.raises(IntegrityError, match="more bytes than the file has"):
        open_bundle(path, cache=cache)


def test_a_manifest_larger_than_any_is_refused(sample: Any, tmp_path: Path) -> None:
    path = sample.write(tmp_path / "folder", as_folder=True)
    with (path / "manifest.json").open("r+b") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(BundleError, match="bytes, more than"):
        open_bundle(path)


def test_an_escaping_path_writes_nothing(sample: Any, tmp_path: Path, cache: Path) -> None:
    path = sample.write(tmp_path / "a.edge")
    with zipfile.ZipFile(path) as archive:
        document = json.loads(archive.read("manifest.json"))
    document["labels"]["path"] = "../../../labels.txt"
    evil = rezip(
        path,
        tmp_path / "b.edge",
        manifest_dot_json=json.dumps(document).encode(),
        labels_dot_txt=None,
        **{"..__..__..__labels_dot_txt": sample.members["labels.txt"]},
    )
    with pytest.raises(IntegrityError, match="escape"):
        open_bundle(evil, cache=cache)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.edge", "b.edge"]


def test_an_unknown_schema_is_a_schema_error_that_names_the_file(sample: Any, tmp_path: Path, cache: Path) -> None:
    path = rezip(
        sample.write(tmp_path / "a.edge"), tmp_path / "b.edge", manifest_dot_json=b'{"schema": "edgeai.bundle/7"}'
    )
    with pytest.raises(SchemaError, match=r"b\.edge.*edgeai\.bundle/7"):
        open_bundle(path, cache=cache)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95])
def test_a_truncated_bundle_is_a_bundle_error(sample: Any, tmp_path: Path, cache: Path, share: float) -> None:
    path = sample.write(tmp_path / "a.edge")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(BundleError, match="not a readable bundle"):
        open_bundle(path, cache=cache)


def test_what_is_not_there_or_no_bundle_is_a_bundle_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle at"):
        open_bundle(tmp_path / "absent.edge")
    with pytest.raises(BundleError, match=r"has no manifest\.json"):
        open_bundle(tmp_path)


def test_a_bundle_is_told_from_other_files(bundle_path: Path, tmp_path: Path) -> None:
    assert is_bundle(bundle_path)
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07")
    others = [tmp_path / "model.keras", tmp_path / "model.onnx", tmp_path / "absent", tmp_path]
    assert [is_bundle(path) for path in others] == [False] * 4


def test_a_truncated_bundle_still_counts_as_one_so_that_opening_it_says_what_is_wrong(
    sample: Any, tmp_path: Path
) -> None:
    path = sample.write(tmp_path / "a.edge")
    path.write_bytes(path.read_bytes()[:500])
    assert is_bundle(path)


def test_labels_that_are_no_text_are_a_bundle_error(bundle_path: Path, cache: Path) -> None:
    bundle = open_bundle(bundle_path, cache=cache)
    bundle.file(bundle.manifest.labels).write_bytes(b"\xff\xff")
    with pytest.raises(BundleError, match="UTF-8"):
        bundle.labels()


def test_a_second_opening_writes_nothing(sample: Any, tmp_path: Path, cache: Path) -> None:
    path = sample.write(tmp_path / "a.edge")
    model = unpacked(open_bundle(path, cache=cache))
    before = model.stat()
    assert unpacked(open_bundle(path, cache=cache)) == model
    assert (model.stat().st_ino, model.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("damage", ["one byte, same size and time", "truncated", "removed", "emptied folder"])
def test_a_damaged_cache_is_mended(sample: Any, tmp_path: Path, cache: Path, damage: str) -> None:
    path = sample.write(tmp_path / "a.edge")
    model = unpacked(open_bundle(path, cache=cache))
    if damage == "truncated":
        model.write_bytes(sample.members[MODEL][:-1])
    elif damage == "removed":
        model.unlink()
    elif damage == "emptied folder":
        shutil.rmtree(cache / "bundles")
    else:
        times = model.stat()
        model.write_bytes(b"N" + sample.members[MODEL][1:])
        os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert unpacked(open_bundle(path, cache=cache)).read_bytes() == sample.members[MODEL]


def test_nothing_unfinished_stays_in_the_cache(sample: Any, tmp_path: Path, cache: Path) -> None:
    (cache / "unfinished").mkdir(parents=True)
    for name, age_s in (("old", 200_000), ("young", 0)):
        (cache / "unfinished" / name).touch()
        os.utime(cache / "unfinished" / name, (1e9,) * 2 if age_s else None)
    open_bundle(sample.write(tmp_path / "a.edge"), cache=cache)
    assert [item.name for item in (cache / "unfinished").iterdir()] == ["young"]


def test_a_cache_that_can_not_be_written_is_an_output_error_with_a_way_out(sample: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write") as caught:
        open_bundle(sample.write(tmp_path / "a.edge"), cache=tmp_path / "file")
    assert "EDGEAI_CACHE" in caught.value.hint


def test_several_processes_can_unpack_the_same_bundle_at_once(sample: Any, tmp_path: Path, cache: Path) -> None:
    path = sample.write(tmp_path / "a.edge")
    program = (
        "import pathlib; from edgeai_runtime.bundle import open_bundle\n"
        f"b = open_bundle(pathlib.Path({str(path)!r}), cache=pathlib.Path({str(cache)!r}))\n"
        "assert len(b.file(b.manifest.variants[0].files[0]).read_bytes()) == 3600\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert list((cache / "unfinished").iterdir()) == []

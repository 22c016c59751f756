"""A bundle's zip is read without `zipfile` where it is as edgeai writes it, and with it where it is not."""

from __future__ import annotations

import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edgeai_runtime.bundle import open_bundle
from edgeai_runtime.bundle_files import Container, NotPlainError, PlainZipContainer, ZipContainer
from edgeai_runtime.errors import IntegrityError


@pytest.fixture
def written(sample: Any, tmp_path: Path) -> Path:
    return Path(sample.write(tmp_path / "pets.edge"))


def content(container: Container) -> dict[str, bytes]:
    try:
        return {name: b"".join(container.chunks(name)) for name in container.sizes}
    finally:
        container.close()


def is_plain(path: Path) -> bool:
    try:
        PlainZipContainer(path).close()
    except NotPlainError:
        return False
    return True


def test_both_readers_find_the_same(written: Path) -> None:
    assert content(PlainZipContainer(written)) == content(ZipContainer(written))


def test_a_bundle_is_opened_without_zipfile(written: Path, tmp_path: Path) -> None:
    code = f"""
import sys, numpy
assert "zipfile" not in sys.modules
from pathlib import Path
from edgeai_runtime.bundle import open_bundle
for _ in range(2):
    open_bundle(Path({str(written)!r}), cache=Path({str(tmp_path / "cache")!r}))
assert "zipfile" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def repack(path: Path, *, comment: bytes = b"", extra: bytes = b"", before: bytes = b"") -> None:
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with path.open("wb") as file:
        file.write(before)
        with zipfile.ZipFile(file, "w") as new:
            new.comment = comment
            for name, data in members.items():
                info = zipfile.ZipInfo(name)
                info.extra = extra
                new.writestr(info, data)


@pytest.mark.parametrize(
    "changes", [{"comment": b"mine"}, {"extra": struct.pack("<2HL", 0x5455, 4, 0)}, {"before": b"#!/bin/run\n"}]
)
def test_what_another_tool_packed_is_read_with_zipfile(written: Path, tmp_path: Path, changes: Any) -> None:
    repack(written)
    assert is_plain(written)
    repack(written, **changes)
    assert not is_plain(written)
    assert open_bundle(written, cache=tmp_path / "cache").manifest.name


def test_a_changed_manifest_is_noticed_by_its_checksum(written: Path, tmp_path: Path) -> None:
    data = written.read_bytes()
    assert data.count(b'"name": "pets"') == 1
    written.write_bytes(data.replace(b'"name": "pets"', b'"name": "cats"'))
    assert is_plain(written)
    with pytest.raises(IntegrityError, match=r"manifest\.json.*checksum"):
        open_bundle(written, cache=tmp_path / "cache")


def test_no_changed_byte_of_the_frame_is_plain_unless_nothing_reads_it(written: Path) -> None:
    """What says where members lie stands twice or is checked; the attributes of files (12 bytes each) are not used."""
    data, whole = written.read_bytes(), content(ZipContainer(written))
    with zipfile.ZipFile(written) as archive:
        start, infos = archive.start_dir, archive.infolist()
    frame = [at for info in infos for at in range(info.header_offset, info.header_offset + 30)]
    for at in (*frame, *range(start, len(data))):
        written.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert not is_plain(written) or content(PlainZipContainer(written)) == whole


@pytest.mark.parametrize("size", [0, 1, 21, 22, 100])
def test_a_short_file_is_not_plain(written: Path, size: int) -> None:
    written.write_bytes(written.read_bytes()[:size])
    assert not is_plain(written)

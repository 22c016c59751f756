"""The members of a bundle as they lie on disk: in a zip or in a folder, listed and read with limits.

A container knows names and sizes, not meaning. Both kinds refuse what could hide or multiply data: compressed or
encrypted members, a name that stands twice, members that overlap, links, and anything that is not a plain file.
"""

from __future__ import annotations

import binascii
import contextlib
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from edgeai_runtime.bundle_paths import MANIFEST_NAME
from edgeai_runtime.errors import BundleError, EdgeAIError, IntegrityError

if TYPE_CHECKING:
    import zipfile

MAX_MANIFEST_BYTES = 16 * 2**20
CHUNK_BYTES = 2**17  # stays in the processor's cache: a third faster than 1 MiB (measured)

FETCH_AGAIN = "The bundle is damaged or was edited: fetch it again, or build it again."
_NOT_READABLE = "It is truncated, damaged or another kind of file. A bundle is a .edge file or a folder."
#: Of a zip: the end; an entry of the list at the end; and what such an entry has in common with what stands before the
#: member: flags, method, checksum, sizes, length of the name.
_END, _ENTRY, _HEAD = struct.Struct("<4s4H2LH"), struct.Struct("<4s2x24sH2H6xL"), struct.Struct("<2x2H4x3LH")
_BEGINNING = b"PK\x03\x04", 30, MANIFEST_NAME.encode()  # a member's mark, the place of its name, the first member


class Container(Protocol):
    """The members of one bundle."""

    path: Path
    sizes: dict[str, int]
    """Member name → size in bytes, of everything that is there."""

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield a member's bytes in pieces of bounded size; damage met while reading is an `IntegrityError`."""
        ...

    def close(self) -> None:
        """Give back the file."""
        ...


class PlainZipContainer:
    """A bundle in a zip file exactly as edgeai writes it; `zipfile` takes longer to import than most bundles to read.

    Every byte is accounted for: the members lie one after another from the first byte on, what stands before each says
    the same as the list at the end, and nothing lies between, behind or over them.

    Raises:
        NotPlainError: it is something else, which `ZipContainer` reads or refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        try:
            self._places = _plain_places(self._file, path.stat().st_size)
        except BaseException as error:
            self._file.close()
            if isinstance(error, (ValueError, struct.error)):
                raise NotPlainError from error
            raise
        self.sizes = {name: size for name, (_, size, _) in self._places.items()}

    def chunks(self, name: str) -> Iterator[bytes]:
        at, size, sum_listed = self._places[name]
        end, sum_read = at + size, 0
        with _as_integrity_error(self.path, name):
            while at < end:
                self._file.seek(at)
                chunk = self._file.read(min(CHUNK_BYTES, end - at))
                if not chunk:
                    raise EOFError("the file ends")
                if name == MANIFEST_NAME:  # which has the digests of the others
                    sum_read = binascii.crc32(chunk, sum_read)
                at += len(chunk)
                yield chunk
            if name == MANIFEST_NAME and sum_read != sum_listed:
                raise ValueError("its checksum differs")

    def close(self) -> None:
        self._file.close()


class NotPlainError(Exception):
    """A zip that is not as edgeai writes it."""


class ZipContainer:
    """A bundle in one zip file with stored members."""

    def __init__(self, path: Path) -> None:
        import zipfile

        self.path = path
        with _as_bundle_error(path):
            self._zip = zipfile.ZipFile(path)
        try:
            with _as_bundle_error(path):
                self.sizes = _checked_sizes(self._zip, path)
        except BaseException:
            self._zip.close()
            raise

    def chunks(self, name: str) -> Iterator[bytes]:
        with _as_integrity_error(self.path, name), self._zip.open(name) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def close(self) -> None:
        self._zip.close()


class FolderContainer:
    """A bundle that lies in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes = {}
        with _as_bundle_error(path):
            for folder, folders, files in os.walk(path, onerror=_raise):
                for name in (*folders, *files):
                    member = Path(folder, name)
                    mode = member.lstat().st_mode
                    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                        raise IntegrityError(
                            f"{path}: {member.relative_to(path).as_posix()!r} is a link or a special file",
                            hint="A bundle's folder holds plain files only.",
                        )
                for name in files:
                    member = Path(folder, name)
                    self.sizes[member.relative_to(path).as_posix()] = member.lstat().st_size

    def chunks(self, name: str) -> Iterator[bytes]:
        with _as_integrity_error(self.path, name), (self.path / name).open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def close(self) -> None:
        pass


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[Container]:
    """Open the zip or folder at `path` and list its members.

    Raises:
        BundleError: there is nothing, it is not a bundle, or it cannot be read.
        IntegrityError: it holds something that a bundle never does.
    """
    with _as_bundle_error(path):
        if not path.exists():
            raise BundleError(
                f"there is no bundle at {path}", hint="Check the path; a bundle is a .edge file or a folder."
            )
        if path.is_dir() and not (path / MANIFEST_NAME).is_file():
            raise BundleError(
                f"the folder {path} is not a bundle: it has no {MANIFEST_NAME}", hint="Make one with `edgeai compress`."
            )
        is_folder = path.is_dir()
        if not is_folder and not path.is_file():
            raise BundleError(f"{path} is a pipe or a device, not a bundle")
    container: Container = FolderContainer(path) if is_folder else _open_zip(path)
    try:
        if MANIFEST_NAME not in container.sizes:
            raise BundleError(f"{path} is not a readable bundle: it has no {MANIFEST_NAME}", hint=_NOT_READABLE)
        yield container
    finally:
        container.close()


def begins_like_bundle(path: Path) -> bool:
    """Say whether the file starts as edgeai writes zips, with the manifest; true for a truncated one as well.

    Raises:
        OSError: it cannot be read.
    """
    mark, start, name = _BEGINNING
    with path.open("rb") as file:
        beginning = file.read(start + len(name))
    return beginning.startswith(mark) and beginning[start:] == name


def read_manifest_bytes(container: Container) -> bytes:
    """Return the bytes of `manifest.json`, of a bounded size.

    Raises:
        BundleError: it is larger than any manifest.
        IntegrityError: it cannot be read whole.
    """
    size = container.sizes[MANIFEST_NAME]
    if size > MAX_MANIFEST_BYTES:
        raise BundleError(f"{container.path}: {MANIFEST_NAME} has {size} bytes, more than {MAX_MANIFEST_BYTES}")
    content = bytearray()
    for chunk in container.chunks(MANIFEST_NAME):
        content += chunk
        if len(content) > size:
            break
    if len(content) != size:
        raise IntegrityError(f"{container.path}: {MANIFEST_NAME} changed while it was read", hint=FETCH_AGAIN)
    return bytes(content)


def _open_zip(path: Path) -> Container:
    try:
        with _as_bundle_error(path):
            return PlainZipContainer(path)
    except NotPlainError:
        return ZipContainer(path)


def _plain_places(file: BinaryIO, size: int) -> dict[str, tuple[int, int, int]]:
    """Return where the members of a zip begin, their sizes and checksums, by name.

    Raises:
        ValueError, struct.error: it is not as edgeai writes it.
    """
    file.seek(max(size - _END.size, 0))
    mark, *disks, here, count, length, start, comment = _END.unpack(file.read())
    if (mark, *disks, here, comment, start + length) != (b"PK\5\6", 0, 0, count, 0, size - _END.size):
        raise ValueError("no plain end")
    file.seek(start)
    listing, at, offset = file.read(length), 0, 0
    places: dict[str, tuple[int, int, int]] = {}
    while at < length:
        mark, head, more, *rest, begin = _ENTRY.unpack_from(listing, at)
        flags, method, checksum, packed, plain, name_length = _HEAD.unpack(head)
        name = listing[at + _ENTRY.size : at + _ENTRY.size + name_length]
        at += _ENTRY.size + name_length
        file.seek(offset)
        if (
            (mark, more, rest, begin, method, packed) != (b"PK\1\2", 0, [0, 0], offset, 0, plain)
            or flags not in (0, 0x800)
            or file.read(30 + name_length) != b"PK\3\4" + head + bytes(2) + name
        ):
            raise ValueError("no plain member")
        offset += 30 + name_length
        places[name.decode("utf-8" if flags else "ascii")] = offset, plain, checksum
        offset += plain
    if (len(places), at, offset) != (count, length, start):
        raise ValueError("no plain list")
    return places


def _checked_sizes(archive: zipfile.ZipFile, path: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for info in archive.infolist():
        name = info.filename
        if name in sizes:
            raise IntegrityError(f"{path}: the member {name[:80]!r} stands twice", hint=FETCH_AGAIN)
        if info.compress_type != 0 or info.compress_size != info.file_size or info.flag_bits & 0x1:
            raise IntegrityError(
                f"{path}: the member {name[:80]!r} is compressed or encrypted",
                hint="It was packed again with another tool. Copy the .edge file as it is, or build it again.",
            )
        sizes[name] = info.file_size
    if sum(sizes.values()) > path.stat().st_size:
        raise IntegrityError(f"{path}: its members claim more bytes than the file has", hint=FETCH_AGAIN)
    return sizes


@contextlib.contextmanager
def _as_bundle_error(path: Path) -> Iterator[None]:
    """Turn whatever a damaged zip or an unreadable place raises into a `BundleError`."""
    try:
        yield
    except EdgeAIError:
        raise
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {error.strerror or error}", hint="Check the file and its permissions."
        ) from error
    except _damage() as error:
        raise BundleError(
            f"{path} is not a readable bundle: {error}",
            hint=_NOT_READABLE,
        ) from error


@contextlib.contextmanager
def _as_integrity_error(path: Path, name: str) -> Iterator[None]:
    """Turn damage met while a member is read into an `IntegrityError` that names it."""
    try:
        yield
    except EdgeAIError:
        raise
    except _damage() as error:
        raise IntegrityError(
            f"{path}: the member {name[:80]!r} cannot be read whole: {error}", hint=FETCH_AGAIN
        ) from error


def _damage() -> tuple[type[Exception], ...]:
    """Return what is raised when a damaged file is read; asked when something was raised."""
    import zipfile
    import zlib

    own = (struct.error, EOFError, OSError, ValueError, RuntimeError, OverflowError, LookupError)
    return (zipfile.BadZipFile, zlib.error, *own)


def _raise(error: OSError) -> None:
    raise error

"""Writing a bundle: a zip with the same bytes for the same content, or the same layout as a folder.

Nothing is half-written: the bundle is built beside its place and renamed at the end, after every member was compared
with its entry in the manifest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from edgeai_runtime.atomic import open_beside, output_error, write_atomically
from edgeai_runtime.bundle_arrays import stored_member
from edgeai_runtime.bundle_files import CHUNK_BYTES
from edgeai_runtime.bundle_paths import MANIFEST_NAME, SIGNATURE_NAME, check_member_path
from edgeai_runtime.errors import BundleError, IntegrityError, OutputError
from edgeai_runtime.manifest import FileEntry, Manifest
from edgeai_runtime.manifest_checks import manifest_files
from edgeai_runtime.manifest_json import dump_manifest


def file_entry(path_in_bundle: str, content: Path | bytes) -> FileEntry:
    """Return the manifest's entry for a member: `content` is its bytes or the file that holds them.

    Raises:
        IntegrityError: the path cannot stand in a bundle.
        BundleError: the file cannot be read.
    """
    check_member_path(path_in_bundle, where="file_entry")
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(content):
        digest.update(chunk)
        size += len(chunk)
    return FileEntry(path=path_in_bundle, sha256=digest.hexdigest(), size_bytes=size)


def write_bundle(
    path: Path,
    manifest: Manifest,
    members: Mapping[str, Path | bytes],
    *,
    force: bool = False,
    as_folder: bool = False,
) -> None:
    """Write a bundle to `path`: `manifest.json` first, then the members in the manifest's order.

    Args:
        path: the `.edge` file, or the folder when `as_folder`.
        manifest: what is in it; written with sorted keys.
        members: path in the bundle → bytes or file, those the manifest lists and, if there is one, `signature.json`.
        force: replace a bundle that is already there. A folder that is not a bundle is never replaced.
        as_folder: write a folder instead of a zip.

    Raises:
        BundleError: the manifest makes no sense, or a member is missing or not listed.
        IntegrityError: a member's content is not the one its entry describes.
        OutputError: something is there already, no permission, disk full.
    """
    content = dump_manifest(manifest)
    entries = manifest_files(manifest)
    _check_names({entry.path for entry in entries}, set(members))
    _check_target(path, force=force, as_folder=as_folder)
    if as_folder:
        _write_folder(path, content, entries, members)
        return
    with open_beside(path, durable=True) as file:
        _write_zip(file, content, entries, members)


def _check_names(listed: set[str], given: set[str]) -> None:
    missing = sorted(listed - given)
    if missing:
        raise BundleError(f"the manifest lists members that were not given: {', '.join(missing[:5])}")
    extra = sorted(given - listed - {SIGNATURE_NAME})
    if extra:
        raise BundleError(
            f"members that the manifest does not list: {', '.join(extra[:5])}",
            hint="Add them to the files of a variant (see file_entry), or leave them out.",
        )


def _check_target(path: Path, *, force: bool, as_folder: bool) -> None:
    if not os.path.lexists(path):
        return
    if not force:
        raise OutputError(
            f"{path} exists already", hint="Choose another name, or overwrite it with --force (force=True)."
        )
    if path.is_dir() != as_folder:
        kinds = ("a folder", "a file") if path.is_dir() else ("a file", "a folder")
        raise OutputError(f"{path} is {kinds[0]} and would become {kinds[1]}", hint="Remove it first.")
    if as_folder and not (path / MANIFEST_NAME).is_file() and any(path.iterdir()):
        raise OutputError(f"the folder {path} is not a bundle and is not empty", hint="Choose another folder.")


def _write_zip(
    file: BinaryIO, manifest: bytes, entries: tuple[FileEntry, ...], members: Mapping[str, Path | bytes]
) -> None:
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(stored_member(MANIFEST_NAME), manifest)
        for entry in entries:
            info = stored_member(entry.path)
            info.file_size = entry.size_bytes  # lets zipfile choose the 64-bit form where it is needed
            with archive.open(info, "w") as target:
                _copy_checked(members[entry.path], target.write, entry)
        if SIGNATURE_NAME in members:
            archive.writestr(stored_member(SIGNATURE_NAME), b"".join(_chunks(members[SIGNATURE_NAME])))


def _write_folder(
    path: Path, manifest: bytes, entries: tuple[FileEntry, ...], members: Mapping[str, Path | bytes]
) -> None:
    import shutil

    mark = f"{os.getpid()}-{os.urandom(6).hex()}"
    unfinished, replaced = (path.parent / f".{path.name}.{word}-{mark}" for word in ("unfinished", "replaced"))
    try:
        try:
            unfinished.mkdir(parents=True)
            for entry in entries:
                with open_beside(unfinished / entry.path) as file:
                    _copy_checked(members[entry.path], file.write, entry)
            if SIGNATURE_NAME in members:
                write_atomically(unfinished / SIGNATURE_NAME, b"".join(_chunks(members[SIGNATURE_NAME])))
            write_atomically(unfinished / MANIFEST_NAME, manifest)
            if path.exists():
                path.rename(replaced)
            unfinished.rename(path)
        except OSError as error:
            raise output_error(path, error) from error
    finally:
        if replaced.exists() and not path.exists():
            replaced.rename(path)  # the new one did not come: the old one stays
        for leftover in (unfinished, replaced):
            shutil.rmtree(leftover, ignore_errors=True)


def _copy_checked(content: Path | bytes, write: Callable[[bytes], object], entry: FileEntry) -> None:
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(content):
        digest.update(chunk)
        size += len(chunk)
        if size > entry.size_bytes:
            break
        write(chunk)
    if size != entry.size_bytes or digest.hexdigest() != entry.sha256:
        raise IntegrityError(
            f"the content given for {entry.path!r} is not the one the manifest lists (size or sha256 differ)",
            hint="The file changed after its entry was made: make the entry again with file_entry.",
        )


def _chunks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    try:
        with Path(content).open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise BundleError(f"the member {content} cannot be read: {error.strerror or error}") from error

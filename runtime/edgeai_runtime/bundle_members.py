"""Comparing the members of a bundle with its manifest: names, sizes, digests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from edgeai_runtime.bundle_files import FETCH_AGAIN, Container
from edgeai_runtime.bundle_paths import MANIFEST_NAME, SIGNATURE_NAME
from edgeai_runtime.errors import IntegrityError
from edgeai_runtime.manifest import FileEntry, Manifest
from edgeai_runtime.manifest_checks import manifest_files


def check_listing(container: Container, manifest: Manifest) -> None:
    """Check that the members are those of the manifest, by name and size, before any is read.

    Raises:
        IntegrityError: a member is missing, has another size, or is not listed.
    """
    entries = manifest_files(manifest)
    listed = {entry.path for entry in entries}
    extra = sorted(set(container.sizes) - listed - {MANIFEST_NAME, SIGNATURE_NAME})
    if extra:
        raise IntegrityError(
            f"{container.path} holds members that its manifest does not list: {', '.join(map(repr, extra[:5]))}",
            hint="Remove them, or fetch the bundle again.",
        )
    for entry in entries:
        size = container.sizes.get(entry.path)
        if size is None:
            raise IntegrityError(f"{container.path}: the member {entry.path!r} is missing", hint=FETCH_AGAIN)
        if size != entry.size_bytes:
            raise IntegrityError(
                f"{container.path}: the member {entry.path!r} has {size} bytes, the manifest says {entry.size_bytes}",
                hint=FETCH_AGAIN,
            )


def check_member(container: Container, entry: FileEntry, use: Callable[[bytes], object] | None = None) -> None:
    """Read one member whole and compare size and digest with its entry; `use` gets the bytes on the way.

    Raises:
        IntegrityError: the content is not the one the manifest lists.
    """
    digest, size = hashlib.sha256(), 0
    for chunk in container.chunks(entry.path):
        size += len(chunk)
        if size > entry.size_bytes:
            break
        digest.update(chunk)
        if use is not None:
            use(chunk)
    if size != entry.size_bytes or digest.hexdigest() != entry.sha256:
        raise IntegrityError(
            f"{container.path}: the member {entry.path!r} is not what the manifest lists: its sha256 differs",
            hint=FETCH_AGAIN,
        )

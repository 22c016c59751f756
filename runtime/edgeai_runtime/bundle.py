"""Opening a bundle: every digest is checked before anybody sees a byte.

A bundle is a zip (`.edge`) or the same layout as a folder. A folder is opened in place. A zip is unpacked once into
the cache, at the digest of its manifest (which holds the digests of all members), so that engines can map files.

On every opening each member is read once: hashed and, in the same pass, compared byte for byte with the unpacked
file. So neither a damaged bundle nor a damaged cache goes unnoticed, at the price of one sha256 over the bundle; a file
that differs is written again. Each file of the cache appears by an atomic rename and only with the right content, so
several processes can open the same bundle at the same moment. What changes a file *after* the check is not noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from edgeai_runtime.bundle_files import Container, begins_like_bundle, open_container, read_manifest_bytes
from edgeai_runtime.bundle_members import check_listing, check_member
from edgeai_runtime.bundle_paths import MANIFEST_NAME
from edgeai_runtime.cache import CACHE_HINT, bundle_folder, cache_folder, remove_leftovers, unfinished_folder
from edgeai_runtime.errors import BundleError, IntegrityError
from edgeai_runtime.manifest import FileEntry, Manifest, Variant
from edgeai_runtime.manifest_checks import GOLDEN_INPUTS, GOLDEN_OUTPUTS, SOURCE_KEY, manifest_files
from edgeai_runtime.manifest_json import parse_manifest
from edgeai_runtime.record import dataclass

if TYPE_CHECKING:
    from edgeai_runtime.bundle_arrays import npz_bytes
    from edgeai_runtime.bundle_verify import Check, verify_bundle
    from edgeai_runtime.bundle_writer import file_entry, write_bundle
    from edgeai_runtime.encryption import Key
    from edgeai_runtime.trust import Trust

#: Names of this module that opening a bundle does not need, and where they are; imported when they are first used.
_ELSEWHERE = {
    "npz_bytes": "bundle_arrays",
    "Check": "bundle_verify",
    "verify_bundle": "bundle_verify",
    "file_entry": "bundle_writer",
    "write_bundle": "bundle_writer",
}

__all__ = ["Bundle", "Check", "file_entry", "is_bundle", "npz_bytes", "open_bundle", "verify_bundle", "write_bundle"]


def __getattr__(name: str) -> object:
    """Import a name that is elsewhere (PEP 562)."""
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"edgeai_runtime.{_ELSEWHERE[name]}"), name)
    globals()[name] = value
    return value


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle whose every member was verified.

    Attributes:
        manifest: what is in it.
        root: the folder that holds the members.
        digest: sha256 (hex) of `manifest.json`; as that holds all digests, it stands for the whole content.
        signed_by: the id of the trusted key that signed it; empty when no signature was checked.
        key: what decrypts its variants, as for `load`.
    """

    manifest: Manifest
    root: Path
    digest: str
    signed_by: str = ""
    key: Key | None = None

    def file(self, entry: FileEntry) -> Path:
        """Return where a member lies."""
        return self.root.joinpath(*entry.path.split("/"))

    def artifact(self, variant: Variant) -> Path:
        """Return what an engine opens of a variant: where it lies; when it is encrypted, decrypted, in memory.

        Raises:
            UsageError, IntegrityError, MissingEngineError: it cannot be decrypted; see `encryption.decrypt_variant`.
        """
        if variant.encryption is None:
            return self.file(variant.files[0])
        from edgeai_runtime.encryption import decrypt_variant

        return decrypt_variant(self, variant, variant.encryption)

    def golden_inputs(self) -> dict[str, Any]:
        """Return the recorded inputs: input name → array [n, …], before pre-processing.

        Raises:
            BundleError: there are none, or an input is missing.
        """
        arrays = self._golden(GOLDEN_INPUTS)
        return {spec.name: _named(arrays, spec.name, GOLDEN_INPUTS) for spec in self.manifest.inputs}

    def golden_outputs(self, key: str) -> dict[str, Any]:
        """Return recorded outputs: output name → array [n, …], before post-processing.

        Args:
            key: `source` for the float source's, or a variant's id for what its own engine gave.

        Raises:
            BundleError: there are none for this key, or an output is missing.
        """
        arrays = self._golden(GOLDEN_OUTPUTS)
        return {spec.name: _named(arrays, f"{key}/{spec.name}", GOLDEN_OUTPUTS) for spec in self.manifest.outputs}

    def labels(self) -> tuple[str, ...]:
        """Return the class names, one per line of the labels file; empty when there is none.

        Raises:
            BundleError: the file is not UTF-8 text.
        """
        if self.manifest.labels is None:
            return ()
        path = self.file(self.manifest.labels)
        try:
            text = path.read_bytes().decode().removeprefix("\ufeff")
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(
                f"{path} is not UTF-8 text: {error}", hint="One class name per line, in UTF-8."
            ) from error
        lines = text.split("\n")
        return tuple(line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines))

    def assets(self) -> dict[str, Path]:
        """Return where the files lie that steps name: asset name → path."""
        return {name: self.file(entry) for name, entry in self.manifest.assets.items()}

    def _golden(self, name: str) -> dict[str, Any]:
        for entry in self.manifest.golden:
            if entry.path == name:
                from edgeai_runtime.bundle_arrays import read_npz

                return read_npz(self.file(entry), where=f"{self.root}/{name}")
        raise BundleError(
            f"the bundle {self.manifest.name!r} has no {name}", hint="Build it again with edgeai compress."
        )


def open_bundle(path: Path, *, cache: Path | None = None, trust: Trust | None = None, digest: str = "") -> Bundle:
    """Open the bundle at `path`, a zip or a folder, after checking that every member is as the manifest says.

    Args:
        path: the `.edge` file or the folder.
        cache: where zips are unpacked; by default `$EDGEAI_CACHE` or the user's cache folder.
        trust: what is demanded of its signature, name and version.
        digest: the only content that is meant (`Bundle.digest`), when it was opened and trusted before.

    Raises:
        SchemaError: written by another version.
        SignatureError: not what `trust` demands.
        IntegrityError: a member is missing, damaged, not listed, or its path escapes.
        BundleError: not a bundle, or a manifest that makes no sense.
        OutputError: the cache, or the history of `trust`, cannot be written.
    """
    path = Path(path)
    with open_container(path) as container:
        content = read_manifest_bytes(container)
        found = hashlib.sha256(content).hexdigest()
        if digest not in ("", found):
            raise IntegrityError(f"{path} changed after it was checked", hint="Do not write to a bundle in use.")
        signed_by = ""
        if trust is not None:
            from edgeai_runtime.signature import check_signature
            from edgeai_runtime.trust import check_policy, remember_version

            signature = check_signature(container, content, trust)
            signed_by = signature.key_id if signature is not None else ""
        manifest = parse_manifest(content, where=f"{path}: {MANIFEST_NAME}")
        if trust is not None:
            check_policy(manifest, signature, trust, where=str(path))
        check_listing(container, manifest)
        if path.is_dir():
            for entry in manifest_files(manifest):
                check_member(container, entry)
            root = path.absolute()
        else:
            root = _unpack(container, manifest, found, cache if cache is not None else cache_folder())
        if trust is not None:
            remember_version(manifest, signature, trust)
        return Bundle(manifest=manifest, root=root, digest=found, signed_by=signed_by)


def is_bundle(path: Path) -> bool:
    """Say whether `path` is a zip or a folder that holds a `manifest.json`; never raises.

    A file that begins like a bundle counts although it is truncated: `open_bundle` says what is wrong with it.
    """
    import zipfile

    path = Path(path)
    try:
        if path.is_dir():
            return (path / MANIFEST_NAME).is_file()
        if not path.is_file():  # reading from a pipe could wait for ever
            return False
        if begins_like_bundle(path):
            return True
        with zipfile.ZipFile(path) as archive:
            return MANIFEST_NAME in archive.namelist()
    except Exception:  # whatever a foreign file makes zipfile raise, the answer is no
        return False


def _unpack(container: Container, manifest: Manifest, digest: str, cache: Path) -> Path:
    root = bundle_folder(cache, digest)
    wrote = False
    for entry in manifest_files(manifest):
        target = root.joinpath(*entry.path.split("/"))
        if _is_unpacked(container, entry, target):
            continue
        from edgeai_runtime.atomic import open_beside

        with open_beside(target, beside=unfinished_folder(cache), hint=CACHE_HINT) as file:
            check_member(container, entry, file.write)
        wrote = True
    if wrote:
        remove_leftovers(cache)
    return root


def _is_unpacked(container: Container, entry: FileEntry, target: Path) -> bool:
    """Check the member and, in the same pass, say whether `target` holds exactly its bytes."""
    try:
        if target.stat().st_size != entry.size_bytes:
            return False
        file = target.open("rb")
    except OSError:
        return False
    with file:
        comparison = _Comparison(file)
        check_member(container, entry, comparison.compare)
    return comparison.equal


class _Comparison:
    """Whether chunks, one after another, equal the content of a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.equal = True

    def compare(self, chunk: bytes) -> None:
        if self.equal:
            self.equal = False
            with contextlib.suppress(OSError):
                self.equal = self._file.read(len(chunk)) == chunk


def _named(arrays: dict[str, Any], key: str, where: str) -> Any:
    if key not in arrays:
        known = sorted({name.partition("/")[0] for name in arrays}) if where == GOLDEN_OUTPUTS else sorted(arrays)
        raise BundleError(
            f"{where} has nothing called {key!r}",
            hint=f"There is: {', '.join(known[:8])}. ({SOURCE_KEY!r} is the float source.)" if known else "",
        )
    return arrays[key]

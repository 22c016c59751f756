"""Copy what was made to the output folder: only what changed, nothing of anybody else's, and nothing stale stays.

The output folder keeps a record, `.edgeai-outputs.json` of `edgeai.toml`: the digests of what was written to it, two
for a file that was being replaced: that of before and that of after. A file that is not in it, or was changed since, is
somebody's own and is not touched without `force`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from edgeai.builder.digests import Digests
from edgeai_runtime.atomic import open_beside, output_error, write_atomically
from edgeai_runtime.errors import OutputError


def deliver(record: Path, folder: str, files: Mapping[str, Path], *, digests: Digests, force: bool = False) -> int:
    """Make `folder` of the output folder hold exactly `files` of ours, and return how many were written.

    Args:
        record: the record of what is ours; it lies in the output folder.
        folder: of the target: `model/target`.
        files: name in the folder (`/` separates) → the file to copy.
        digests: tells which are unchanged.
        force: replace files that somebody else wrote or changed.

    Raises:
        OutputError: a file of somebody else's is in the way, or nothing can be written.
    """
    output, ours = record.parent, _read_record(record)
    wanted = {f"{folder}/{name}": file for name, file in files.items()}
    changed = {}
    for name, file in wanted.items():
        target = output / name
        if not target.is_file():
            changed[name] = file
        elif digests.of(target) != digests.of(file):
            if not force and digests.of(target) not in ours.get(name, "").split():
                hint = "Move it away, or replace it with --force."
                raise OutputError(f"{target} is there and was not written by this build, or changed since.", hint=hint)
            changed[name] = file
    if changed:  # a build that is killed while it copies leaves files of the old and of the new state: both are ours
        begun = ours | {name: f"{ours.get(name, '')} {digests.of(file)}".strip() for name, file in changed.items()}
        _write_record(record, begun)
    for name, file in changed.items():
        with file.open("rb") as source, open_beside(output / name) as copy:
            shutil.copyfileobj(source, copy)
    _remove_stale(output, folder, ours, keep=set(wanted), digests=digests)
    known = {name: digest for name, digest in ours.items() if not name.startswith(f"{folder}/")}
    known |= {name: digests.of(file) for name, file in wanted.items()}
    if changed or known != ours:
        _write_record(record, known)
    return len(changed)


def remove_other_targets(record: Path, targets: Collection[str], *, digests: Digests) -> None:
    """Remove what earlier builds wrote for targets that there are no more; `targets` are `model/target`.

    Raises:
        OutputError: a file cannot be removed.
    """
    ours = _read_record(record)
    gone = {"/".join(name.split("/")[:2]) for name in ours} - set(targets)
    for folder in gone:
        _remove_stale(record.parent, folder, ours, keep=set(), digests=digests)
    if gone:
        known = {name: digest for name, digest in ours.items() if "/".join(name.split("/")[:2]) not in gone}
        _write_record(record, known)


def _remove_stale(output: Path, folder: str, ours: Mapping[str, str], *, keep: set[str], digests: Digests) -> None:
    """Remove what an earlier build wrote and this one does not; changed files stay."""
    for name, digest in ours.items():
        path = output / name
        if name.startswith(f"{folder}/") and name not in keep and path.is_file() and digests.of(path) in digest.split():
            try:
                path.unlink()
                for parent in path.relative_to(output).parents:
                    if parent != Path() and not os.listdir(output / parent):
                        (output / parent).rmdir()
            except OSError as error:
                raise output_error(path, error) from error


def _write_record(record: Path, known: Mapping[str, str]) -> None:
    write_atomically(record, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())


def _read_record(record: Path) -> dict[str, str]:
    try:
        document = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(digest) for name, digest in document.items()} if isinstance(document, dict) else {}

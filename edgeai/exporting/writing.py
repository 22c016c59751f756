"""Writing the files of an export: all or none is refused, each appears whole."""

from __future__ import annotations

from pathlib import Path

from edgeai.exporting.made import Exported, Made
from edgeai_runtime.atomic import output_error, write_atomically
from edgeai_runtime.errors import OutputError


def write_files(made: Made, out: Path, *, force: bool) -> Exported:
    """Write the files below `out`; one whose bytes are there already is left alone, so that builds stay quiet.

    Raises:
        OutputError: a file exists already with other content and `force` is not set, or it cannot be written.
    """
    contents = {out / name: each.encode() if isinstance(each, str) else each for name, each in made.files.items()}
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file.", hint="Name a folder.")
    changed = [path for path, content in contents.items() if not _holds(path, content)]
    there = [path for path in changed if path.exists()]
    if there and not force:
        raise OutputError(f"{there[0]} exists already.", hint="Add --force to overwrite it, or name another folder.")
    for path in changed:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(path.parent, error) from error
        write_atomically(path, contents[path])
    return Exported(files=tuple(contents), notes=made.notes, facts=made.facts)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False

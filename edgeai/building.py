"""`edgeai.build`: every target of an `edgeai.toml`, as the command line builds them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeai.builder.build_result import BuildResult
    from edgeai_converters.progress import OnStep


def build(
    path: str | os.PathLike[str] | None = None,
    *,
    only: str | None = None,
    locked: bool = False,
    force: bool = False,
    dry_run: bool = False,
    on_step: OnStep | None = None,
) -> BuildResult:
    """Build what an `edgeai.toml` asks for and return what became of each target.

    Args:
        path: the file, or the folder that it is in; by default the working folder.
        only: `model` or `model/target`: no other is built.
        locked: replay `edgeai.lock`; never search, never write it.
        force: make every step again, and replace files of others in the output folder.
        dry_run: run nothing and write nothing; say what would be run.
        on_step: progress, called with (done, total, label).

    Returns:
        `.ok` says whether every step was made and every gate holds; `.to_json()` is the document of `edgeai build`.

    Raises:
        UsageError: the file is missing or wrong; a key or a file that it names is not there.

    Example:
        >>> edgeai.build("edgeai.toml", locked=True).ok  # doctest: +SKIP
    """
    from edgeai.builder.config_read import find_config, read_config
    from edgeai.builder.run_build import run_build

    config = read_config(find_config(path))
    return run_build(config, only=only, locked=locked, force=force, dry_run=dry_run, on_step=on_step)

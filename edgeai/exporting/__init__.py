"""Exporting a model to where no Python runs: sources for microcontrollers, Android and iOS.

`c` is a C array with what TensorFlow Lite for Microcontrollers needs around it; `android` and `ios` are the model with
a typed wrapper. What a device's compiler makes (`ethos-u`, `coreml`, …) is asked of `edgeai_devices.compilers`.
Nothing is built here: the files belong into the project of the app.
"""

from __future__ import annotations

import os
from pathlib import Path

from edgeai.exporting.compiled import compile_for_device, compiler_words
from edgeai.exporting.made import Exported
from edgeai.exporting.subject import read_subject
from edgeai.exporting.table import EXPORTERS, Target
from edgeai.exporting.writing import write_files
from edgeai_runtime.errors import UsageError

__all__ = ["Exported", "export"]


def export(
    path: str | os.PathLike[str],
    *,
    to: str,
    out: str | os.PathLike[str],
    device: str | None = None,
    variant: str | None = None,
    force: bool = False,
) -> Exported:
    """Write what is needed to run a model where edgeai's runtime does not run.

    Args:
        path: a bundle or a model file.
        to: `c`, `android` or `ios`; or the name of a device's compiler, such as `ethos-u`.
        out: the folder the files are written to; made when it is not there.
        device: a profile: what its export can run is chosen, and what it has not the memory for is said.
        variant: the id of the bundle's variant; by default the first one that can be exported.
        force: overwrite files of the same name.

    Returns:
        The files, remarks for people, and the facts that a build looks at.

    Raises:
        UsageError: an unknown word for `to`, an unknown device or variant, or a device without this export.
        ModelError: the model cannot run there; says which operator, precision or shape is in the way.
        OutputError: a file exists already, or cannot be written.

    Example:
        >>> edgeai.exporting.export("digits.edge", to="c", out="firmware/model").facts["arena_bytes"]  # doctest: +SKIP
        24576
    """
    from edgeai_devices.catalog import find_profile

    profile = find_profile(device) if device is not None else None
    if to not in EXPORTERS:
        if to in compiler_words():
            return compile_for_device(
                Path(path), compiler=to, profile=profile, out=Path(out), variant=variant, force=force
            )
        raise UsageError(f"Nothing is exported to {to!r}.", hint=_suggest(to))
    exporter = EXPORTERS[to]
    if profile is not None and exporter.name not in profile.exports:
        exports = ", ".join(profile.exports) or "none"
        raise UsageError(f"{profile.name} is no device for {to!r}; its exports: {exports}.")
    subject = read_subject(Path(path), formats=exporter.formats, profile=profile, target=exporter, variant=variant)
    made = exporter.load()(subject, Target(profile=profile))
    return write_files(made, Path(out), force=force)


def _suggest(word: str) -> str:
    from difflib import get_close_matches

    known = (*EXPORTERS, *compiler_words())
    close = get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known)}."

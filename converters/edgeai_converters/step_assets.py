"""From paths to assets: the files that steps name on the desk become members of the bundle."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeai_converters.workfolder import digest_of_path
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.table import OPERATIONS

Steps = Mapping[str, Sequence[Step]]
Named = dict[str, tuple[Step, ...]]


def pack_assets(preprocessing: Steps, postprocessing: Steps) -> tuple[Named, Named, dict[str, Path]]:
    """Return the steps with names of assets in the place of paths, and the assets: name → file.

    The name is the file's, with a number where two files share it. The member is `assets/<name>`.

    Raises:
        UsageError: there is no such file.

    Example:
        >>> pack_assets({"x": [Step(op="softmax")]}, {})
        ({'x': (Step(op='softmax', params={}),)}, {}, {})
    """
    assets: dict[str, Path] = {}
    before, after = (
        {name: tuple(_named(step, assets) for step in steps) for name, steps in given.items()}
        for given in (preprocessing, postprocessing)
    )
    return before, after, assets


def key_of_steps(steps: Steps) -> list[Any]:
    """Return what results of steps depend on, for keys of the work folder: the steps, and the content of their files.

    Raises:
        UsageError: a step names a file that is not there.
    """
    named, _, assets = pack_assets(steps, {})
    return [named, *(digest_of_path(file) for file in assets.values())]


def _named(step: Step, assets: dict[str, Path]) -> Step:
    operation = OPERATIONS.get(step.op)
    params = dict(step.params)
    for parameter in operation.parameters if operation is not None else ():
        if parameter.read is not None and parameter.name in params:
            params[parameter.name] = _asset(Path(params[parameter.name]), step.op, assets)
    return dataclasses.replace(step, params=params)


def _asset(path: Path, operation: str, assets: dict[str, Path]) -> str:
    if not path.is_file():
        raise UsageError(f"{operation!r} names the file {path}, which is not there")
    name, number = path.name, 1
    while assets.get(name, path).resolve() != path.resolve():
        number += 1
        name = f"{path.stem}-{number}{path.suffix}"
    assets[name] = path
    return name

"""Checking a bundle for a report: every check by name, none of them raising.

The digests are those `open_bundle` demands; here one bad member does not hide the next. Beyond them: that the pre- and
post-processing steps are known here, and that the recorded samples are complete. The stages of a pipeline are checked
as the bundles that they are. Nothing is unpacked into the cache.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_runtime.bundle_arrays import read_npz
from edgeai_runtime.bundle_files import Container, open_container, read_manifest_bytes
from edgeai_runtime.bundle_members import check_listing, check_member
from edgeai_runtime.bundle_paths import MANIFEST_NAME
from edgeai_runtime.errors import BundleError, EdgeAIError
from edgeai_runtime.manifest import Manifest, Stage
from edgeai_runtime.manifest_checks import GOLDEN_INPUTS, GOLDEN_OUTPUTS, SOURCE_KEY, manifest_files, stage_folder
from edgeai_runtime.manifest_json import parse_manifest

if TYPE_CHECKING:
    from edgeai_runtime.trust import Trust


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was checked: its name, whether it holds, and what was found."""

    name: str
    ok: bool
    detail: str


def verify_bundle(path: Path, *, trust: Trust | None = None) -> list[Check]:
    """Check everything about the bundle at `path` that can be checked without an engine; a bad bundle never raises.

    The checks are `container`, with `trust` also `signature`, `manifest`, with `trust` also `policy`, `members`, one
    `sha256 <member>` for each, `steps` and, when there are recorded samples, `golden`. The list ends where one of
    `container`, `signature` and `manifest` fails: nothing after them would mean anything.
    """
    path = Path(path)
    checks: list[Check] = []
    try:
        with open_container(path) as container:
            checks.append(Check(name="container", ok=True, detail=f"{len(container.sizes)} members"))
            name = "manifest"
            try:
                content = read_manifest_bytes(container)
                if trust is not None:
                    from edgeai_runtime.signature import check_signature
                    from edgeai_runtime.trust import check_policy

                    name = "signature"
                    signature = check_signature(container, content, trust)
                    detail = f"by the trusted key {signature.key_id}" if signature else "none was asked for"
                    checks.append(Check(name=name, ok=True, detail=detail))
                    name = "manifest"
                manifest = parse_manifest(content, where=MANIFEST_NAME)
            except EdgeAIError as error:
                return [*checks, Check(name=name, ok=False, detail=str(error))]
            checks.append(Check(name="manifest", ok=True, detail=f"{manifest.name} {manifest.version}"))
            if trust is not None:
                policy = functools.partial(check_policy, manifest, signature, trust, where=str(path))
                checks.append(_attempt("policy", policy, "members, name and version as demanded"))
            checks.extend(_check_content(container, manifest))
    except EdgeAIError as error:
        checks.append(Check(name="container", ok=False, detail=str(error)))
    return checks


def _check_content(container: Container, manifest: Manifest) -> list[Check]:
    entries = manifest_files(manifest)
    checks = [_attempt("members", lambda: check_listing(container, manifest), f"{len(entries)} as listed, no others")]
    for entry in entries:
        name = f"sha256 {entry.path}"
        if entry.path in container.sizes:
            checks.append(_attempt(name, functools.partial(check_member, container, entry), entry.sha256))
        else:
            checks.append(Check(name=name, ok=False, detail="the member is missing"))
    checks.append(_attempt("steps", lambda: _check_steps(manifest), "all operations are known here"))
    for stage in manifest.pipeline.stages if manifest.pipeline is not None else ():
        if all(check.ok for check in checks):
            try:
                checks += _check_stage(container, stage)
            except EdgeAIError as error:
                checks.append(Check(name=f"{stage.name}: manifest", ok=False, detail=str(error)))
    if manifest.golden and all(check.ok for check in checks):
        checks.append(_attempt("golden", lambda: _check_golden(container, manifest), "recorded samples are complete"))
    return checks


def _attempt(name: str, check: Callable[[], object], detail: str) -> Check:
    try:
        check()
    except EdgeAIError as error:
        return Check(name=name, ok=False, detail=str(error))
    return Check(name=name, ok=True, detail=detail)


def _check_steps(manifest: Manifest) -> None:
    from edgeai_runtime.transforms.pipeline import check_steps, files_named

    for steps in (*manifest.preprocessing.values(), *manifest.postprocessing.values()):
        check_steps(steps)
        for name in files_named(steps):
            if name not in manifest.assets:
                raise BundleError(f"a step names the file {name!r}, which is not among the assets")


def _check_stage(container: Container, stage: Stage) -> list[Check]:
    """Check a stage as the bundle that it is; its members were checked against the whole bundle's manifest already."""
    inner = _Inside(container, stage_folder(stage))
    manifest = parse_manifest(read_manifest_bytes(inner), where=f"{stage_folder(stage)}{MANIFEST_NAME}")
    return [
        Check(name=f"{stage.name}: {check.name}", ok=check.ok, detail=check.detail)
        for check in _check_content(inner, manifest)
    ]


class _Inside:
    """The members of a container that lie in one of its folders."""

    def __init__(self, container: Container, folder: str) -> None:
        self.path, self._container, self._folder = container.path / folder, container, folder
        self.sizes = {name[len(folder) :]: size for name, size in container.sizes.items() if name.startswith(folder)}

    def chunks(self, name: str) -> Iterator[bytes]:
        return self._container.chunks(self._folder + name)

    def close(self) -> None:
        pass


def _check_golden(container: Container, manifest: Manifest) -> None:
    inputs, outputs = (_read(container, name) for name in (GOLDEN_INPUTS, GOLDEN_OUTPUTS))
    keys = [SOURCE_KEY, *(variant.id for variant in manifest.variants)]
    wanted_inputs = [spec.name for spec in manifest.inputs]
    wanted_outputs = [f"{key}/{spec.name}" for key in keys for spec in manifest.outputs]
    counts: dict[str, int] = {}
    for where, arrays, wanted in ((GOLDEN_INPUTS, inputs, wanted_inputs), (GOLDEN_OUTPUTS, outputs, wanted_outputs)):
        for name in wanted:
            if name not in arrays:
                raise BundleError(f"{where} has nothing called {name!r}")
            if arrays[name].ndim == 0:
                raise BundleError(f"{where}: {name!r} has no axis of samples")
            counts[f"{where}: {name!r}"] = len(arrays[name])
    if len(set(counts.values())) > 1:
        few, many = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        raise BundleError(f"{few} has {counts[few]} samples where {many} has {counts[many]}")


def _read(container: Container, name: str) -> dict[str, Any]:
    return read_npz(io.BytesIO(b"".join(container.chunks(name))), where=f"{container.path}: {name}")

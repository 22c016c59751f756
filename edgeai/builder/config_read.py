"""Read `edgeai.toml`: strict keys, amounts with units, defaults from device profiles. Errors name file and key."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tomllib

from edgeai.builder.config import VERSION, BuildConfig, ModelConfig, TargetConfig
from edgeai.builder.gate_result import Gates
from edgeai.builder.schema import COMPILED, EXPORTED, EXPORTS, FILE_NAME, INSIDE, SCHEMA, TABLES, Key
from edgeai.builder.values import READERS, is_name
from edgeai.cli.options import nearest
from edgeai.cli.quantities import LatencyLimit
from edgeai_converters.spec import DEFAULT_PRECISIONS, Budget, DataSpec
from edgeai_devices.catalog import OWN_FOLDER, find_profile
from edgeai_devices.fit_request import formats_for, precisions_for
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import EdgeAIError, UsageError
from edgeai_runtime.manifest import FORMATS, Format, Precision
from edgeai_runtime.trust import Trust

_Read = TypeVar("_Read")


def read_config(file: Path) -> BuildConfig:
    """Read and check the file; nothing it names is opened but device profiles.

    Raises:
        UsageError: no such file, no TOML, an unknown key (the nearest is offered), a wrong value, an unknown device.
    """
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise UsageError(f"There is no file {file}.", hint="`edgeai init` writes one.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    return parse_config(document, file=file)


def parse_config(document: Mapping[str, Any], *, file: Path) -> BuildConfig:
    """Make the configuration of a document; `file` says where it is from and where relative paths begin."""
    root = file.absolute().parent
    _check_keys(document, INSIDE[""], where=str(file))
    if document.get("schema") != SCHEMA or document.get("schema") is True:
        raise UsageError(
            f"{file}: schema must be {SCHEMA}, the one that this version reads. Received: {document.get('schema')!r}",
            hint=f"Write `schema = {SCHEMA}` as the first line, or install a newer edgeai.",
        )
    project = _read(document, "project", "project", file=file, root=root)
    _check_version(project.get("version", VERSION), f"{file}: project.version")
    models = _tables(document, "models", where=str(file))
    _check_apart(models, f"{file}: models")
    if not models:
        raise UsageError(f"{file}: there is no model.", hint="Name one: [models.NAME] with its source.")
    signing = _read(document, "sign", "sign", file=file, root=root) if "sign" in document else {}
    encrypting = _read(document, "encrypt", "encrypt", file=file, root=root) if "encrypt" in document else {}
    return BuildConfig(
        file=file.absolute(),
        name=project["name"],
        version=project.get("version", VERSION),
        output=project.get("output", root / "build"),
        models=tuple(_read_model(name, models, file=file, root=root) for name in models),
        sign_key=signing.get("key"),
        encrypt_key=encrypting.get("key"),
    )


def _check_version(version: str, where: str) -> None:
    """Refuse a version that no device could hold against its minimum."""
    try:
        Trust(minimum_version=version)
    except EdgeAIError as error:
        message = f"{where} must be numbers with dots: a device may ask for a minimum. Received: {version!r}"
        raise UsageError(message, hint='For example "1.2.0"') from error


def _check_apart(names: Collection[str], where: str) -> None:
    """Refuse names that are one folder where file systems do not tell large letters from small ones."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise UsageError(f"{where}: {other} and {name} would be one folder on macOS and Windows.")


def _read_model(name: str, models: Mapping[str, Any], *, file: Path, root: Path) -> ModelConfig:
    where = f"models.{name}"
    _check_name(name, where, file)
    found = _read(models, name, where, file=file, root=root, table="models.NAME")
    limits = _read(models[name], "budget", f"{where}.budget", file=file, root=root, table="models.NAME.budget")
    targets = _tables(models[name], "targets", where=f"{file}: {where}")
    _check_apart(targets, f"{file}: {where}.targets")
    if not targets:
        raise UsageError(f"{file}: {where} has no target.", hint=f"Name one: [{where}.targets.NAME]")
    samples = {each: found.pop(f"{each}_data", None) for each in ("calibration", "certification")}
    if found.get("threads") == 0:
        raise UsageError(f"{file}: {where}.threads must be 1 or more. Received: 0")
    data = DataSpec(data=found.pop("data", None), training=found.pop("train_data", None), **samples)
    return ModelConfig(
        name=name,
        data=data,
        budget=_budget(limits, f"{file}: {where}.budget"),
        targets=tuple(_read_target(each, targets, where, file=file, root=root) for each in targets),
        **found,
    )


def _read_target(name: str, targets: Mapping[str, Any], of: str, *, file: Path, root: Path) -> TargetConfig:
    where = f"{of}.targets.{name}"
    _check_name(name, where, file)
    found = _read(targets, name, where, file=file, root=root, table="models.NAME.targets.NAME")
    gates = _read(
        targets[name], "gates", f"{where}.gates", file=file, root=root, table="models.NAME.targets.NAME.gates"
    )
    profile = _profile(found["device"], f"{file}: {where}", root) if "device" in found else None
    formats, precisions = found.get("formats"), found.get("precisions")
    if profile is not None:
        formats = _named(lambda: formats_for(profile, found.get("formats")), f"{file}: {where}.formats")
        precisions = precisions_for(profile, precisions)
    outputs = found.get("outputs", ("bundle",))
    formats, precisions = formats or FORMATS, precisions or DEFAULT_PRECISIONS
    if profile is not None:
        _check_outputs(outputs, profile, f"{file}: {where}.outputs")
    _check_sources(outputs, formats, precisions, f"{file}: {where}.outputs")
    return TargetConfig(
        name=name,
        device=profile,
        formats=formats,
        precisions=precisions,
        outputs=outputs,
        gates=_gates(gates, f"{file}: {where}.gates"),
    )


def _profile(device: str, where: str, root: Path) -> Profile:
    return _named(lambda: find_profile(device, root / OWN_FOLDER), f"{where}.device")


def _check_outputs(outputs: tuple[str, ...], profile: Profile, where: str) -> None:
    """Refuse outputs that the device can do nothing with, before anything is searched for it."""
    from edgeai_devices.compilers.table import COMPILERS

    compiled = [spec.export for spec in COMPILERS.values() if spec.name in profile.compilers]
    for output in outputs:
        known = profile.exports if output in EXPORTED else compiled if output in COMPILED else [output]
        if output not in known:
            takes = ", ".join(("bundle", *profile.exports, *compiled))
            raise UsageError(f"{where}: {profile.name} takes {takes}. Received: {output!r}")


def _check_sources(
    outputs: tuple[str, ...], formats: tuple[Format, ...], precisions: tuple[Precision, ...], where: str
) -> None:
    """Refuse outputs that nothing of what the target makes can be turned into."""
    from edgeai_devices.compilers.table import COMPILERS

    compilers = {spec.export: spec for spec in COMPILERS.values()}
    for output in outputs:
        if output in compilers:
            takes: tuple[tuple[str, ...], ...] = (compilers[output].formats,)
        elif output in EXPORTS:
            takes = EXPORTS[output]
        else:
            continue
        for wanted, made in zip(takes, (formats, precisions), strict=False):
            if not set(wanted) & set(made):
                raise UsageError(
                    f"{where}: {output} is made of {' or '.join(wanted)}, and this target makes {', '.join(made)}."
                )


def _named(read: Callable[[], _Read], where: str) -> _Read:
    """Return what `read` returns; its error is told with file and key."""
    try:
        return read()
    except EdgeAIError as error:
        raise UsageError(f"{where}: {error.message}", hint=error.hint) from error


def _budget(found: dict[str, Any], where: str) -> Budget:
    latency: LatencyLimit = found.pop("max_latency", LatencyLimit())
    renamed = {"max_size": "max_size_bytes", "max_memory": "max_memory_mib"}
    limits = {renamed.get(key, key): value for key, value in found.items()}
    return Budget(max_latency_ms=latency.milliseconds, max_latency_ratio=latency.ratio, **limits)


def _gates(found: dict[str, Any], where: str) -> Gates:
    latency: LatencyLimit = found.pop("latency", LatencyLimit())
    for key, other in (("device", "coverage"), ("slower_limit", "not_slower_than")):
        if key in found and other not in found:
            raise UsageError(f"{where}: {key} says more about {other}, which is missing.")
    renamed = {"size": "size_bytes", "memory": "memory_mib", "device": "coverage_device"}
    limits = {renamed.get(key, key): value for key, value in found.items()}
    return Gates(latency_ms=latency.milliseconds, latency_ratio=latency.ratio, **limits)


def _read(
    parent: Mapping[str, Any], name: str, where: str, *, file: Path, root: Path, table: str | None = None
) -> dict[str, Any]:
    """Return the values of a table, those that are given, each read by its kind."""
    kind = table or where
    content = parent.get(name, {})
    if not isinstance(content, dict):
        raise UsageError(f"{file}: {where} must be a table. Received: {content!r}")
    keys = {key.name: key for key in TABLES[kind]}
    _check_keys(content, (*keys, *INSIDE.get(kind, ())), where=f"{file}: {where}")
    for key in keys.values():
        if key.required and key.name not in content:
            raise UsageError(f"{file}: {where}.{key.name} is missing.", hint=f"{key.about} For example {key.example}")
    return {
        name: _value(value, keys[name], where=f"{file}: {where}.{name}", root=root)
        for name, value in content.items()
        if name in keys
    }


def _value(value: Any, key: Key, *, where: str, root: Path) -> Any:
    read: Callable[..., Any] = READERS[key.kind]
    return read(value, key=key, where=where, root=root)


def _tables(parent: Mapping[str, Any], name: str, *, where: str) -> Mapping[str, Any]:
    tables = parent.get(name, {})
    if not isinstance(tables, dict) or not all(isinstance(each, dict) for each in tables.values()):
        raise UsageError(f"{where}: {name} must hold tables, [{name}.NAME]. Received: {tables!r}")
    return tables


def _check_keys(content: Mapping[str, Any], allowed: tuple[str, ...], *, where: str) -> None:
    for key in content:
        if key not in allowed:
            raise UsageError(
                f"{where}: unknown key {key!r}.", hint=nearest(key, allowed) or f"Known: {', '.join(allowed)}"
            )


def _check_name(name: str, where: str, file: Path) -> None:
    if not is_name(name):
        raise UsageError(f"{file}: {where}: a name is made of letters, digits, `-`, `_` and `.`. Received: {name!r}")


def find_config(given: str | os.PathLike[str] | None) -> Path:
    """Return the file to read: the one given, that of a folder given, or `edgeai.toml` here."""
    path = Path(given) if given is not None else Path(FILE_NAME)
    return path / FILE_NAME if path.is_dir() else path

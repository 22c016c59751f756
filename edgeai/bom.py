"""The bill of materials of a bundle: CycloneDX 1.6 (an ML-BOM), by `cyclonedx-python-lib`.

One component for the bundle, one per variant (with its files, its recipe and its source as pedigree, and a model card),
one for the data set, one per tool that made it. Nothing is guessed: no licenses, no authors, no intended use, since a
bundle does not say them; add them to the document. The same bundle gives the same bytes, so there is no time in it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeai.model_card import model_card
from edgeai_converters.require import require
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import FileEntry, Manifest, Provenance, Step, Variant

PREFIX = "edgeai"
"""Of the names of properties, as `edgeai:precision`."""

_SPACE = uuid.UUID("8d2a9d4e-4d53-5f0a-9a53-0f4b8f9b6c11")
"""Serial numbers are made of this and the bundle's digest."""


def bill_of_materials(path: Path) -> dict[str, Any]:
    """Return the CycloneDX document of a bundle, whose digests are checked first.

    Raises:
        UsageError: there is no such file, or it is a bare artifact, which says nothing of where it comes from.
        BundleError: the bundle is damaged.
        MissingEngineError: `cyclonedx-python-lib` is not installed.
    """
    from edgeai_runtime.bundle import is_bundle, open_bundle

    _library("model.bom")
    if not path.exists():
        raise UsageError(f"There is no file {path}.")
    if not is_bundle(path):
        raise UsageError(f"{path} is no bundle: only a bundle says what it was made of.")
    bundle = open_bundle(path)
    manifest = bundle.manifest
    if manifest.pipeline is not None:
        raise UsageError(f"{path} is a pipeline of several models.", hint="Write a bill for the bundle of each stage.")
    document = _document(manifest, bundle.digest)
    _add_cards(document, manifest)
    _validate(document)
    return document


def _document(manifest: Manifest, digest: str) -> dict[str, Any]:
    """Return what the library makes of the components and what depends on what."""
    bom_module, output = _library("model.bom"), _library("output")
    kind = _library("model.component").ComponentType
    whole = _component(
        manifest.name,
        kind.MACHINE_LEARNING_MODEL,
        "bundle",
        version=manifest.version,
        sha256=digest,
        properties={"schema": manifest.schema, "preprocessing": _steps_of(manifest.preprocessing)},
    )
    bom = bom_module.Bom(serial_number=uuid.uuid5(_SPACE, digest))
    bom.metadata.component = whole
    used: dict[str, Any] = {}
    variants = []
    for variant in manifest.variants:
        made_of = _origins(variant.provenance, used) if variant.provenance is not None else []
        made = _variant(manifest, variant)
        variants.append(made)
        bom.components.add(made)
        bom.register_dependency(made, made_of)
    bom.components.update(used.values())
    others = [_file(entry) for entry in (*manifest.golden, manifest.labels, *manifest.assets.values()) if entry]
    bom.components.update(others)
    bom.register_dependency(whole, [*variants, *others])
    schema = _library("schema")
    outputter = output.make_outputter(bom, schema.OutputFormat.JSON, schema.SchemaVersion.V1_6)
    document: dict[str, Any] = json.loads(outputter.output_as_string())
    document["metadata"].pop("timestamp", None)
    return document


def _variant(manifest: Manifest, variant: Variant) -> Any:
    component = _library("model.component")
    properties = {
        "format": variant.format,
        "precision": variant.precision,
        "delegates": ", ".join(variant.delegates),
        **{f"needs:{name}": text for name, text in variant.needs.items()},
        "macs": str(sum(variant.macs.values())) if variant.macs else "",
        "encryption": variant.encryption.method if variant.encryption is not None else "",
    }
    known = variant.provenance
    pedigree = None
    if known is not None:
        for index, step in enumerate(known.recipe):
            properties[f"recipe:{index}"] = _step(step)
        source = _component(
            known.source_name, component.ComponentType.MACHINE_LEARNING_MODEL, "", sha256=known.source_sha256
        )
        pedigree = component.Pedigree(ancestors=[source], notes=" ─ ".join(map(_step, known.recipe)))
    return _component(
        f"{manifest.name}/{variant.id}",
        component.ComponentType.MACHINE_LEARNING_MODEL,
        f"variant/{variant.id}",
        version=manifest.version,
        properties=properties,
        components=[_file(entry) for entry in variant.files],
        pedigree=pedigree,
    )


def _origins(known: Provenance, used: dict[str, Any]) -> list[Any]:
    """Return the data set and the tools that a variant was made with; `used` has those of all variants."""
    component = _library("model.component")
    purl = require("packageurl", extra="bom").PackageURL
    found = []
    if known.data_sha256 is not None:
        reference = data_reference(known.data_sha256)
        used.setdefault(
            reference, _component("data", component.ComponentType.DATA, reference, sha256=known.data_sha256)
        )
        found.append(used[reference])
    for name, version in known.tools.items():
        reference = f"tool/{name}@{version}"
        if reference not in used:
            used[reference] = _component(
                name,
                component.ComponentType.LIBRARY,
                reference,
                version=version,
                purl=purl("pypi", None, name, version),
                scope=component.ComponentScope.EXCLUDED,  # it made the bundle and is not in it
            )
        found.append(used[reference])
    return found


def data_reference(sha256: str) -> str:
    """Return the reference of the data set with this digest."""
    return f"data/{sha256[:16]}"


def _file(entry: FileEntry) -> Any:
    kind = _library("model.component").ComponentType.FILE
    properties = {"size_bytes": str(entry.size_bytes)}
    return _component(entry.path, kind, f"file/{entry.path}", sha256=entry.sha256, properties=properties)


def _component(
    name: str, kind: Any, reference: str, *, sha256: str = "", properties: Mapping[str, str] | None = None, **more: Any
) -> Any:
    model, component = _library("model"), _library("model.component")
    hashes = [model.HashType(alg=model.HashAlgorithm.SHA_256, content=sha256)] if sha256 else []
    told = [model.Property(name=f"{PREFIX}:{key}", value=value) for key, value in (properties or {}).items() if value]
    return component.Component(name=name, type=kind, bom_ref=reference or None, hashes=hashes, properties=told, **more)


def _add_cards(document: dict[str, Any], manifest: Manifest) -> None:
    by_reference = {one["bom-ref"]: one for one in document["components"]}
    for variant in manifest.variants:
        known = variant.provenance
        data = data_reference(known.data_sha256) if known is not None and known.data_sha256 is not None else ""
        by_reference[f"variant/{variant.id}"]["modelCard"] = model_card(
            variant, inputs=manifest.inputs, outputs=manifest.outputs, data=data
        )
        if data:
            contents = {"type": "dataset", "name": "calibration, search, certification and training samples"}
            by_reference[data]["data"] = [contents]


def _validate(document: dict[str, Any]) -> None:
    """Check against the schema, where the library's validator is installed: the cards did not come from it."""
    validator = _library("validation.json").JsonStrictValidator(_library("schema").SchemaVersion.V1_6)
    try:
        found = validator.validate_str(json.dumps(document))
    except _library("exception").MissingOptionalDependencyException:
        return
    assert found is None, f"a document that the schema of CycloneDX refuses: {found}"


def _steps_of(steps: Mapping[str, tuple[Step, ...]]) -> str:
    return "; ".join(f"{name}: {', '.join(map(_step, each))}" for name, each in steps.items() if each)


def _step(step: Step) -> str:
    return f"{step.op}({', '.join(f'{name}={value}' for name, value in step.params.items())})"


def _library(module: str) -> Any:
    return require(f"cyclonedx.{module}", extra="bom")

"""Put name, version, labels and compilers' reports into what `compress` made, and write one `.edge` file: no engine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from edgeai.builder.labels import read_labels
from edgeai.builder.make_compress import BUNDLE
from edgeai.builder.make_export import FACTS
from edgeai.builder.steps import Making

_LABELS = "labels.txt"


def make(making: Making) -> None:
    """Write `MODEL.edge`.

    Raises:
        UsageError: the labels cannot be read, or are not as many as the model has classes.
    """
    from edgeai_runtime.bundle_paths import MANIFEST_NAME
    from edgeai_runtime.bundle_writer import file_entry, write_bundle
    from edgeai_runtime.manifest_checks import manifest_files
    from edgeai_runtime.manifest_json import parse_manifest

    folder = making.made["compress"] / BUNDLE
    file = folder / MANIFEST_NAME
    version = making.config.version
    manifest = replace(parse_manifest(file.read_bytes(), where=str(file)), name=making.model.name, version=version)
    compiled = {
        name.partition(":")[2]: json.loads((making.made[name] / FACTS).read_text(encoding="utf-8"))
        for name in sorted(making.made)
        if name.startswith("compile:")
    }
    if compiled:
        manifest = replace(manifest, metadata={**manifest.metadata, "compiled": compiled})
    given: dict[str, Path | bytes] = {}
    if making.model.labels is not None:
        given[_LABELS] = "".join(f"{name}\n" for name in read_labels(making.model.labels, manifest.outputs)).encode()
        manifest = replace(manifest, labels=file_entry(_LABELS, given[_LABELS]))
    members = {entry.path: given.get(entry.path, folder / entry.path) for entry in manifest_files(manifest)}
    write_bundle(making.folder / bundle_name(making.model.name), manifest, members)


def bundle_name(model: str) -> str:
    """Return the file name of a model's bundle."""
    return f"{model}.edge"

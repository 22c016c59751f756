"""Have a target's best variant compiled for its device's accelerator; the report goes into the bundle's manifest."""

from __future__ import annotations

from edgeai.builder.make_compress import BUNDLE
from edgeai.builder.make_export import FACTS, FILES
from edgeai.builder.steps import Making
from edgeai_runtime.errors import ModelError


def make(making: Making) -> None:
    """Fill `files` with what the compiler made, and write its report.

    Raises:
        ModelError: no variant is of a format that the compiler reads, or it refuses the model.
        MissingEngineError: the compiler is not installed.
        UsageError: the device has no accelerator for it.
    """
    from edgeai.cli.output import json_text
    from edgeai_devices.compilers.table import compile_artifact, find_compiler
    from edgeai_runtime.bundle_paths import MANIFEST_NAME
    from edgeai_runtime.manifest_json import parse_manifest

    output = making.step.settings["to"]
    spec = find_compiler(output)
    folder = making.made["compress"] / BUNDLE
    manifest = parse_manifest((folder / MANIFEST_NAME).read_bytes(), where=str(folder))
    variant = next((one for one in manifest.variants if one.format in spec.formats), None)
    if variant is None:
        formats = ", ".join(str(format) for format in spec.formats)
        made = ", ".join(one.id for one in manifest.variants)
        raise ModelError(
            f"{spec.title} reads {formats}, and no variant is of that format: {made}.",
            hint="Name the format in the target's `formats`.",
        )
    compiled = compile_artifact(
        folder / variant.files[0].path,
        compiler=output,
        profile=making.target.device,
        out=making.folder / FILES,
        on_step=making.on_step,
    )
    report = {"variant": variant.id, **compiled.report.to_json(), "notes": list(compiled.notes)}
    (making.folder / FACTS).write_text(json_text(report), encoding="utf-8")

"""Have a target's best variant compiled for its device's accelerator; the report goes into the bundle's manifest."""

from __future__ import annotations

from edgeai.builder.make_compress import BUNDLE
from edgeai.builder.make_export import FACTS, FILES
from edgeai.builder.steps import Making


def make(making: Making) -> None:
    """Fill `files` with what the compiler made, and write its report.

    Raises:
        ModelError: no variant is of a format that the compiler reads, or it refuses the model.
        MissingEngineError: the compiler is not installed.
        UsageError: the device has no accelerator for it.
    """
    from edgeai.cli.output import json_text
    from edgeai.compiling import choose_variant, compile_for
    from edgeai_devices.compilers.table import find_compiler
    from edgeai_runtime.bundle import open_bundle

    output, device = making.step.settings["to"], making.target.device
    folder = making.made["compress"] / BUNDLE
    variant = choose_variant(open_bundle(folder), find_compiler(output), device, None)
    compiled = compile_for(
        folder,
        compiler=output,
        profile=device,
        out=making.folder / FILES,
        variant=variant.id,
        on_step=making.on_step,
    )
    report = {"variant": variant.id, **compiled.report.to_json(), "notes": list(compiled.notes)}
    (making.folder / FACTS).write_text(json_text(report), encoding="utf-8")

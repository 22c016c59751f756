"""Make what goes into the sources of an app: the folder `files`, and what was said of it in `facts.json`."""

from __future__ import annotations

from edgeai.builder.steps import Making

FILES = "files"
FACTS = "facts.json"


def make(making: Making) -> None:
    """Fill `files` with what is copied to the target's output folder.

    Raises:
        ModelError: no variant can be exported; says what is in the way.
        UsageError: the device has no such export.
    """
    from edgeai.builder.make_bundle import bundle_name
    from edgeai.cli.output import json_text
    from edgeai.exporting import export

    device = making.target.device
    made = export(
        making.made["bundle"] / bundle_name(making.model.name),
        to=making.step.settings["to"],
        out=making.folder / FILES,
        device=device.id if device else None,
    )
    (making.folder / FACTS).write_text(json_text({**made.facts, "notes": list(made.notes)}), encoding="utf-8")

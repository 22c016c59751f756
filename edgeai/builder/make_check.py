"""Hold the bundle against the target's device: operators, shapes, flash, memory, before it ever gets there."""

from __future__ import annotations

from edgeai.builder.make_bundle import bundle_name
from edgeai.builder.steps import Making

CHECK = "check.json"


def make(making: Making) -> None:
    """Write the document of `edgeai check`."""
    from edgeai.checking import check
    from edgeai.cli.output import json_text
    from edgeai_devices.catalog import OWN_FOLDER

    assert making.target.device is not None
    bundle = making.made["bundle"] / bundle_name(making.model.name)
    found = check(bundle, making.target.device.id, own=making.config.root / OWN_FOLDER)
    (making.folder / CHECK).write_text(json_text(found.to_json()), encoding="utf-8")

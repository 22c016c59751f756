"""Make what a target asks for beside the bundle: sources for an app, files of a device's compiler."""

from __future__ import annotations

from edgeai.builder.steps import Making
from edgeai_runtime.errors import ModelError


def make(making: Making) -> None:
    """Fill the folder with what is copied to the target's output folder.

    Raises:
        ModelError: the output can not be made.
    """
    output = making.step.settings["to"]
    raise ModelError(f"The output {output!r} can not be made by this version.", hint="Leave it out of `outputs`.")

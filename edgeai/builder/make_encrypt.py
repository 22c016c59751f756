"""Encrypt the variants of a target's bundle."""

from __future__ import annotations

from edgeai.builder.steps import Making
from edgeai_runtime.errors import ModelError


def make(making: Making) -> None:
    """Write the encrypted `MODEL.edge`.

    Raises:
        ModelError: this version can not encrypt.
    """
    raise ModelError("[encrypt]: this version can not encrypt bundles.", hint="Leave [encrypt] out.")

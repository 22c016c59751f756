"""Encrypt the variants of a target's bundle; the same for the same bytes and key, so that a build stays repeatable."""

from __future__ import annotations

from edgeai.builder.make_bundle import bundle_name
from edgeai.builder.secrets_read import read_secret
from edgeai.builder.steps import Making


def make(making: Making) -> None:
    """Write the encrypted `MODEL.edge`.

    Raises:
        UsageError: the key is none.
        MissingEngineError: `cryptography` is not installed.
    """
    from edgeai.encrypting import encrypt_bundle

    assert making.config.encrypt_key is not None
    name = bundle_name(making.model.name)
    encrypt_bundle(
        making.made["bundle"] / name,
        key=read_secret(making.config.encrypt_key, making.config.root),
        output=making.folder / name,
        reproducible=True,
    )

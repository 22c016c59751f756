"""Sign the bundle of a target; the signature is the same for the same bytes and key."""

from __future__ import annotations

import os

from edgeai.builder.make_bundle import bundle_name
from edgeai.builder.secrets_read import read_secret
from edgeai.builder.steps import Making

PASSWORD_VARIABLE = "EDGEAI_KEY_PASSWORD"


def make(making: Making) -> None:
    """Write the signed `MODEL.edge`.

    Raises:
        UsageError: the key or its password is wrong.
        MissingEngineError: `cryptography` is not installed.
    """
    from edgeai.signing import sign_bundle

    assert making.config.sign_key is not None
    (source,) = making.made.values()
    name = bundle_name(making.model.name)
    sign_bundle(
        source / name,
        key=read_secret(making.config.sign_key, making.config.root),
        password=os.environ.get(PASSWORD_VARIABLE),
        output=making.folder / name,
    )

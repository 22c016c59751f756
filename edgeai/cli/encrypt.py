"""`edgeai encrypt`: write a bundle again with its variants encrypted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from edgeai.cli import options


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle: an .edge file or its folder.")],
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", help="File of the key: 32 bytes or 64 hexadecimal digits. Default: $EDGEAI_DECRYPTION_KEY."
        ),
    ] = None,
    new_key: Annotated[
        Path | None, typer.Option("--new-key", help="Draw a key, write it to this file, and encrypt with it.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The encrypted bundle. Default: BUNDLE with .encrypted.edge.")
    ] = None,
    reproducible: Annotated[
        bool,
        typer.Option(
            "--reproducible", help="The same bundle and key give the same bytes; equal variants can then be recognized."
        ),
    ] = False,
    force: options.Force = False,
    json: options.Json = False,
) -> int:
    """Encrypt every variant; the rest of the bundle stays readable. Sign it afterwards."""
    from edgeai.cli import output as out
    from edgeai.encrypting import encrypt_bundle, generate_key
    from edgeai_runtime.encryption import KEY_VARIABLE
    from edgeai_runtime.errors import UsageError

    out.require_file(bundle)
    target = output if output is not None else bundle.with_suffix(".encrypted.edge")
    out.require_free(target, force=force)
    if (key is None) == (new_key is None) and not (key is None and os.environ.get(KEY_VARIABLE)):
        raise UsageError("encrypt takes exactly one key", hint=f"--key FILE, --new-key FILE, or ${KEY_VARIABLE}.")
    if new_key is not None:
        generate_key(new_key)
    used = new_key or key or os.environ[KEY_VARIABLE]
    made = encrypt_bundle(bundle, key=used, output=target, reproducible=reproducible, force=force)
    if json:
        out.print_json({"bundle": made.bundle, "key_id": made.key_id, "variants": list(made.variants)})
        return 0
    names = ", ".join(made.variants)
    typer.echo(f"{made.bundle}: encrypted with the key {made.key_id[:16]}…: {names}")
    if new_key is not None:
        typer.echo(f"{new_key}: the key; without it nobody can run the bundle, and with it everybody can")
    return 0

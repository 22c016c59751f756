"""`edgeai sign`: put a signature over all members into a bundle."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from edgeai.cli import options
from edgeai.cli.keygen import PASSWORD_VARIABLE


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle: an .edge file or its folder.")],
    key: Annotated[
        Path, typer.Option("--key", help=f"The private key; its password is asked for, or ${PASSWORD_VARIABLE}.")
    ],
    bundle_version: Annotated[
        str | None,
        typer.Option(help="Write this version into the bundle first, such as 2.1; devices can ask for a minimum."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The signed bundle. Default: BUNDLE gets the signature.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a file that exists, or the signature of BUNDLE.")
    ] = False,
    json: options.Json = False,
) -> int:
    """Check every digest, then sign: nothing else in the bundle changes."""
    from edgeai.cli import output as out
    from edgeai.signing import is_encrypted, sign_bundle

    for file in (bundle, key):
        out.require_file(file)
    if output is not None:
        out.require_free(output, force=force)
    password = os.environ.get(PASSWORD_VARIABLE)
    if not password and sys.stdin.isatty() and is_encrypted(key):
        password = typer.prompt("password", hide_input=True, err=True)
    signed = sign_bundle(bundle, key=key, password=password, version=bundle_version, output=output, force=force)
    if json:
        out.print_json({"bundle": signed.bundle, "key_id": signed.key_id, "members": list(signed.members)})
        return 0
    typer.echo(f"{signed.bundle}: {len(signed.members)} members signed with the key {signed.key_id[:16]}…")
    return 0

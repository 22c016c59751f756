"""`edgeai keygen`: a pair of keys to sign bundles with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from edgeai.cli import options

PASSWORD_VARIABLE = "EDGEAI_KEY_PASSWORD"


def command(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The private key; the public one goes beside it, as .pub.")
    ] = Path("edgeai.key"),
    algorithm: Annotated[
        str, typer.Option(help="ed25519, or ecdsa-p256, which the package model-signing takes too.")
    ] = "ed25519",
    password: Annotated[
        bool, typer.Option("--password", help=f"Encrypt the private key: asks, or takes ${PASSWORD_VARIABLE}.")
    ] = False,
    force: options.Force = False,
    json: options.Json = False,
) -> int:
    """Make a private key for signing and the public key that devices get."""
    from edgeai.cli import output as out
    from edgeai.signing import ALGORITHMS, generate_keys

    kind = options.choice(algorithm, ALGORITHMS, option="--algorithm")
    out.require_free(output, force=force)
    secret = os.environ.get(PASSWORD_VARIABLE) or None
    if password and secret is None:
        secret = typer.prompt("password", hide_input=True, confirmation_prompt=True, err=True)
    keys = generate_keys(output, algorithm=kind, password=secret, force=force)
    if json:
        out.print_json(
            {
                "private": keys.private,
                "public": keys.public,
                "algorithm": keys.algorithm,
                "key_id": keys.key_id,
                "encrypted": secret is not None,
            }
        )
        return 0
    typer.echo(f"{keys.private}: the private key, {'encrypted' if secret else 'NOT encrypted'}: keep it to yourself")
    typer.echo(f"{keys.public}: the public key, for devices; its id is {keys.key_id[:16]}…")
    return 0

"""`edgeai verify`: is this bundle whole, is every byte the one that was written, and does it compute the same here?"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from edgeai.cli import options


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle: an .edge file or its folder.")],
    no_run: Annotated[bool, typer.Option("--no-run", help="Check the files only, run nothing.")] = False,
    key: Annotated[
        list[Path] | None, typer.Option("--key", help="A public key that must have signed it; may be repeated.")
    ] = None,
    minimum_version: Annotated[str | None, typer.Option(help="The oldest version that will do, such as 2.1.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Forget what failed before, and try it again.")] = False,
    threads: options.Threads = 1,
    json: options.Json = False,
) -> int:
    """Check signature, manifest, paths and the digest of every file, then run the golden inputs on this machine.

    They run in child processes, as on a device, on every delegate that the bundle names. Of a variant, one delegate
    that gives the right numbers is enough.
    """
    from edgeai.cli import output as out
    from edgeai_runtime.bundle import verify_bundle
    from edgeai_runtime.trust import Trust, trust_here

    for file in (bundle, *(key or ())):
        out.require_file(file)
    trust = trust_here(keys=key or (), minimum_version=minimum_version)
    demanded = trust if trust != Trust() else None
    checks = list(verify_bundle(bundle, trust=demanded))
    ok = bool(checks) and all(check.ok for check in checks)
    quarantine: list[dict[str, str]] = []
    if ok and not no_run:
        from edgeai_runtime.device_cli_checks import check_delegates, quarantine_list

        trust = dataclasses.replace(trust, history=None)  # to look at an update is not to have used it
        found = check_delegates(bundle, threads=threads, retry=retry, trust=trust)
        ok, checks, quarantine = found.ok, [*checks, *found.checks], quarantine_list(bundle)
    if json:
        listed = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks]
        out.print_json({"ok": ok, "checks": listed, "quarantine": quarantine})
        return 0 if ok else 1
    for check in checks:
        typer.echo(f"{'ok    ' if check.ok else 'FAILED'} {check.name}{f': {check.detail}' if check.detail else ''}")
    typer.echo(f"{bundle}: {'whole and unchanged' if ok else 'NOT to be trusted'}")
    return 0 if ok else 1

"""`edgeai verify`: is this bundle whole, is every byte the one that was written, and does it compute the same here?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai.cli import options


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle: an .edge file or its folder.")],
    no_run: Annotated[bool, typer.Option("--no-run", help="Check the files only, run nothing.")] = False,
    threads: options.Threads = 1,
    json: options.Json = False,
) -> int:
    """Check manifest, paths and the digest of every file, then run the golden inputs on this machine."""
    from edgeai.cli import output as out
    from edgeai_runtime.bundle import verify_bundle

    out.require_file(bundle)
    checks = list(verify_bundle(bundle))
    if not no_run and checks and all(check.ok for check in checks):
        from edgeai_runtime.selfcheck import check_golden

        checks += check_golden(bundle, threads=threads)
    ok = bool(checks) and all(check.ok for check in checks)
    if json:
        listed = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks]
        out.print_json({"ok": ok, "checks": listed})
        return 0 if ok else 1
    for check in checks:
        typer.echo(f"{'ok    ' if check.ok else 'FAILED'} {check.name}{f': {check.detail}' if check.detail else ''}")
    typer.echo(f"{bundle}: {'whole and unchanged' if ok else 'NOT to be trusted'}")
    return 0 if ok else 1

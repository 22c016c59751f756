"""`python -m edgeai_runtime verify`: check a bundle's digests, then run its golden inputs on this machine."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any


def add_parser(verbs: Any) -> None:
    """Add the verb and its options."""
    parser = verbs.add_parser("verify", help="check a bundle and what it computes here")
    parser.add_argument("bundle", type=Path, help="a bundle: an .edge file or a folder")
    parser.add_argument("--no-run", action="store_true", help="check the files only, run nothing")
    parser.add_argument("--threads", type=int, metavar="N", help="most threads of the engine")
    parser.set_defaults(work=verify)


def verify(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Return the document `{ok, checks: [{name, ok, detail}]}` and exit code 0, or 1 when a check failed."""
    from edgeai_runtime.bundle_verify import verify_bundle

    checks = verify_bundle(options.bundle)
    if not options.no_run and all(check.ok for check in checks):
        from edgeai_runtime.selfcheck import check_golden

        checks += check_golden(options.bundle, threads=options.threads)
    ok = all(check.ok for check in checks)
    return {"ok": ok, "checks": [dataclasses.asdict(check) for check in checks]}, 0 if ok else 1

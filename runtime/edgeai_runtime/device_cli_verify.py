"""`python -m edgeai_runtime verify`: check a bundle's digests, then what it computes on this machine's delegates."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from edgeai_runtime.device_cli_checks import check_delegates, quarantine_list


def add_parser(verbs: Any) -> None:
    """Add the verb and its options."""
    parser = verbs.add_parser("verify", help="check a bundle and what it computes here")
    parser.add_argument("bundle", type=Path, help="a bundle: an .edge file or a folder")
    parser.add_argument("--no-run", action="store_true", help="check the files only, run nothing")
    parser.add_argument("--retry", action="store_true", help="forget what failed before, and try it again")
    parser.add_argument("--key", action="append", default=[], metavar="PUB", help="public key that must have signed it")
    parser.add_argument("--minimum-version", metavar="V", help="the oldest version that will do")
    parser.add_argument("--threads", type=int, metavar="N", help="most threads of the engine")
    parser.set_defaults(work=verify)


def verify(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Return `{ok, checks: [{name, ok, detail}], quarantine}` and exit code 0, or 1 when a check failed.

    Checks `golden <variant> on <delegate>` ran in child processes. Of a variant, one delegate that gives the right
    numbers is enough for `ok`; the others are listed as they are, and in quarantine.
    """
    from edgeai_runtime.bundle_verify import verify_bundle
    from edgeai_runtime.trust import Trust, trust_here

    trust = trust_here(keys=options.key, minimum_version=options.minimum_version)
    checks = verify_bundle(options.bundle, trust=trust if trust != Trust() else None)
    ok = all(check.ok for check in checks)
    document: dict[str, Any] = {"ok": ok, "checks": [dataclasses.asdict(check) for check in checks], "quarantine": []}
    if ok and not options.no_run:
        trust = dataclasses.replace(trust, history=None)  # to look at an update is not to have used it
        found = check_delegates(options.bundle, threads=options.threads, retry=options.retry, trust=trust)
        document["ok"] = found.ok
        document["checks"] += [dataclasses.asdict(check) for check in found.checks]
        document["quarantine"] = quarantine_list(options.bundle)
    return document, 0 if document["ok"] else 1

"""`python -m edgeai_runtime warm`: do at install time what the first start would have to wait for."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_runtime.device_cli_checks import attempts_document, check_delegates, quarantine_list, stage_folders
from edgeai_runtime.device_cli_placement import add_placement_options, read_placement, read_threads
from edgeai_runtime.errors import EdgeAIError

if TYPE_CHECKING:
    from edgeai_runtime.model import Model


def add_parser(verbs: Any) -> None:
    """Add the verb and its options."""
    parser = verbs.add_parser("warm", help="check and time a bundle's delegates now, so that later starts need not")
    parser.add_argument("bundle", type=Path, help="a bundle: an .edge file or a folder")
    parser.add_argument("--retry", action="store_true", help="forget what failed or was measured before")
    parser.add_argument("--budget", type=float, metavar="S", help="seconds of measuring for --prefer fastest")
    add_placement_options(parser)
    parser.set_defaults(work=warm)


def warm(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Return `{ok, checks, quarantine, placement: {delegate, threads, attempts, measured}}`; exit code 1 if not `ok`.

    Give the same placement options as the app will: what is measured is kept for exactly these.
    """
    from edgeai_runtime.autotune import BUDGET_VARIABLE, forget_measurements
    from edgeai_runtime.bundle import open_bundle
    from edgeai_runtime.compiled_cache import enable, forget
    from edgeai_runtime.loading import load

    if options.budget is not None:
        os.environ[BUDGET_VARIABLE] = str(options.budget)
    asked, threads = read_placement(options), read_threads(options)
    most = None if threads == "auto" else threads
    found = check_delegates(options.bundle, placement=asked, threads=most, retry=options.retry)
    document: dict[str, Any] = {
        "ok": found.ok,
        "checks": [dataclasses.asdict(check) for check in found.checks],
        "quarantine": quarantine_list(options.bundle),
        "placement": None,
    }
    bundle = open_bundle(options.bundle)
    for path in [options.bundle, *(folder for _, folder in stage_folders(bundle))]:
        enable(open_bundle(path).digest)
        if options.retry:
            forget_measurements(path)
            forget(open_bundle(path).digest)
    try:
        with load(options.bundle, placement=asked, threads=threads) as model:
            document["placement"] = _placement(model)
    except EdgeAIError as error:
        document["ok"] = False
        document["checks"].append({"name": "load", "ok": False, "detail": error.message})
    return document, 0 if document["ok"] else 1


def _placement(model: Model) -> dict[str, Any]:
    report = model.placement
    return {
        "delegate": report.delegate,
        "variant": model.variant.id if model.variant else None,
        "threads": model.threads,
        "attempts": attempts_document(report.attempts),
        "measured": [dataclasses.asdict(timing) for timing in report.measured],
    }

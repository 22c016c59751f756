"""`python -m edgeai_runtime devices`: this machine, its engines, and the delegates that can be used."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any


def add_parser(verbs: Any) -> None:
    """Add the verb; it has no options of its own."""
    parser = verbs.add_parser("devices", help="say which engines and delegates are here")
    parser.set_defaults(work=devices)


def devices(_: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Return the document `{machine, engines, delegates}` and exit code 0."""
    from edgeai_runtime.bench.machine import describe_machine
    from edgeai_runtime.delegates.table import DELEGATES
    from edgeai_runtime.engines.table import FORMAT_ENGINES, get_engine

    found = {name: get_engine(name).info() for name in FORMAT_ENGINES.values()}
    engines = [{"name": name, **dataclasses.asdict(info)} for name, info in found.items()]
    delegates = [
        {**dataclasses.asdict(spec), "available": found[spec.engine].present, "reason": found[spec.engine].reason}
        for spec in DELEGATES.values()
    ]
    return {"machine": describe_machine(), "engines": engines, "delegates": delegates}, 0

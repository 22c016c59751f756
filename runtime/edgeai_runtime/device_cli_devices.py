"""`python -m edgeai_runtime devices`: this machine, its engines, and the delegates that can be used."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any


def add_parser(verbs: Any) -> None:
    """Add the verb; it has no options of its own."""
    parser = verbs.add_parser("devices", help="say which engines and delegates are here, and why the others are not")
    parser.set_defaults(work=devices)


def devices(_: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Return the document `{machine, engines, delegates}` and exit code 0."""
    from edgeai_runtime.bench.machine import describe_machine
    from edgeai_runtime.delegates.probe import probe
    from edgeai_runtime.delegates.table import DELEGATES
    from edgeai_runtime.engines.table import FORMAT_ENGINES, get_engine

    engines = [{"name": name, **dataclasses.asdict(get_engine(name).info())} for name in FORMAT_ENGINES.values()]
    delegates = []
    for name, spec in DELEGATES.items():
        facts: dict[str, Any] = dataclasses.asdict(spec)
        facts["options"] = {option: about._asdict() for option, about in spec.options.items()}
        del facts["probe"]
        delegates.append({**facts, **dataclasses.asdict(probe(name))})
    return {"machine": describe_machine(), "engines": engines, "delegates": delegates}, 0

"""The options of the device's command line that say where a model runs."""

from __future__ import annotations

import argparse
from typing import Literal

from edgeai_runtime.errors import UsageError
from edgeai_runtime.placement import Placement


def add_placement_options(parser: argparse.ArgumentParser) -> None:
    """Add `--require`, `--prefer`, `--allow`, `--min-coverage`, `--option` and `--threads`."""
    group = parser.add_argument_group("placement")
    group.add_argument(
        "--require", metavar="DEVICE", help="fail unless this device or delegate is used (npu, gpu, cpu)"
    )
    group.add_argument("--prefer", metavar="A,B", help="devices or delegates in order (npu,gpu,cpu), or: fastest")
    group.add_argument("--allow", metavar="A,B", help="nothing else may run any operation")
    group.add_argument(
        "--min-coverage", type=float, default=0.0, metavar="SHARE", help="least share of operations, 0 to 1"
    )
    group.add_argument(
        "--min-mac-coverage", type=float, default=0.0, metavar="SHARE", help="the same of multiply-accumulates"
    )
    group.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="DELEGATE.NAME=VALUE",
        help="an option of a delegate's engine: openvino:cpu.PERF_COUNT=YES",
    )
    parser.add_argument("--threads", metavar="N", help="most threads of the engine, or: auto (measured)")


def read_threads(options: argparse.Namespace) -> int | Literal["auto"] | None:
    """Return the number of threads that the options ask for.

    Raises:
        UsageError: it is neither a number nor `auto`.
    """
    if options.threads is None or options.threads == "auto":
        return options.threads  # type: ignore[no-any-return]
    try:
        return int(options.threads)
    except ValueError:
        raise UsageError(f"--threads is a number, or auto. Received: {options.threads!r}") from None


def read_placement(options: argparse.Namespace) -> Placement:
    """Return the placement that the options ask for."""
    words = Placement()
    return Placement(
        require=options.require,
        prefer=tuple(options.prefer.split(",")) if options.prefer else words.prefer,
        allow=tuple(options.allow.split(",")) if options.allow else None,
        min_coverage=options.min_coverage,
        min_mac_coverage=options.min_mac_coverage,
        options=_read_options(options.option),
    )


def _read_options(texts: list[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        where, equals, value = text.partition("=")
        delegate, dot, name = where.partition(".")
        if not (equals and dot and name and ":" in delegate):
            raise UsageError(f"--option is DELEGATE.NAME=VALUE. Received: {text!r}")
        found.setdefault(delegate, {})[name] = value
    return found

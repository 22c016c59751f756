"""The options of the device's command line that say where a model runs."""

from __future__ import annotations

import argparse

from edgeai_runtime.placement import Placement


def add_placement_options(parser: argparse.ArgumentParser) -> None:
    """Add `--require`, `--prefer`, `--allow`, `--min-coverage` and `--threads`."""
    group = parser.add_argument_group("placement")
    group.add_argument(
        "--require", metavar="DEVICE", help="fail unless this device or delegate is used (npu, gpu, cpu)"
    )
    group.add_argument("--prefer", metavar="A,B", help="devices or delegates in order of preference (npu,gpu,cpu)")
    group.add_argument("--allow", metavar="A,B", help="nothing else may run any operation")
    group.add_argument(
        "--min-coverage", type=float, default=0.0, metavar="SHARE", help="least share of operations, 0 to 1"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="most threads of the engine")


def read_placement(options: argparse.Namespace) -> Placement:
    """Return the placement that the options ask for."""
    words = Placement()
    return Placement(
        require=options.require,
        prefer=tuple(options.prefer.split(",")) if options.prefer else words.prefer,
        allow=tuple(options.allow.split(",")) if options.allow else None,
        min_coverage=options.min_coverage,
    )

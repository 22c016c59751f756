"""`python -m edgeai_runtime run`: run a bundle or artifact once and show what came out."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from edgeai_runtime.device_cli_checks import attempts_document
from edgeai_runtime.device_cli_inputs import read_inputs
from edgeai_runtime.device_cli_placement import add_placement_options, read_placement, read_threads


def add_parser(verbs: Any) -> None:
    """Add the verb and its options."""
    parser = verbs.add_parser("run", help="run a model once")
    parser.add_argument("model", type=Path, help="a bundle (.edge) or a .tflite, .onnx or .xml file")
    parser.add_argument(
        "--input", type=Path, required=True, metavar="FILE", help=".npy, or .npz with arrays by input name"
    )
    parser.add_argument("--variant", metavar="ID", help="the only variant to try")
    parser.add_argument(
        "--selfcheck",
        choices=("auto", "always", "never"),
        default="auto",
        help="check delegates before their first use",
    )
    add_placement_options(parser)
    parser.set_defaults(work=run)


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Return the document `{outputs, placement, attempts, threads, variant, latency_ms}` and exit code 0."""
    from edgeai_runtime.loading import load

    with load(
        options.model,
        placement=read_placement(options),
        threads=read_threads(options),
        variant=options.variant,
        selfcheck=options.selfcheck,
    ) as model:
        x = read_inputs(options.input, [spec.name for spec in model.inputs])
        start = time.perf_counter()
        result = model(x)
        latency_ms = (time.perf_counter() - start) * 1e3
        outputs = result if isinstance(result, dict) else {model.outputs[0].name: result}
        shares: dict[str, Any] = {str(device): share for device, share in model.placement.shares().items()}
        document = {
            "outputs": {name: value.tolist() if hasattr(value, "tolist") else value for name, value in outputs.items()},
            "placement": {**shares, "delegate": model.placement.delegate},
            "attempts": attempts_document(model.placement.attempts),
            "threads": model.threads,
            "variant": model.variant.id if model.variant else None,
            "latency_ms": latency_ms,
        }
    return document, 0

"""`edgeai run`: one input through a bundle or model, with the runtime that the device has."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeai.cli import options


def command(
    model: Annotated[
        Path, typer.Argument(metavar="BUNDLE|MODEL", help="A bundle, or a .tflite, .onnx or OpenVINO .xml model.")
    ],
    input_path: Annotated[Path, typer.Option("--input", help="A .npy, a .npz with one array per input, or an image.")],
    variant: Annotated[
        str | None, typer.Option(help="The variant of a bundle to run. Default: the best that runs.")
    ] = None,
    require: Annotated[
        str | None, typer.Option(help="A device (cpu, gpu, npu) or delegate that must be used; else it is an error.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Save the outputs to this .npz file.")] = None,
    threads: options.Threads = 1,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Run a model once and show its outputs, where it ran and how long it took."""
    from edgeai.cli import output as out
    from edgeai.cli.samples import read_samples, save_arrays
    from edgeai_runtime import Placement, load

    out.require_file(model)
    out.require_file(input_path)
    if output is not None:
        out.require_free(output, force=force)
    samples = read_samples(input_path)
    with load(model, placement=Placement(require=require), threads=threads, variant=variant) as loaded:
        start = time.perf_counter()
        answer = loaded(samples)
        latency_ms = (time.perf_counter() - start) * 1e3
        report = loaded.placement
        names = [tensor.name for tensor in loaded.outputs]
        chosen = loaded.variant.id if loaded.variant is not None else None
    outputs = answer if isinstance(answer, dict) else {names[0]: answer}
    if output is not None:
        save_arrays(output, outputs)
    shares = dict(report.shares())
    placement: dict[str, Any] = {
        **{str(device): share for device, share in shares.items()},
        "engine": report.engine,
        "delegate": report.delegate,
    }
    if json:
        document: dict[str, Any] = {"outputs": outputs, "placement": placement, "latency_ms": latency_ms}
        out.print_json({**document, "variant": chosen})
        return
    for name, value in outputs.items():
        typer.echo(f"{name}: {_short(value)}")
    devices = ", ".join(f"{share:.0%} {device}" for device, share in shares.items() if share)
    where = f" on {devices}" if devices else ""
    note = "first call" if chosen is None else f"variant {chosen}, first call"
    typer.echo(f"{report.delegate}{where}; {latency_ms:.3g} ms ({note}; `edgeai bench` measures)")


def _short(value: Any) -> str:
    """An array with its shape, long ones shortened; anything else as it is."""
    if not hasattr(value, "shape"):
        return str(value)
    import numpy as np

    text = np.array2string(value, precision=5, threshold=40, edgeitems=5, suppress_small=True, max_line_width=110)
    return f"{value.dtype} {list(value.shape)}\n{text}"

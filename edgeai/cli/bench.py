"""`edgeai bench`: several artifacts, engines and variants, measured side by side in one process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeai.cli import options


def command(
    models: Annotated[list[Path], typer.Argument(metavar="BUNDLE|MODEL…", help="Bundles (every variant) and models.")],
    inputs: Annotated[
        Path | None, typer.Option("--input", help="A .npy or .npz to run on. Default: golden or drawn.")
    ] = None,
    engines: Annotated[
        str | None, typer.Option("--engine", help="Only these engines: litert,onnxruntime,openvino.")
    ] = None,
    threads: options.Threads = 1,
    duration: Annotated[str, typer.Option(help="How long to measure each artifact.")] = "2s",
    json: options.Json = False,
) -> None:
    """Measure latency with confidence intervals; runs are interleaved, so ratios hold on a busy machine."""
    from edgeai.benchmarking.measure import ENGINE_NAMES, bench
    from edgeai.cli import output as out
    from edgeai.cli.progress import progress
    from edgeai.cli.quantities import parse_duration
    from edgeai.cli.samples import read_samples

    seconds = parse_duration(duration, option="--duration")
    chosen = options.choices(engines, ENGINE_NAMES, option="--engine") if engines else None
    for model in models:
        out.require_file(model)
    if inputs is not None:
        out.require_file(inputs)
    with progress(quiet=json) as on_step:
        report = bench(
            models,
            engines=chosen,
            threads=threads,
            duration_s=seconds,
            inputs=None if inputs is None else read_samples(inputs),
            on_step=on_step,
        )
    document = report.to_json()
    if json:
        out.print_json(document)
    else:
        _render(document)


def _render(document: Mapping[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from edgeai.cli import output as out

    machine = document["machine"]
    typer.echo(f"{machine.get('cpu', 'this machine')} · {machine.get('isa', '')} · batch 1, one call after the other")
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("artifact", no_wrap=True)
    table.add_column("runs on", no_wrap=True)
    for heading in ("median", "95 %", "p90", "p99", "load", "memory", "outputs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in document["runs"]:
        latency = run["latency_ms"]
        low, high = latency["median_ci95"]
        match = {True: "match", False: "DIFFER", None: "-"}[run["outputs_match"]]
        times = [out.milliseconds_in_words(latency[key]) for key in ("median", "p90", "p99")]
        interval = f"[{out.three_digits(low)}, {out.three_digits(high)}]"
        load, memory = (
            out.milliseconds_in_words(run["load_ms"]),
            "-" if run["rss_mib"] is None else f"{run['rss_mib']:.1f} MiB",
        )
        cells = [run["artifact"], _where(run), times[0], interval, times[1], times[2], load, memory, match]
        table.add_row(*(escape(cell) for cell in cells))
    out.console().print(table)
    for comparison in document["comparisons"]:
        low, high = comparison["ci95"]
        a, b, ratio = comparison["a"], comparison["b"], comparison["ratio"]
        words = {
            "faster": f"{a} is {1 / ratio:.2f}x faster than {b}",
            "slower": f"{a} is {ratio:.2f}x slower than {b}",
            "no_difference": f"{a} and {b}: no difference",
        }[comparison["verdict"]]
        typer.echo(f"{words}  (time ratio {ratio:.3f}, 95 % [{low:.3f}, {high:.3f}])")
    for failure in document.get("skipped", ()):
        out.warn(f"not measured: {failure['artifact']}: {failure['reason']}")


def _where(run: Mapping[str, Any]) -> str:
    shares = [f"{share:.0%} {device}" for device, share in run["placement"].items() if share]
    return f"{run['delegate']} ({', '.join(shares) or 'unknown'}, {run['threads']} thread{'s'[: run['threads'] > 1]})"

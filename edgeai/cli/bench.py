"""`edgeai bench`: artifacts, engines, delegates, threads and batches, measured side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeai.cli import options
from edgeai_runtime.errors import UsageError

if TYPE_CHECKING:
    from edgeai.benchmarking.result import PairComparison

    Comparisons = tuple[PairComparison, ...]

_PARTS = ("phases", "memory", "operators", "energy")


def command(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE|MODEL…", help="Bundles (every variant) and models; with --compare two stored results."
        ),
    ],
    inputs: Annotated[
        Path | None, typer.Option("--input", help="A .npy or .npz to run on. Default: golden or drawn.")
    ] = None,
    engines: Annotated[
        str | None, typer.Option("--engine", help="Only these engines: litert,onnxruntime,openvino.")
    ] = None,
    delegates: Annotated[
        str | None, typer.Option("--delegate", help="Each of these (litert:gpu,…), or all that are here. See doctor.")
    ] = None,
    threads: Annotated[str, typer.Option("--threads", help="Most threads of an engine; 1,2,4 measures each.")] = "1",
    batches: Annotated[str, typer.Option("--batch", help="Samples per call; 1,8,32 measures each.")] = "1",
    duration: Annotated[str, typer.Option(help="How long to measure each artifact, yardsticks included.")] = "2s",
    scenarios: Annotated[
        str | None,
        typer.Option("--scenario", help="Also these, by MLPerf's rules: single_stream,multi_stream,server,offline."),
    ] = None,
    tier: Annotated[str, typer.Option(help="How long scenarios last: quick, normal or submission.")] = "quick",
    latency_bound: Annotated[
        str | None, typer.Option(help="Of the scenario server: 99 of 100 answers within this time, as in 10ms.")
    ] = None,
    driver: Annotated[str, typer.Option(help="What drives scenarios: edgeai or loadgen.")] = "edgeai",
    measure: Annotated[
        str | None,
        typer.Option(help="Also: phases,memory,operators,energy, all or none. Default: all with --html, else none."),
    ] = None,
    sustained: Annotated[
        str | None, typer.Option(help="Run each for this long, as in 120s, and show drift and throttling.")
    ] = None,
    patience: Annotated[
        str | None, typer.Option(help="Measure again, up to this long, while the machine is noisy.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="Labelled samples to score every run on.")] = None,
    metric: Annotated[str | None, typer.Option(help="top1, top5, auc, mae, rmse or module:function.")] = None,
    preprocess: Annotated[
        list[str] | None, typer.Option(metavar="STEPS or NAME=STEPS", help="Of the data, for bare models. Repeatable.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare two stored results, OLD.json NEW.json; nothing is measured.")
    ] = False,
    fail_if_slower: Annotated[
        str | None, typer.Option(help="Exit 1 when anything is slower than its reference by more than this, as in 5%.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Store the result as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report: one page that needs no network.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a table in Markdown.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a table as CSV.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdicts as JUnit XML.")] = None,
    trace: Annotated[
        Path | None, typer.Option(help="Write the time per operation as a Chrome trace (Perfetto opens it).")
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Measure latency with confidence intervals; runs are interleaved, so ratios hold on a busy machine."""
    from edgeai.benchmarking.compared import slower_than, unproven_slower
    from edgeai.cli import output as out
    from edgeai.cli.bench_files import BenchFiles
    from edgeai.cli.bench_table import render
    from edgeai.cli.failures import EXIT_INTERRUPTED
    from edgeai.cli.quantities import parse_fraction

    files = BenchFiles(output=output, html=html, markdown=markdown, csv=csv, junit=junit, trace=trace)
    files.require_free(force=force)
    limit = None if fail_if_slower is None else parse_fraction(fail_if_slower, option="--fail-if-slower")
    interrupted = False
    if compare:
        document, comparisons = _compared(models)
    else:
        document, comparisons, interrupted = _measured(
            models,
            inputs=inputs,
            engines=engines,
            delegates=delegates,
            threads=_counts(threads, option="--threads"),
            batches=_counts(batches, option="--batch"),
            duration=duration,
            scenarios=scenarios,
            tier=tier,
            latency_bound=latency_bound,
            driver=driver,
            parts=_parts(measure, files),
            sustained=sustained,
            patience=patience,
            data=data,
            metric=metric,
            preprocess=preprocess,
            quiet=json,
        )
    failures = () if limit is None else slower_than(comparisons, limit)
    unproven = () if limit is None else unproven_slower(comparisons, limit)
    if interrupted and files.trace and not any(run["operators"] for run in document["runs"]):
        out.warn(f"not written: {files.trace}, for want of times per operation")
        files = replace(files, trace=None)
    written = files.write(document, failures)
    if not json:
        render(document)
    if limit is not None and not comparisons and not interrupted:
        raise UsageError(
            "--fail-if-slower has nothing to compare: there is one run, or none of the same batch.",
            hint="Name the reference first, or compare stored results with --compare.",
        )
    if json:
        out.print_json(document)
    for path in written:
        out.warn(f"written: {path}")
    for line in (*unproven, *failures):
        out.warn(line)
    if interrupted:
        out.warn("interrupted: this is what was measured until then")
        raise SystemExit(EXIT_INTERRUPTED)
    if failures:
        raise typer.Exit(1)


def _measured(
    models: list[Path], *, quiet: bool, parts: set[str], **asked: Any
) -> tuple[dict[str, Any], Comparisons, bool]:
    """Return what was measured, how it compares, and whether the user interrupted it."""
    from edgeai.benchmarking.measure import BenchInterrupted, bench
    from edgeai.benchmarking.spec import ENGINE_NAMES, SCENARIOS, TIERS
    from edgeai.cli import output as out
    from edgeai.cli.progress import progress
    from edgeai.cli.quantities import parse_duration
    from edgeai.cli.samples import read_samples

    for path in (*models, *([asked["inputs"]] if asked["inputs"] else [])):
        out.require_file(path)

    def seconds(name: str) -> float:
        return 0.0 if asked[name] is None else parse_duration(asked[name], option=f"--{name.replace('_', '-')}")

    engines, scenarios, delegates = asked["engines"], asked["scenarios"], asked["delegates"]
    interrupted = False
    with progress(quiet=quiet) as on_step:
        try:
            report = bench(
                models,
                engines=options.choices(engines, ENGINE_NAMES, option="--engine") if engines else None,
                delegates=[word.strip() for word in delegates.split(",") if word.strip()] if delegates else None,
                threads=asked["threads"],
                batches=asked["batches"],
                duration_s=seconds("duration"),
                inputs=None if asked["inputs"] is None else read_samples(asked["inputs"]),
                scenarios=options.choices(scenarios, SCENARIOS, option="--scenario") if scenarios else (),
                tier=options.choice(asked["tier"], TIERS, option="--tier"),
                latency_bound_ms=seconds("latency_bound") * 1e3 or None,
                driver=options.choice(asked["driver"], ("edgeai", "loadgen"), option="--driver"),
                sustained_s=seconds("sustained"),
                patience_s=seconds("patience"),
                data=asked["data"],
                metric=asked["metric"],
                preprocess=options.named_steps(asked["preprocess"]),
                on_step=on_step,
                phases="phases" in parts,
                memory="memory" in parts,
                operators="operators" in parts,
                energy="energy" in parts,
            )
        except BenchInterrupted as error:
            report, interrupted = error.report, True
    return report.to_json(), report.comparisons, interrupted


def _compared(paths: list[Path]) -> tuple[dict[str, Any], Comparisons]:
    """Return the newer of two stored results, with how each of its runs compares with the older's."""
    from dataclasses import asdict

    from edgeai.benchmarking.compared import compare_stored, unmatched
    from edgeai.benchmarking.stored import read_report
    from edgeai.cli import output as out

    if len(paths) != 2:
        raise UsageError(
            f"--compare takes two stored results. Received: {len(paths)}",
            hint="edgeai bench --compare old.json new.json; `edgeai bench MODEL -o new.json` stores one.",
        )
    old, new = (read_report(path) for path in paths)
    comparisons = compare_stored(old, new)
    for line in unmatched(old, new):
        out.warn(line)
    return {**new, "comparisons": [asdict(each) for each in comparisons]}, comparisons


def _counts(text: str, *, option: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdecimal() and int(word) for word in words):
        raise UsageError(f"{option} takes whole numbers above 0, as in 1,2,4. Received: {text!r}")
    return tuple(dict.fromkeys(int(word) for word in words))


def _parts(text: str | None, files: Any) -> set[str]:
    if text is None:
        return set(_PARTS) if files.html else {"operators"} if files.trace else set()
    if text.strip() == "all":
        return set(_PARTS)
    parts = set() if text.strip() == "none" else set(options.choices(text, _PARTS, option="--measure"))
    if files.trace and "operators" not in parts:
        raise UsageError("--trace is made of the time per operation.", hint="Measure it: --measure operators.")
    return parts

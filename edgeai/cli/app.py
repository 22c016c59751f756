"""The command line as a whole: the table of verbs, the global options, and the way in."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from edgeai.cli import (
    bench,
    bom,
    build,
    check,
    compress,
    convert,
    devices,
    diff,
    distill,
    doctor,
    encrypt,
    export,
    init,
    inspect,
    keygen,
    prune,
    quantize,
    report,
    run_model,
    sign,
    tools,
    verify,
)
from edgeai.cli.failures import run_guarded
from edgeai.cli.own_stdout import own_stdout

app = typer.Typer(
    name="edgeai",
    help="Compress trained models for edge devices, prove that they kept their accuracy, and run them where you asked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("compress", short_help="Find the smallest artifacts that keep the accuracy.")(compress.command)
app.command("build", short_help="Make, check and sign what edgeai.toml asks for.")(build.command)
app.command("init", short_help="Write an edgeai.toml to start from.")(init.command)
app.command("convert", short_help="Convert a model to another format.")(convert.command)
app.command("export", short_help="Write sources for C, Android and iOS.")(export.command)
app.command("distill", short_help="Train a model on another's answers.")(distill.command)
app.command("prune", short_help="Remove the least important channels.")(prune.command)
app.command("quantize", short_help="Quantize a model in one precision.")(quantize.command)
app.command("run", short_help="Run a model once.")(run_model.command)
app.command("bench", short_help="Measure latency, side by side.")(bench.command)
app.command("report", short_help="Turn stored results into a page.")(report.command)
app.command("inspect", short_help="Show what is in a model or bundle.")(inspect.command)
app.command("check", short_help="Check whether a model fits a device.")(check.command)
app.command("bom", short_help="Write a bundle's bill of materials.")(bom.command)
app.command("diff", short_help="Show what changed between two bundles.")(diff.command)
app.command("verify", short_help="Check that a bundle is unchanged.")(verify.command)
app.command("keygen", short_help="Make keys to sign bundles with.")(keygen.command)
app.command("sign", short_help="Sign a bundle.")(sign.command)
app.command("encrypt", short_help="Encrypt a bundle's variants.")(encrypt.command)
app.command("devices", short_help="List or show device profiles.")(devices.command)
app.command("doctor", short_help="Check this machine, or a model.")(doctor.command)
app.command("tools", short_help="Install third-party converters.")(tools.command)


def _show_version(wanted: bool) -> None:
    if wanted:
        from edgeai import __version__

        typer.echo(f"edgeai {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Compress trained models for edge devices, prove that they kept their accuracy, and run them where you asked."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 failed or over budget, 2 wrong usage, 130 interrupted."""
    own_stdout()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 gets `?`, not a UnicodeEncodeError
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Both are needed before parsing is over: a mistake in the arguments is reported as JSON too.
    as_json = "--json" in given
    debug = "--debug" in given or bool(os.environ.get("EDGEAI_DEBUG"))
    return run_guarded(lambda: app(given, prog_name="edgeai", standalone_mode=False), as_json=as_json, debug=debug)

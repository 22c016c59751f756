"""`edgeai init`: an `edgeai.toml` to start from."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Annotated

import typer

from edgeai.cli import options

_MODELS = ("*.keras", "*.pt2", "*.onnx", "*.tflite", "*.h5")
_DATA = (".npz", ".csv", ".tsv", ".txt", ".py")


def command(
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="The trained model. Default: the only one here.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="Samples, as for compress.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Id of a device profile: edgeai devices.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")] = Path("edgeai.toml"),
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Write a commented edgeai.toml: one model, one target, and every available key."""
    import os
    import shlex

    from edgeai.builder.schema import FILE_NAME
    from edgeai.builder.starter import starter_text
    from edgeai.cli import output as out
    from edgeai_devices.catalog import find_profile

    out.require_free(output, force=force)
    if model is not None:
        out.require_file(model)
    if data is not None and (file_of_data := _file_of(data)) is not None:
        out.require_file(file_of_data)
    if device is not None:
        find_profile(device)
    here = sorted(file for pattern in _MODELS for file in Path().glob(pattern)) if model is None else []
    source = model if model is not None else here[0] if len(here) == 1 else Path("model.onnx")
    folder = output.absolute().parent
    paths = [os.path.relpath(path, folder) if Path(path).exists() else path for path in (source, data) if path]
    text = starter_text(
        project=folder.name or "project",
        model=_name(source.stem, "model"),
        source=Path(paths[0]).as_posix(),
        data=str(paths[1]) if data else None,
        device=device,
    )
    out.write_text(output, text)
    if json:
        out.print_json({"file": output, "source": source})
        return
    file = "" if output.name == FILE_NAME and folder == Path.cwd() else f"{shlex.quote(str(output))} "
    typer.echo(f"{output} was written. `edgeai build {file}--dry-run` says what it makes.")
    if model is None and len(here) != 1:
        found = f"{len(here)} models are here: {', '.join(map(str, here))}" if here else "no model is here"
        typer.echo(f"Name the source in it: {source} stands for it now, as {found}.")


def _file_of(data: str) -> Path | None:
    """Return the file that samples are read from, of `x.npz:images` and `loader.py:load` too; `None` if it is none."""
    head = data if Path(data).exists() or ":" not in data else data.rpartition(":")[0]
    return Path(head) if Path(head).suffix.lower() in _DATA and not Path(head).is_dir() else None


def _name(text: str, default: str) -> str:
    """Return a name of the letters that may stand in one, those with marks without them."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-") or default

"""`edgeai devices`: the device profiles, and how far each was tried."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeai.cli import options


def command(
    device: Annotated[str | None, typer.Argument(metavar="[ID]", help="Show one device with its sources.")] = None,
    json: options.Json = False,
) -> None:
    """List the devices that edgeai has profiles of, or show one; own profiles are read from ./devices/*.toml."""
    from edgeai.cli import output as out
    from edgeai_devices.catalog import find_profile, read_profiles

    if device is None:
        profiles = read_profiles()
        if json:
            out.print_json({"devices": [profile.to_json() for profile in profiles]})
            return
        from rich.table import Table

        table = Table("id", "name", "cpu", "memory", "verified", box=None, padding=(0, 1), header_style="bold")
        for profile in profiles:
            table.add_row(profile.id, profile.name, profile.cpu.model, profile.memory_in_words(), profile.verified)
        out.console().print(table)
        typer.echo("\nverified: none (from data sheets), emulated (ran in an emulator), device (ran on the device)")
        return
    profile = find_profile(device)
    document = profile.to_json()
    if json:
        out.print_json({"device": document})
        return
    typer.echo(f"{profile.id}: {profile.name}  (verified: {profile.verified})")
    sources = document.pop("sources")
    for key in ("cpu", "memory"):
        for figure, value in document[key].items():
            if value not in (None, [], ""):
                words = ", ".join(str(item) for item in value) if isinstance(value, list) else value
                typer.echo(
                    f"  {figure:<16} {words}\n  {'':<16}   source: {sources.get(f'{key}.{figure}', 'read here')}"
                )
    for key in ("formats", "precisions", "delegates", "notes"):
        separator = "\n" + " " * 19 if key == "notes" else ", "
        typer.echo(f"  {key:<16} {separator.join(document[key]) or '-'}")

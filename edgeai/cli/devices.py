"""`edgeai devices`: the device profiles, how far each was tried, and this machine's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeai.cli import options

if TYPE_CHECKING:
    from edgeai_devices.profile import Profile
    from edgeai_devices.profile_rules import Rules

_VERIFIED = "verified: none (from data sheets), emulated (ran in an emulator), device (ran on the device)"
_WIDTH = 16


def command(
    device: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="Show one device and its sources; with --local, its name."),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Write the profile of this machine to ./devices/ID.toml and show it.")
    ] = False,
    json: options.Json = False,
    force: options.Force = False,
) -> None:
    """List the devices that edgeai has profiles for, or show one; your own profiles are read from ./devices/*.toml."""
    from edgeai.cli import output as out
    from edgeai_devices.catalog import find_profile, read_profiles

    if force and not local:
        from edgeai_runtime.errors import UsageError

        raise UsageError("--force is for --local, which writes a file.")
    if local:
        _show(_write_local(device, force=force), json=json)
    elif device is not None:
        _show(find_profile(device), json=json)
    else:
        profiles = read_profiles()
        if json:
            out.print_json({"devices": [profile.to_json() for profile in profiles]})
            return
        from rich.table import Table

        table = Table("id", "name", "cpu", "npu", "memory", "verified", box=None, padding=(0, 1), header_style="bold")
        for each in profiles:
            npu = each.npu.model if each.npu else "-"
            table.add_row(each.id, each.name, each.cpu.model, npu, each.memory_in_words(), each.verified)
        out.console().print(table)
        typer.echo(f"\n{_VERIFIED}")


def _write_local(name: str | None, *, force: bool) -> Profile:
    from edgeai.cli import output as out
    from edgeai_devices.catalog import OWN_FOLDER, read_all_rules
    from edgeai_devices.local import describe_local
    from edgeai_devices.profile_toml import profile_to_toml

    profile = describe_local(name, rules=read_all_rules())
    path = OWN_FOLDER / f"{profile.id}.toml"
    OWN_FOLDER.mkdir(exist_ok=True)
    out.require_free(path, force=force)
    out.write_text(path, profile_to_toml(profile, head="This machine, as edgeai devices --local found it."))
    out.warn(f"written: {path}")
    return profile


def _show(profile: Profile, *, json: bool) -> None:
    from edgeai.cli import output as out

    if json:
        in_full = [each.to_json() for each in profile.rules]
        out.print_json({"device": {**profile.to_json(), "rules_in_full": in_full}})
        return
    document = profile.to_json()
    typer.echo(f"{profile.id}: {profile.name}  ({profile.kind}, verified: {profile.verified})")
    for key in ("cpu", "memory", "gpu", "npu"):
        for figure, value in (document[key] or {}).items():
            if value not in (None, [], "", False):
                name = figure if key in ("cpu", "memory") else f"{key} {figure}"
                typer.echo(f"  {name:<{_WIDTH}} {_words(value)}")
                source = profile.sources.get(f"{key}.{figure}")
                if source:
                    typer.echo(f"  {'':<{_WIDTH}}   source: {source}")
    for key in ("formats", "precisions", "delegates", "compilers", "exports"):
        if document[key] or key == "delegates":
            typer.echo(f"  {key:<{_WIDTH}} {', '.join(document[key]) or '-'}")
    for rules in profile.rules:
        for index, line in enumerate(_rules_in_words(rules)):
            typer.echo(f"  {'rules' if index == 0 else '':<{_WIDTH}} {'' if index == 0 else '  '}{line}")
    for index, note in enumerate(profile.notes):
        typer.echo(f"  {'notes' if index == 0 else '':<{_WIDTH}} {note}")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items() if each is not None)
    return ", ".join(str(each) for each in value) if isinstance(value, list) else str(value)


def _rules_in_words(rules: Rules) -> Iterator[str]:
    yield f"{rules.id}: {rules.name} ({', '.join(rules.applies_to)})"
    if rules.allowed is not None:
        other = "the CPU runs the others" if rules.otherwise == "cpu" else "others are an error"
        yield f"{len(rules.allowed)} operators in {'/'.join(rules.precisions)}; {other}"
    if rules.static_shapes:
        yield "every dimension must be fixed"
    for width in rules.kernel_widths:
        yield f"widths in multiples of {width.channels}: {', '.join(width.operators)} ({', '.join(width.precisions)})"
    for slow in rules.slow_kernels:
        yield f"slow in {', '.join(slow.precisions)}: {slow.reason}"
    for gain in rules.gains:
        yield f"gains from {gain.method} {gain.pattern}".rstrip() + f" weights: {gain.effect}"

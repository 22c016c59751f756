"""`edgeai tools`: converters of others that live in environments of their own, and the one place that fetches them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgeai.cli import options

if TYPE_CHECKING:
    from edgeai_converters.tools.environments import ToolState

_ACTIONS = ("list", "install", "remove")


def command(
    action: Annotated[str, typer.Argument(metavar="[list|install|remove]", help="What to do.")] = "list",
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The tool; all of them when listing.")] = None,
    json: options.Json = False,
) -> None:
    """List, install or remove converters of others. Installing downloads packages; nothing else here ever does."""
    from edgeai.cli import output as out
    from edgeai.cli.progress import progress
    from edgeai_converters.tools import environments
    from edgeai_runtime.errors import UsageError

    chosen = options.choice(action, _ACTIONS, option="tools")
    if chosen == "list":
        states = [environments.tool_state(tool) for tool in ([name] if name else environments.ENVIRONMENTS)]
        if json:
            out.print_json({"tools": [state.to_json() for state in states]})
        else:
            _print_states(states)
        return
    if name is None:
        raise UsageError(f"edgeai tools {chosen} needs a name.", hint=", ".join(environments.ENVIRONMENTS))
    if chosen == "remove":
        removed = environments.remove_environment(name)
        typer.echo(f"{name}: {removed or 'no'} environment{'' if removed == 1 else 's'} removed", err=True)
    else:
        before = environments.tool_state(name)
        if not before.folder.exists():
            typer.echo(
                f"{name}: pip downloads and installs about {before.size_mib} MiB, some minutes. {before.advice}",
                err=True,
            )
        with progress(quiet=json) as on_step:
            environments.install_environment(name, on_step=on_step)
        typer.echo(f"{name}: installed in {before.folder}", err=True)
    if json:
        out.print_json(environments.tool_state(name).to_json())


def _print_states(states: list[ToolState]) -> None:
    words = {"here": "installed beside edgeai", "managed": "installed", "nowhere": "not installed"}
    for state in states:
        typer.echo(f"{state.name:<14} {words[state.runs_in]:<24} {state.does}")
        place = state.folder if state.runs_in == "managed" else f"edgeai tools install {state.name}"
        if state.runs_in != "here":
            typer.echo(f"{'':<14} → {place}  (about {state.size_mib} MiB)")

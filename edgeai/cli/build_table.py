"""What `edgeai build` prints for people: a line per target, a line per broken gate, and on demand one per step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer


def render(document: Mapping[str, Any], *, explain: bool) -> None:
    """Print the document of a build.

    Args:
        document: `BuildResult.to_json()`.
        explain: also print every step and why it is run.
    """
    for target in document["targets"]:
        typer.echo(f"{target['model']}/{target['target']}: {_state(target)}")
        for step in target["steps"] if explain else ():
            why = f" ({'; '.join(step['why'])})" if step["why"] else ""
            typer.echo(f"  {step['name']}: {step['status']}{why}")
            for note in step["notes"]:
                typer.echo(f"    {note}")
        if target["error"]:
            hint = f"\n    → {target['error']['hint']}" if target["error"]["hint"] else ""
            typer.echo(f"  failed: {target['error']['message']}{hint}")
        for gate in target["gates"]:
            if not gate["ok"]:
                typer.echo(f"  gate {gate['name']} broken: {gate['reason']}")
        for artifact in target["artifacts"] if target["ok"] else ():
            typer.echo(f"  {artifact}")
    if document["lock_written"]:
        lock = Path(document["file"]).with_suffix(".lock").name
        typer.echo(f"{lock} was written: commit it, and `edgeai build --locked` makes the same without a search.")


def _state(target: Mapping[str, Any]) -> str:
    ran = {step["status"] for step in target["steps"]}
    if target["error"]:
        return "failed"
    broken = sum(not gate["ok"] for gate in target["gates"])
    if broken:
        return f"{broken} of {len(target['gates'])} gates broken"
    if "would run" in ran:
        return f"{sum(step['status'] == 'would run' for step in target['steps'])} steps would run"
    return "made" if "made" in ran else "up to date"

"""A result of `edgeai build` as Markdown: for the summary of a CI job, or a comment on a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeai.report.wording import NOTHING, time_words

_STATES = {True: "holds", False: "**broken**"}


def build_summary(document: Mapping[str, Any]) -> str:
    """Return what became of each target, why steps failed, every gate with its reason, notes; GitHub's Markdown.

    Args:
        document: of the schema `edgeai.build/1`, as `BuildResult.to_json` returns it.
    """
    targets = document["targets"]
    failed = [target for target in targets if not target["ok"]]
    title = f"# {_escaped(document['name'])} {_escaped(document['version'])}: {_headline(len(failed), len(targets))}"
    parts = [title, _target_table(targets), *_problems(failed), *_gate_table(targets), *_notes(targets)]
    if document["lock_written"]:
        parts.append(f"`{Path(document['file']).with_suffix('.lock').name}` was written: commit it.")
    return "\n\n".join(parts) + "\n"


def _headline(failed: int, count: int) -> str:
    return f"{failed} of {count} targets failed" if failed else f"{count} of {count} targets are ready"


def _target_table(targets: list[Mapping[str, Any]]) -> str:
    rows = []
    for target in targets:
        made = sum(step["status"] == "made" for step in target["steps"])
        took = sum(step["duration_s"] for step in target["steps"])
        held = sum(gate["ok"] for gate in target["gates"])
        rows.append(
            (
                _where(target),
                _escaped(target["device"] or NOTHING),
                _state(target),
                f"{held} of {len(target['gates'])}" if target["gates"] else NOTHING,
                f"{made} of {len(target['steps'])}",
                time_words(took * 1e3) if made else NOTHING,
                "<br>".join(f"`{path}`" for path in target["artifacts"]) or NOTHING,
            )
        )
    return _table(("target", "device", "state", "gates kept", "steps made", "took", "files"), rows)


def _state(target: Mapping[str, Any]) -> str:
    if target["error"]:
        return "**failed**"
    if not all(gate["ok"] for gate in target["gates"]):
        return "**gate broken**"
    if any(step["status"] == "would run" for step in target["steps"]):
        return "would run"
    return "made" if any(step["status"] == "made" for step in target["steps"]) else "up to date"


def _problems(failed: list[Mapping[str, Any]]) -> list[str]:
    lines = []
    for target in failed:
        if target["error"]:
            name = next((step["name"] for step in target["steps"] if step["status"] == "failed"), "build")
            hint = f" {_escaped(target['error']['hint'])}" if target["error"]["hint"] else ""
            lines.append(f"- {_where(target)}, {_escaped(name)}: {_escaped(target['error']['message'])}{hint}")
    return ["\n".join(lines)] if lines else []


def _gate_table(targets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the verdicts, broken ones first; their reasons say limit and value, with units."""
    found = [(target, gate) for target in targets for gate in target["gates"]]
    rows = [
        (_where(target), _escaped(gate["name"]), _STATES[gate["ok"]], _escaped(gate["reason"]))
        for target, gate in sorted(found, key=lambda pair: bool(pair[1]["ok"]))
    ]
    return [_table(("target", "gate", "", "what was found"), rows)] if rows else []


def _notes(targets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what steps tell of what they made: a batch that was fixed, figures that were measured again."""
    told = [(target, step, note) for target in targets for step in target["steps"] for note in step["notes"]]
    lines = [f"- {_where(target)}, {_escaped(step['name'])}: {_escaped(note)}" for target, step, note in told]
    return ["\n".join(lines)] if lines else []


def _where(target: Mapping[str, Any]) -> str:
    return _escaped(f"{target['model']}/{target['target']}")


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    """Return text that stays in its cell and is taken literally."""
    for mark in ("\\", "|", "*", "_", "`", "[", "]", "<"):
        text = text.replace(mark, "&lt;" if mark == "<" else f"\\{mark}")
    return " ".join(text.split())

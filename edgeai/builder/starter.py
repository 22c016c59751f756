"""The `edgeai.toml` that `edgeai init` writes: one model, one target, every other key as a comment."""

from __future__ import annotations

import json

from edgeai.builder.schema import SCHEMA, TABLES

_HEAD = """\
# What `edgeai build` makes, and what must hold of it. Lines with `#` before a key show what else may be said.
# The lock, edgeai.lock, belongs in the repository; the folders build and .edgeai do not.
schema = {schema}
"""


def starter_text(*, project: str, model: str, source: str, data: str | None, device: str | None) -> str:
    """Return the text of the file.

    Args:
        project: name of the project.
        model: name of the model: letters, digits, `-`, `_`.
        source: path of the trained model, relative to the file.
        data: samples; `None` leaves the key as a comment.
        device: id of a device profile, likewise.
    """
    target = device or "device"
    given: dict[str, dict[str, str | None]] = {
        "project": {"name": project, "version": "1.0.0"},
        "models.NAME": {"source": source, "data": data},
        "models.NAME.budget": {"max_drop": "1%"},
        "models.NAME.targets.NAME": {"device": device},
        "models.NAME.targets.NAME.gates": {},
        "sign": {},
        "encrypt": {},
    }
    parts = [_HEAD.format(schema=SCHEMA)]
    for table, values in given.items():
        name = table.replace("models.NAME", f"models.{model}").replace("targets.NAME", f"targets.{target}")
        optional = "" if values or table.startswith("models.") else "# "
        lines = [f"{optional}[{name}]"]
        for key in TABLES[table]:
            value = values.get(key.name)
            about = f"# {key.about}\n"
            lines.append(
                about
                + (
                    f"{key.name} = {json.dumps(value, ensure_ascii=False)}"
                    if value
                    else f"# {key.name} = {key.example}"
                )
            )
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)

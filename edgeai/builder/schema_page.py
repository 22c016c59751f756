"""The tables of keys in `docs/build.md`, written from the table of keys."""

from __future__ import annotations

from edgeai.builder.schema import TABLES, Key

BEGIN, END = "<!-- keys -->", "<!-- /keys -->"


def key_tables() -> str:
    """Return a Markdown table per table of `edgeai.toml`, between the marks."""
    parts = [BEGIN]
    for name, keys in TABLES.items():
        rows = [f"| `{key.name}`{'' if not key.required else ' (needed)'} | {_cell(key)} |" for key in keys]
        parts.append("\n".join([f"`[{name}]`", "", "| key | meaning |", "|---|---|", *rows]))
    return "\n\n".join([*parts, END])


def with_key_tables(page: str) -> str:
    """Return a page with the tables between its marks."""
    before, _, rest = page.partition(BEGIN)
    return before + key_tables() + rest.partition(END)[2]


def _cell(key: Key) -> str:
    words = f" One of {', '.join(f'`{word}`' for word in key.allowed)}." if key.allowed else ""
    example = f" `{key.example}`" if key.example else ""
    return f"{key.about}{words}{example}".replace("|", "\\|")

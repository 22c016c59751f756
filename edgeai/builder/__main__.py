"""Write what is made from the table of keys: `edgeai.schema.json`, and the tables of `docs/build.md` in a checkout."""

from __future__ import annotations

from pathlib import Path

from edgeai.builder.json_schema import FILE, schema_text
from edgeai.builder.schema_page import with_key_tables

if __name__ == "__main__":
    FILE.write_text(schema_text(), encoding="utf-8")
    page = Path(__file__).resolve().parents[2] / "docs" / "build.md"
    page.write_text(with_key_tables(page.read_text(encoding="utf-8")), encoding="utf-8")

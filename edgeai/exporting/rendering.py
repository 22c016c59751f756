"""Filling the templates of sources: nothing is escaped by itself, so every text goes through its language's filter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from edgeai_runtime.errors import ModelError


def fill_template(template: str, **values: Any) -> str:
    """Return a source file; a name that is missing is an error.

    Args:
        template: its file in `edgeai/exporting/templates`.
        values: what it names.
    """
    environment = Environment(
        loader=PackageLoader("edgeai.exporting", package_path="templates"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "c_text": c_text,
        "cell": cell,
        "comment": comment,
        "float_literal": float_literal,
    }
    return environment.get_template(template).render(**values)


def c_text(text: str) -> str:
    """Return a string literal of C: UTF-8 bytes beyond ASCII as octal escapes, `?` too, for there are trigraphs."""
    parts = []
    for byte in text.encode():
        plain = 32 <= byte < 127 and chr(byte) not in '"\\?'
        parts.append(chr(byte) if plain else f"\\{byte:03o}")
    return '"' + "".join(parts) + '"'


def comment(text: str) -> str:
    """Return text that stands in a comment of one line and cannot end it, nor a block comment."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return printable.replace("*/", "* /").replace("/*", "/ *").rstrip("\\")


def cell(text: str) -> str:
    """Return text that stays within its cell of a Markdown table."""
    return comment(text).replace("|", "\\|")


def float_literal(value: float) -> str:
    """Return a float32 as the shortest literal that reads back as the same bits, without a suffix.

    Raises:
        ModelError: no finite number.
    """
    if not np.isfinite(value):
        raise ModelError(f"A number in the recorded samples or scales is {value}.", hint="Compress the model again.")
    text = str(np.float32(value))
    return text if "." in text or "e" in text else f"{text}.0"


def rows(values: Iterable[str], *, per_row: int, indent: str = "    ") -> str:
    """Return values in rows, each ended by a comma."""
    listed = list(values)
    lines = (", ".join(listed[at : at + per_row]) for at in range(0, len(listed), per_row))
    return "\n".join(f"{indent}{line}," for line in lines)

"""A diagnosis of static int8 for people: the verdict, then the operations, the most harmful one first.

Works on the JSON document alone, so that what people read and what programs read cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeai.cli.output import console, warn

MOST_ROWS = 15
"""Operations shown; the rest only in the document."""


def render(document: Mapping[str, Any]) -> None:
    """Print the verdict, the table of operations, and the patterns that do no harm."""
    from rich.markup import escape
    from rich.table import Table

    for note in document["notes_of_source"]:
        warn(f"note: {note}")
    screen = console()
    for sentence in document["verdict"]:
        screen.print(escape(sentence))
    screen.print()
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for heading in ("operation", "kind"):
        table.add_column(heading, no_wrap=True)
    for heading in ("alone", "share", "reaching"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("pattern", "fix"):
        table.add_column(heading)
    rows = document["operations"]
    for row in rows[:MOST_ROWS]:
        table.add_row(*(escape(cell) for cell in _cells(row)), style="bold" if row["culprit"] else "")
    screen.print(table)
    if len(rows) > MOST_ROWS:
        screen.print(f"… and {len(rows) - MOST_ROWS} more that make less error (--json has them all)")
    in_float = len(document["float_operations"])
    if in_float:
        screen.print(f"{in_float} operations stay in float anyway: the engine has no integer kernel worth using.")
    for name in dict.fromkeys(pattern["name"] for pattern in document["notes"]):
        same = [pattern for pattern in document["notes"] if pattern["name"] == name]
        more = f" (and {len(same) - 1} more)" if len(same) > 1 else ""
        words = f"no harm here, {name.replace('_', ' ')} at {same[0]['node']}{more}: {same[0]['why']}"
        screen.print(escape(words))


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    alone = "-" if row["alone"] is None else f"{row['alone']:.2%}"
    pattern = row["pattern"].replace("_", " ")
    return row["node"], row["op_type"], alone, f"{row['share']:.0%}", f"{row['reaching']:.2%}", pattern, row["fix"]

"""Fills a template of the report: style inlined, every value escaped, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgeai.report.wording import printable

STYLES = ("report.css", "charts.css", "print.css")
"""In the order in which they are inlined."""


def fill_page(template: str, **values: Any) -> str:
    """Return a whole HTML page; strings of `values` are escaped unless they are markup.

    Args:
        template: its file in this package.
        values: what it names; a name that is missing is an error.
    """
    environment = Environment(
        loader=PackageLoader("edgeai.report", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = resources.files("edgeai.report")
    style = "\n".join((folder / name).read_text(encoding="utf-8") for name in STYLES)
    return environment.get_template(template).render(style=Markup(style), **values)


def fact(value: Any) -> str:
    """Return a value of the document in a few words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.9g}" if 0.999 < abs(value) < 1 else f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {fact(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(fact(inner) for inner in value)
    return printable(str(value))


def fact_groups(groups: list[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return titled lists of facts, without what is `None` and without empty lists."""
    told = [
        (title, [(key, fact(value)) for key, value in group.items() if value is not None]) for title, group in groups
    ]
    return [(title, facts) for title, facts in told if facts]

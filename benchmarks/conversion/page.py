"""The page: one summary, one table per family, one line per cell; no path of the machine it was measured on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from families.table import FAMILIES

from conversion.attempt import CHECK_LIMIT
from conversion.cells import FORMATS, FORMS, MUST_REFUSE, Cell

_LONGEST = 260
_PATH = re.compile(r"(?<![\w.])(?:/[\w.@+-]+)+/([\w.@+-]+)")

Results = Mapping[str, Mapping[str, Any]]


def to_markdown(
    cells: Sequence[Cell], results: Results, *, machine: Mapping[str, str], tools: Mapping[str, str], code: str
) -> str:
    """Return the page for the cells that have a result."""
    done = [cell for cell in cells if cell.key in results]
    untried = len(cells) - len(done)
    lines = [
        "# From every source to every format",
        "",
        "Written by `python benchmarks/conversion_matrix.py --write docs/conversions.md`; nothing here is typed in.",
        f"Machine: {machine['cpu']}, {machine['cores']} cores ({machine['isa']}), Python {machine['python']}; "
        + ", ".join(f"{package} {version}" for package, version in tools.items())
        + ".",
        "",
        "Each cell is one `edgeai convert` in a process of its own. **Works** means two things. edgeai's own gate let",
        "the file through: *gate* is the largest difference between the artifact in its engine and the source in its",
        "own, as a share of the largest output. And for the families, where the framework's answers were stored when",
        "the source was saved, the artifact gives those answers again: *check* is that difference, measured by a",
        f"program that shares nothing with the gate but the runtime; above {CHECK_LIMIT:g} the cell is **wrong**.",
        "Time and memory are on another page, [Speed of conversions](conversion-speed.md).",
        "",
        _count(done, results)
        + f" {_codes([str(results[cell.key].get('code')) for cell in done], code)}"
        + (f" {untried} more are not tried yet; `--resume` goes on." if untried else ""),
        "",
        "| source | " + " | ".join(FORMATS) + " |",
        "|---|" + "---|" * len(FORMATS),
    ]
    families = [cell for cell in done if cell.family in FAMILIES]
    lines += [_summary(FORMS[form].title, form, families, results) for form in FORMS]
    lines += ["", "Counts are *works* of all families that the source can hold."]
    for family, about in FAMILIES.items():
        group = [cell for cell in families if cell.family == family]
        if group:
            lines += [
                "",
                f"## {family}: {about.title}",
                "",
                *_table(group, results, lambda cell: FORMS[cell.form].title),
            ]
    real = [cell for cell in done if cell.family not in FAMILIES]
    accepted = [cell for cell in real if not cell.refusal]
    if accepted:
        lines += ["", "## Real models", "", *_table(accepted, results, lambda cell: cell.family)]
    refused = [cell for cell in real if cell.refusal]
    if refused:
        lines += ["", "## What must be refused", ""]
        lines += [f"- `{name}`: {why}." for name, why in MUST_REFUSE.items()]
        lines += ["", *_table(refused, results, lambda cell: cell.family)]
    return "\n".join(lines) + "\n"


def one_line(text: str) -> str:
    """Return a message in one line, without folders and without what breaks a table.

    >>> one_line("no file /tmp/folder/model.onnx:\\n a | b")
    'no file model.onnx: a / b'
    """
    text = " ".join(_PATH.sub(r"\1", text).split()).replace("|", "/").replace("<", "‹").replace(">", "›")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _count(cells: Iterable[Cell], results: Results) -> str:
    words = [str(results[cell.key]["status"]) for cell in cells]
    told = {"works": "work", "fails": "fail", "wrong": "are wrong", "refused": "are refused, as they must be"}
    parts = [f"{words.count(word)} {verb}" for word, verb in told.items() if word in words]
    missing = words.count("missing")
    return (
        f"Of {len(words) - missing} cells "
        + (", ".join(parts) or "none was measured")
        + (f"; {missing} sources cannot be saved by their framework." if missing else ".")
    )


def _codes(ran: Sequence[str], now: str) -> str:
    """Say with how many states of the code the cells were run, and whether it is the state of today.

    >>> _codes(["aa", "aa"], "aa")
    'All were run with one state of the code (digest `aa`).'
    >>> _codes(["aa", "aa", "bb"], "bb")
    'They were run with 2 states of the code (2 cells `aa`, 1 cell `bb`); `--fresh` runs all with one.'
    """
    counts = Counter(ran)
    if len(counts) <= 1:
        since = "" if set(counts) <= {now} else ", which has changed since"
        return f"All were run with one state of the code (digest `{next(iter(counts), now)}`){since}."
    told = ", ".join(f"{n} cell{'s' * (n > 1)} `{digest}`" for digest, n in counts.most_common())
    return f"They were run with {len(counts)} states of the code ({told}); `--fresh` runs all with one."


def _summary(title: str, form: str, cells: Sequence[Cell], results: Results) -> str:
    counts = []
    for format in FORMATS:
        words = [str(results[cell.key]["status"]) for cell in cells if (cell.form, cell.format) == (form, format)]
        words = [word for word in words if word != "missing"]
        wrong = f", {words.count('wrong')} wrong" if "wrong" in words else ""
        counts.append(f"{words.count('works')} of {len(words)}{wrong}" if words else "–")
    return f"| {title} | " + " | ".join(counts) + " |"


def _table(cells: Sequence[Cell], results: Results, title: Any) -> list[str]:
    lines = [
        "| source | to | result | route, or the reason | gate | check |",
        "|---|---|---|---|---|---|",
    ]
    return lines + [_line(title(cell), cell, results[cell.key]) for cell in cells]


def _line(title: str, cell: Cell, result: Mapping[str, Any]) -> str:
    status = result["status"]
    told = status if status in ("works", "refused") else f"**{status}**"
    gate = f"{result['parity']['max_rel']:.1g}" if "parity" in result else ""
    check = ""
    if "check" in result:
        check = f"{result['check']['max_rel']:.1g}" if "max_rel" in result["check"] else "none"
    return "| " + " | ".join((title, cell.format, told, _reason(result), gate, check)) + " |"


def _reason(result: Mapping[str, Any]) -> str:
    if "error" in result:
        return one_line(f"{result['error']['type']}: {result['error']['message']}")
    if result["status"] == "missing":
        return one_line(f"the framework cannot save it: {result['reason']}")
    route = " → ".join(result["route"])
    if "error" in result.get("check", {}):
        return one_line(f"{route}; the check failed: {result['check']['error']}")
    return one_line(route)

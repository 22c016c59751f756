"""The page: verdicts first, then one table per model; nothing in it is typed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conversion.page import one_line

from quantization.cases import CASES, MOST_CALIBRATION, MOST_SEARCH, title
from quantization.compared import NAIVE, REFERENCE
from quantization.methods import METHODS

Results = Mapping[str, Mapping[str, Any]]


def to_markdown(results: Results, *, machine: Mapping[str, str], tools: Mapping[str, str], code: str) -> str:
    """Return the page of all cases that have a result."""
    done = [name for name in CASES if name in results]
    old = sum(1 for name in done if results[name]["code"] != code)
    lines = [
        "# Quantization, next to the others",
        "",
        "Written by `python benchmarks/quantization_peers.py --write docs/quantization.md`; nothing here is typed in.",
        f"Machine: {machine['cpu']}, {machine['cores']} cores ({machine['isa']}), Python {machine['python']}; "
        + ", ".join(f"{package} {version}" for package, version in tools.items())
        + ".",
        "",
        "Every method gets the same float model, the same calibration samples (at most "
        f"{MOST_CALIBRATION}) and, where it takes one,",
        f"the same search split (at most {MOST_SEARCH}). Each artifact is",
        "made in a process of its own (*s*, *MiB*: the whole of it, for ours with the search and all certificates) and",
        f"scored in its engine on the same certification split. *Drop* is in points against `{REFERENCE}`, with its",
        "95 % paired interval. Then all artifacts of a model run interleaved in one process, one thread, batch 1:",
        "*x own* is the latency divided by that of the float artifact in the same engine, *x best* by that of the",
        "fastest float artifact, with 95 % intervals. What has an integer boundary is timed without the conversion.",
        *([f"{old} models were measured with an earlier state of the code."] if old else []),
        "",
        "## Verdicts",
        "",
        "Ours is the artifact that `edgeai compress` calls best. *At least as accurate*: against the most accurate",
        "peer; *yes* when it scores no less, *no* when the 95 % interval of what it loses against that peer lies above",
        "0, else the samples do not tell them apart. *At least as fast*: against the fastest peer that keeps the",
        "budget; *no* when the interval of the ratio lies above 1 by more than two copies of one file differ.",
        "",
        "| model | ours | drop [95 %] | at least as accurate | at least as fast | naive drop | recovered |",
        "|---|---|---|---|---|---|---|",
        *(_verdict(name, results[name]) for name in done),
        "",
        f"*naive drop*: `{NAIVE}`. *recovered*: the share of it that ours does not lose.",
        "",
        "The same by format, our artifact of the format against the peers' of that format:",
        "",
        "| model | format | at least as accurate | at least as fast |",
        "|---|---|---|---|",
        *(line for name in done for line in _formats(name, results[name])),
        "",
        "## Methods",
        "",
        "- `ours`: `edgeai compress`, with its own choice of recipe; one row per format.",
        *(f"- `{name}`: {method.title}." for name, method in METHODS.items()),
    ]
    for name in done:
        lines += ["", *_case(name, results[name])]
    return "\n".join(lines) + "\n"


def _verdict(name: str, result: Mapping[str, Any]) -> str:
    found = result["verdicts"]
    ours = next((row for row in result["rows"] if row["name"] == found["ours"]), None)
    cells = (
        name,
        f"`{ours['recipe']}`" if ours else "none",
        _drop(ours) if ours else "",
        _accuracy(found["accuracy"]),
        _speed(found["speed"]),
        _points(found["naive_drop"]),
        recovered(found["naive_drop"], found["ours_drop"]),
    )
    return "| " + " | ".join(cells) + " |"


def recovered(naive: float | None, ours: float | None) -> str:
    """Return how much of the naive loss ours does not lose; nothing to recover below one point.

    >>> recovered(0.10, 0.01), recovered(0.004, 0.0), recovered(None, 0.1)
    ('90 %', '', '')
    """
    if naive is None or ours is None or naive < 0.01:
        return ""
    return f"{100 * (naive - ours) / naive:.0f} %"


def _formats(name: str, result: Mapping[str, Any]) -> list[str]:
    return [
        f"| {name} | {format} | {_accuracy(found['accuracy'])} | {_speed(found['speed'])} |"
        for format, found in result["verdicts"]["formats"].items()
    ]


def _case(name: str, result: Mapping[str, Any]) -> list[str]:
    rows = result["rows"]
    n = next((row["n"] for row in rows if "n" in row), 0)
    lines = [
        f"## {name} (n = {n})",
        "",
        one_line(title(name)) + ".",
        "",
        "| artifact | format | score | drop [95 %] | flips | KB | ms | x own | x best | s | MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    made = [row for row in rows if "score" in row]
    lines += [_row(row) for row in sorted(made, key=lambda row: (row["method"] != "float", row.get("median_ms") or 0))]
    others = [row for row in rows if "score" not in row]
    lines += [""] if others or "error" in result["race"] else []
    lines += [f"- `{row['name']}`: {row.get('left_out') or '**failed**: ' + one_line(row['error'])}." for row in others]
    if "error" in result["race"]:
        lines.append(f"- timing **failed**: {one_line(result['race']['error'])}.")
    return lines


def _row(row: Mapping[str, Any]) -> str:
    cells = (
        f"**{row['name']}** `{row['recipe']}`" if "recipe" in row else row["name"],
        row["format"],
        f"{row['score']:.4f}",
        _drop(row),
        "" if row["flips"] is None else f"{100 * row['flips']:.1f} %",
        f"{row['size_bytes'] / 1000:.0f}",
        f"{row['median_ms']:.3f}" if "median_ms" in row else "",
        _ratio(row.get("x_own")),
        _ratio(row.get("x_best")),
        f"{row['seconds']:.1f}" if "seconds" in row else "",
        f"{row['peak_mib']:.0f}" if "peak_mib" in row else "",
    )
    return "| " + " | ".join(cells) + " |"


def _drop(row: Mapping[str, Any]) -> str:
    low, high = row["drop_ci95"]
    return f"{100 * row['drop']:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def _accuracy(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "no peer"
    low, high = (100 * each for each in found["ci95"])
    return f"{found['verdict']}: loses {100 * found['loss']:+.2f} [{low:+.2f}, {high:+.2f}] against `{found['peer']}`"


def _speed(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "no peer within the budget"
    low, high = found["ci95"]
    return f"{found['verdict']}: {found['ratio']:.2f} [{low:.2f}, {high:.2f}] of `{found['peer']}`"


def _points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.2f}"


def _ratio(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else f"{found['ratio']:.2f} [{found['ci95'][0]:.2f}, {found['ci95'][1]:.2f}]"

"""Several stored results as one, for a page that shows a model on several machines: told apart, and never compared.

Runs are called `artifact @ name`. What was measured together stays together (`group`), and what was compared stays
compared; nothing is compared across results here, for that is a matter of its own (`compared.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeai.benchmarking.result import SCHEMA


def join_results(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return one result that holds the runs of all.

    Args:
        results: by a name that tells each from the others, documents as `edgeai.benchmarking.stored.read_report`
            returns them; the facts of the machines, versions and settings are called by that name.
    """
    joined: dict[str, list[Any]] = {"runs": [], "comparisons": [], "skipped": [], "yardsticks": []}
    groups = 0
    for name, result in results.items():
        labels = {_label(run): _of(_label(run), run["artifact"], name) for run in result["runs"]}
        for run in result["runs"]:
            artifact = _of(run["artifact"], run["artifact"], name)
            more = {"artifact": artifact, "label": labels[_label(run)], "group": run["group"] + groups}
            joined["runs"].append({**run, **more})
        for each in result["comparisons"]:
            sides = {side: labels.get(each[side], f"{each[side]} @ {name}") for side in ("a", "b")}
            joined["comparisons"].append({**each, **sides})
        joined["skipped"] += [{**each, "artifact": f"{each['artifact']} @ {name}"} for each in result["skipped"]]
        joined["yardsticks"] += [{**each, "group": each["group"] + groups} for each in result["yardsticks"]]
        groups = 1 + max(run["group"] for run in joined["runs"])
    processors = dict.fromkeys(result["machine"].get("cpu", "unknown") for result in results.values())
    return {
        "schema": SCHEMA,
        **joined,
        "machine": {"cpu": ", ".join(processors), **_facts(results, "machine")},
        "tools": _facts(results, "tools"),
        "settings": _facts(results, "settings"),
        "created": ", ".join(dict.fromkeys(result["created"] for result in results.values() if result["created"])),
    }


def _label(run: Mapping[str, Any]) -> str:
    return str(run["label"] or run["artifact"])


def _of(label: str, artifact: str, name: str) -> str:
    """Return a label with `@ name` behind its artifact; what follows that (delegate, threads) still follows."""
    rest = label.removeprefix(artifact)
    return f"{artifact} @ {name}{rest}" if label.startswith(artifact) else f"{label} @ {name}"


def _facts(results: Mapping[str, Mapping[str, Any]], part: str) -> dict[str, Any]:
    return {f"{name}: {key}": value for name, result in results.items() for key, value in (result[part] or {}).items()}

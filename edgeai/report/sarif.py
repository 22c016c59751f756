"""A result of `edgeai build` as SARIF 2.1.0: what code-scanning pages show beside the line of `edgeai.toml`.

A result per broken gate and per failed step, none for what holds; rules for all of them, so that a run without results
closes what an earlier one opened. Members are those of the OASIS standard, Static Analysis Results Interchange Format
2.1.0; the section of each object stands beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from edgeai.report.toml_lines import find_line

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_STEP = "step-failed"

RULES = {
    "size": "A variant is larger than the gate allows.",
    "latency": "A variant takes longer than the gate allows, or its time is unknown.",
    "memory": "A variant takes more memory than the gate allows, or how much is unknown.",
    "accuracy": "The certificate of a variant is not what the gate asks for.",
    "coverage": "Fewer operations run on the device than the gate asks for, or where they run is unknown.",
    "not_slower_than": "The new bundle is slower than the release, or could not be compared with it.",
    "budget": "No artifact keeps the budget of the search.",
    "fits": "A variant does not fit the device.",
    _STEP: "A step of the build failed.",
}
"""What each rule says when it is broken: the names of gates, and failed steps."""


def build_sarif(document: Mapping[str, Any], *, uri: str | None = None, text: str = "") -> str:
    """Return the broken gates and failed steps of a build.

    Args:
        document: of the schema `edgeai.build/1`, as `BuildResult.to_json` returns it.
        uri: path of the `edgeai.toml` from the root of the repository, `/` between folders; by default the name that
            is in the document.
        text: content of that file: results then point at the line of their key.
    """
    import edgeai

    found = [one for target in document["targets"] for one in _target_results(target)]
    names = [*RULES, *dict.fromkeys(name for name, *_ in found if name not in RULES)]
    location = {"uri": quote((uri or document["file"]).replace("\\", "/"))}
    run = {  # 3.14
        "tool": {
            "driver": {  # 3.19
                "name": "edgeai build",
                "version": edgeai.__version__,
                "rules": [_rule(name) for name in names],
            }
        },
        "automationDetails": {"id": "edgeai-build/"},  # 3.17: the last part is the run's own name, and is left empty
        "invocations": [{"executionSuccessful": not any(target["error"] for target in document["targets"])}],
        "results": [
            _result(
                name,
                index=names.index(name),
                where=where,
                message=message,
                values=values,
                physical={"artifactLocation": location, "region": {"startLine": find_line(text, path)}},
            )
            for name, where, message, path, values in found
        ],
        "columnKind": "unicodeCodePoints",
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


_Found = tuple[str, str, str, tuple[str, ...], Mapping[str, Any]]
"""Name of the rule, `model/target`, message, path of the key in the file, properties."""


def _target_results(target: Mapping[str, Any]) -> Iterable[_Found]:
    where = f"{target['model']}/{target['target']}"
    model, table = ("models", target["model"]), ("models", target["model"], "targets", target["target"])
    for gate in target["gates"]:
        if not gate["ok"]:
            path = {"budget": (*model, "budget"), "fits": (*table, "device")}
            key = path.get(gate["name"], (*table, "gates", gate["name"]))
            yield gate["name"], where, gate["reason"], key, {"limit": gate["limit"], "value": gate["value"]}
    if target["error"]:
        failed = next((step["name"] for step in target["steps"] if step["status"] == "failed"), "")
        words = f"{failed}: " if failed else ""
        hint = f" {target['error']['hint']}" if target["error"]["hint"] else ""
        path = {"sign": ("sign", "key"), "encrypt": ("encrypt", "key"), "search": model, "compress": model}
        message = f"{words}{target['error']['message']}{hint}"
        yield _STEP, where, message, path.get(failed, table), {"error": target["error"]["type"]}


def _rule(name: str) -> dict[str, Any]:  # 3.49
    words = RULES.get(name, f"The gate {name} is broken.")
    return {
        "id": f"edgeai/{name}",
        "name": "".join(part.capitalize() for part in name.replace("-", "_").split("_")),
        "shortDescription": {"text": words},
        "fullDescription": {"text": words},
        "help": {"text": f"{words} Limits stand in edgeai.toml; `edgeai build --explain` says what was made, and why."},
        "defaultConfiguration": {"level": "error"},
    }


def _result(
    name: str, *, index: int, where: str, message: str, values: Mapping[str, Any], physical: Mapping[str, Any]
) -> dict[str, Any]:  # 3.27
    identity = hashlib.sha256(f"{where}:{name}".encode()).hexdigest()
    return {
        "ruleId": f"edgeai/{name}",
        "ruleIndex": index,
        "level": "error",
        "message": {"text": f"{where}: {message}"},
        "locations": [
            {
                "physicalLocation": dict(physical),
                "logicalLocations": [{"fullyQualifiedName": where, "kind": "module"}],
            }
        ],
        "partialFingerprints": {"edgeaiGate/v1": identity},  # the same problem in another build, whatever its figures
        "properties": dict(values),
    }

"""A result of `edgeai build` as JUnit XML: a suite per target, a test case per step and per gate.

A step that failed is an error, a broken gate is a failure; steps that were not come to, or would be run, are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from edgeai.report.junit_xml import element, to_text


def build_junit(document: Mapping[str, Any]) -> str:
    """Return the steps and gates of every target.

    Args:
        document: of the schema `edgeai.build/1`, as `BuildResult.to_json` returns it.
    """
    suites = [_suite(target) for target in document["targets"]]
    root = element("testsuites", name=f"edgeai build {document['name']} {document['version']}", **_counts(suites))
    root.set("time", f"{document['duration_s']:.3f}")
    root.extend(suites)
    return to_text(root)


def _suite(target: Mapping[str, Any]) -> ET.Element:
    where = f"{target['model']}/{target['target']}"
    kind = f"edgeai.build.{target['model']}.{target['target']}"
    cases = [_step_case(step, target, kind) for step in target["steps"]]
    cases += [_gate_case(gate, kind) for gate in target["gates"]]
    if target["error"] and not any(step["status"] == "failed" for step in target["steps"]):
        case = element("testcase", classname=kind, name="build", time="0")
        case.append(_error(target["error"]))
        cases.append(case)
    suite = element("testsuite", name=where)
    suite.extend(cases)
    for name, value in _counts([suite]).items():
        suite.set(name, value)
    suite.set("time", f"{sum(step['duration_s'] for step in target['steps']):.3f}")
    return suite


def _step_case(step: Mapping[str, Any], target: Mapping[str, Any], kind: str) -> ET.Element:
    case = element("testcase", classname=kind, name=f"step {step['name']}", time=f"{step['duration_s']:.3f}")
    if step["status"] == "failed":
        case.append(_error(target["error"]))
    elif step["status"] in ("skipped", "would run"):
        case.append(element("skipped", message=step["status"]))
    why = f" ({'; '.join(step['why'])})" if step["why"] else ""
    case.append(element("system-out", "\n".join((f"{step['status']}{why}", *step["notes"]))))
    return case


def _gate_case(gate: Mapping[str, Any], kind: str) -> ET.Element:
    case = element("testcase", classname=kind, name=f"gate {gate['name']}", time="0")
    if not gate["ok"]:
        words = f"{gate['reason']}\nlimit: {gate['limit']}\nvalue: {gate['value']}"
        case.append(element("failure", words, message=gate["reason"], type="edgeai.gate"))
    else:
        case.append(element("system-out", gate["reason"]))
    return case


def _error(error: Mapping[str, Any] | None) -> ET.Element:
    told = error or {"type": "error", "message": "the step failed", "hint": ""}
    words = f"{told['message']}\n{told['hint']}".rstrip()
    return element("error", words, message=told["message"], type=told["type"])


def _counts(suites: Sequence[ET.Element]) -> dict[str, str]:
    cases = [case for suite in suites for case in suite.iter("testcase")]
    tags = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    found = {name: str(sum(case.find(tag) is not None for case in cases)) for name, tag in tags.items()}
    return {"tests": str(len(cases)), **found}

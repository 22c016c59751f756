"""A result of `edgeai bench` as JUnit XML: what CI systems show beside their tests.

Every run is a test case, with all its scenarios. It fails when its outputs differ or when a line of `failures` (of
`slower_than`) is about it; what could not be measured is skipped. Failures about no run of the document become cases of
their own: none is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from edgeai.report.bench_runs import RunView, device_words, run_views, without_scenario
from edgeai.report.junit_xml import clean, element, to_text
from edgeai.report.wording import time_words


def bench_junit(document: Mapping[str, Any], failures: Sequence[str] = ()) -> str:
    """Return the runs as one `testsuite` in `testsuites`.

    Args:
        document: of the schema `edgeai.bench/1`, as `read_report` or `BenchReport.to_json` return it.
        failures: one line per failure; a line belongs to the run with whose label (and `:` or ` against`) it begins.
    """
    left = list(failures)
    cases = [_case(view, left) for view in run_views(document)]
    cases += [_skipped(one) for one in document["skipped"]]
    cases += [
        _failed(element("testcase", classname="edgeai.bench", name=f"limit {number}", time="0"), line)
        for number, line in enumerate(left, start=1)
    ]
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": "0",
        "time": f"{sum(float(case.get('time', '0')) for case in cases):.3f}",
    }
    root = element("testsuites", name="edgeai bench", **counts)
    suite = element("testsuite", name="edgeai bench", skipped=str(len(document["skipped"])), **counts)
    if document["created"]:
        suite.set("timestamp", clean(document["created"])[:19])
    properties = ET.SubElement(suite, "properties")
    for group in ("machine", "tools"):
        for key, value in (document[group] or {}).items():
            properties.append(element("property", name=f"{group}.{key}", value=value))
    suite.extend(cases)
    root.append(suite)
    return to_text(root)


def _case(view: RunView, left: list[str]) -> ET.Element:
    """Return a run as a test case; takes the failures that are about it out of `left`."""
    run, latency = view.data, view.latency
    label = without_scenario(run)
    seconds = latency["median"] * run["calls"] / 1e3
    case = element("testcase", classname=f"edgeai.bench.{run['engine']}", name=label, time=f"{seconds:.3f}")
    begins = tuple(f"{name}{mark}" for name in view.labels for mark in (": ", " against "))
    own = [line for line in left if line.startswith(begins)]
    for line in own:
        left.remove(line)
    if run["outputs_match"] is False:
        own.insert(0, f"{label}: the outputs differ from the reference")
    if own:
        _failed(case, "\n".join(own))
    low, high = latency["median_ci95"]
    words = [
        f"median {time_words(latency['median'])} (95 % {time_words(low)} to {time_words(high)})",
        f"p90 {time_words(latency['p90'])}, p99 {time_words(latency['p99'])}",
        f"ran on {device_words(run)} by {run['delegate']}, threads: {run['threads']}, batch: {run['batch']}",
    ]
    words += [
        f"{one['scenario']} ({one['tier']}): {one['metric']} {one['value']:.4g}, "
        f"{'valid' if one['valid'] else 'not valid: ' + one['reason']}"
        for one in view.outcomes
    ]
    if run["noise"] and run["noise"]["noisy"]:
        words.append(f"noisy: {run['noise']['reason']}")
    said = ET.SubElement(case, "system-out")
    said.text = clean("\n".join(words))
    return case


def _skipped(one: Mapping[str, Any]) -> ET.Element:
    case = element("testcase", classname="edgeai.bench", name=one["artifact"], time="0")
    case.append(element("skipped", message=one["reason"]))
    return case


def _failed(case: ET.Element, lines: str) -> ET.Element:
    failure = element("failure", message=lines.splitlines()[0], type="edgeai.bench")
    failure.text = clean(lines)
    case.append(failure)
    return case

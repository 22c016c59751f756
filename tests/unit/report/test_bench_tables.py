"""A bench document as Markdown, CSV and JUnit: every run is there, and what was not measured is not made up."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest

from edgeai.benchmarking.result import (
    Accuracy,
    BenchReport,
    Energy,
    Latency,
    Memory,
    Noise,
    PairComparison,
    Phases,
    Run,
    ScenarioOutcome,
    Skipped,
    Sustained,
)
from edgeai.report.csv_table import bench_csv
from edgeai.report.junit import bench_junit
from edgeai.report.markdown import bench_markdown

PLAIN = Run(
    artifact="nets/a.onnx",
    label="nets/a.onnx",
    format="onnx",
    engine="onnxruntime",
    delegate="onnxruntime:cpu",
    placement={"cpu": 1.0},
    ran_on="cpu",
    threads=1,
    scenario="single_stream",
    latency_ms=Latency(median=1.25, p90=1.5, p99=2.0, median_ci95=(1.24, 1.26)),
    throughput_per_s=800.0,
    load_ms=10.0,
    first_ms=2.0,
    rss_mib=None,
    outputs_match=True,
    outputs_cosine=None,
    calls=1000,
    rounds_ms=(1.2, 1.3),
)
FULL = replace(
    PLAIN,
    artifact="b|c.edge#int8",
    label="b|c.edge#int8 <npu>, 2 threads",
    outputs_match=False,
    size_bytes=98_200,
    outcome=ScenarioOutcome(
        scenario="server",
        tier="quick",
        metric="queries_per_s",
        value=512.0,
        bound=None,
        valid=False,
        reason="too few queries",
        queries=100,
        samples=100,
        seconds=2.0,
    ),
    phases=Phases(
        repeats=3,
        process_start_ms=20.0,
        import_ms=100.0,
        load_ms=5.0,
        compile_cold_ms=50.0,
        compile_cached_ms=None,
        first_ms=2.0,
        warm_ms=1.0,
        spread={},
    ),
    memory=Memory(before_mib=50.0, loaded_mib=60.0, steady_mib=61.0, peak_mib=64.5),
    sustained=Sustained(seconds=120.0, points=(), drift=1.1, drift_ci95=(1.05, 1.2), throttled=None, reason="hotter"),
    energy=Energy(meter="rapl", joules_per_call=0.0123),
    accuracy=Accuracy(metric="top1", score=0.91, ci95=(0.9, 0.92), n=1000),
    noise=Noise(noisy=True, reason="others took 1.2 cores", spread=0.1, load=1.2, calm=0.419),
)


@pytest.fixture
def document() -> dict[str, Any]:
    pair = PairComparison(a=FULL.label, b=PLAIN.label, ratio=1.2, ci95=(1.1, 1.3), verdict="slower", note="old file")
    return BenchReport(
        machine={"cpu": "a processor", "governor": "performance", "os": "Linux"},
        tools={"edgeai": "0.1.0"},
        runs=(PLAIN, FULL),
        comparisons=(pair,),
        skipped=(Skipped(artifact="d.xml", reason="openvino is not installed"),),
        created="2026-01-02T03:04:05+00:00",
    ).to_json()


@pytest.mark.parametrize(
    "words",
    [
        "| a.onnx | cpu (onnxruntime:cpu) | 1 | 1 | 1.25 ms | 1.24 ms to 1.26 ms | 1.5 ms | 2 ms | 800 |",
        "98.2 kB | DIFFER | 91.00 % top1 |",
        "| 1.200 | 1.100 to 1.300 | slower | old file |",
        "| server | quick | queries\\_per\\_s | 512 | no: too few queries |",
        "| NOISY | 41 % | ±10 % | 1.2 cores |",
        "| 20 ms | 100 ms | 5 ms | 50 ms | 2 ms | 1 ms |",
        "| 50.0 MiB | 60.0 MiB | 61.0 MiB | 64.5 MiB |",
        "| 2 min 0 s | 1.1× | 1.050 to 1.200 | unknown | hotter |",
        "| rapl | 12.3 mJ |",
        "- noisy: b\\|c.edge#int8 &lt;npu>, 2 threads: others took 1.2 cores",
        "- not measured: d.xml: openvino is not installed",
        "a processor, governor performance, os Linux  \nedgeai 0.1.0  \n2026-01-02T03:04:05+00:00",
    ],
)
def test_markdown_tells_what_was_measured(document: dict[str, Any], words: str) -> None:
    assert words in bench_markdown(document)


def test_markdown_says_that_a_comparison_is_with_an_older_result(document: dict[str, Any]) -> None:
    stored = {**document["comparisons"][0], "how": "stored", "b": FULL.label}
    assert "&lt;npu>, 2 threads (old result) | 1.200 |" in bench_markdown({**document, "comparisons": [stored]})


@pytest.fixture
def scenarios(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its second run as two scenarios make it, and that run on a simulator."""
    plain, full = document["runs"]
    both = [
        {**full, "emulated": True, "scenario": name, "label": f"{full['label']} ({name})", "outcome": outcome}
        for name, outcome in (
            ("server", full["outcome"]),
            ("offline", {**full["outcome"], "scenario": "offline", "metric": "samples_per_s"}),
        )
    ]
    return {**document, "runs": [plain, *both]}


def test_markdown_tells_what_several_scenarios_share_once(scenarios: dict[str, Any]) -> None:
    text = bench_markdown(scenarios)
    assert text.count("| 50.0 MiB |") == text.count("| 91.00 % top1 |") == text.count("- noisy:") == 1
    assert text.count("| quick |") == 2
    assert "| cpu, simulated (onnxruntime:cpu) |" in text


def test_a_comparison_is_told_in_the_lines_of_a_run_with_several_scenarios(scenarios: dict[str, Any]) -> None:
    assert [row["compared.ratio"] for row in _rows(scenarios)] == ["", "1.2", "1.2"]


def test_a_run_with_several_scenarios_is_one_case_that_takes_failures_of_each(scenarios: dict[str, Any]) -> None:
    lines = [f"{FULL.label} against x: 1.4", f"{FULL.label} (server): 1.3 times as long"]
    cases = _cases(bench_junit(scenarios, lines))
    assert list(cases) == ["nets/a.onnx", FULL.label, "d.xml"]
    told = cases[FULL.label].findtext("failure") or ""
    assert told.splitlines()[1:] == lines
    assert "offline (quick): samples_per_s 512, not valid" in (cases[FULL.label].findtext("system-out") or "")


def test_every_line_of_a_markdown_table_has_as_many_cells(document: dict[str, Any]) -> None:
    lines = bench_markdown(document).replace("\\|", "").splitlines()
    tables: list[set[int]] = [set()]
    for line in lines:
        if line.startswith("|"):
            tables[-1].add(line.count("|"))
        elif tables[-1]:
            tables.append(set())
    counts = [table for table in tables if table]
    assert [len(table) for table in counts] == [1] * 8


def test_markdown_leaves_out_what_was_not_measured(document: dict[str, Any]) -> None:
    text = bench_markdown({**document, "runs": document["runs"][:1], "comparisons": [], "skipped": []})
    assert "##" not in text
    assert "| size |" not in text


def _rows(document: dict[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(bench_csv(document))))


def test_csv_has_one_line_per_run_and_columns_with_units(document: dict[str, Any]) -> None:
    plain, full = _rows(document)
    assert plain.keys() == full.keys()
    assert (plain["label"], plain["latency_ms.median"], plain["latency_ms.median_ci95.high"]) == (
        "nets/a.onnx",
        "1.25",
        "1.26",
    )
    assert (full["placement.cpu"], full["outputs_match"], full["energy.joules_per_call"]) == ("1.0", "false", "0.0123")
    assert (full["compared.b"], full["compared.ratio"], full["compared.ci95.low"]) == ("nets/a.onnx", "1.2", "1.1")
    assert full["machine.governor"] == "performance"


def test_csv_leaves_empty_what_was_not_measured(document: dict[str, Any]) -> None:
    plain, full = _rows(document)
    assert {plain[key] for key in ("rss_mib", "energy.joules_per_call", "compared.ratio", "memory.peak_mib")} == {""}
    assert full["phases.compile_cached_ms"] == ""
    assert not [name for name in plain if name in ("rounds_ms", "sustained.points", "phases.spread")]


def _cases(text: str) -> dict[str, ET.Element]:
    return {case.get("name", ""): case for case in ET.fromstring(text).iter("testcase")}


def test_junit_has_one_case_per_run_and_per_skipped_artifact(document: dict[str, Any]) -> None:
    text = bench_junit(document, [])
    cases = _cases(text)
    assert list(cases) == ["nets/a.onnx", FULL.label, "d.xml"]
    suite = ET.fromstring(text)[0]
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped", "timestamp")} == {
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
        "timestamp": "2026-01-02T03:04:05",
    }
    assert [child.tag for child in cases["nets/a.onnx"]] == ["system-out"]
    assert [child.tag for child in cases["d.xml"]] == ["skipped"]
    assert "median 1.25 ms" in (cases["nets/a.onnx"][0].text or "")
    failure = cases[FULL.label].find("failure")
    assert failure is not None
    assert failure.get("message") == f"{FULL.label}: the outputs differ from the reference"


def test_a_failure_is_told_at_its_run_and_none_is_lost(document: dict[str, Any]) -> None:
    lines = ["nets/a.onnx: 1.2 times as long", "gone.onnx: 1.3 times as long", f"{FULL.label} against x: 1.4"]
    cases = _cases(bench_junit(document, lines))
    told = {name: [failure.text for failure in case.iter("failure")] for name, case in cases.items()}
    assert told == {
        "nets/a.onnx": ["nets/a.onnx: 1.2 times as long"],
        FULL.label: [f"{FULL.label}: the outputs differ from the reference\n{FULL.label} against x: 1.4"],
        "d.xml": [],
        "limit 1": ["gone.onnx: 1.3 times as long"],
    }
    assert ET.fromstring(bench_junit(document, lines)).get("failures") == "3"


# What Jenkins' schema of JUnit files (junit-10.xsd) knows of the elements that are written here.
KNOWN = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "time", "skipped", "timestamp"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"name", "time", "classname"},
    "failure": {"type", "message"},
    "skipped": {"type", "message"},
    "system-out": set(),
}


def test_junit_has_only_elements_and_attributes_that_ci_systems_know(document: dict[str, Any]) -> None:
    elements = list(ET.fromstring(bench_junit(document, ["a failure of no run"])).iter())
    assert {element.tag for element in elements} == set(KNOWN)
    assert [element.tag for element in elements if not set(element.attrib) <= KNOWN[element.tag]] == []


def test_junit_holds_no_character_that_xml_forbids(document: dict[str, Any]) -> None:
    document["runs"][0]["label"] = "a\x00\x1b[31m\ud800.onnx"
    (name, *_) = _cases(bench_junit(document, []))
    assert name == "a\ufffd\ufffd[31m\ufffd.onnx"

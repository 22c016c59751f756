"""The page of a benchmark: well-formed, self-contained, escaped, true to its document, whatever the document lacks."""

from __future__ import annotations

import importlib.util
import json
import xml.etree.ElementTree as ET
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgeai.benchmarking.result import Run
from edgeai.report.bench_findings import findings, noise_rows
from edgeai.report.bench_runs import BRIEF, brief_names, run_views
from edgeai.report.html import render_report
from edgeai_runtime.errors import DataError, UsageError

VOID = {"meta", "br"}
REQUIRED = {"artifact", "format", "engine", "delegate", "placement", "threads", "scenario", "latency_ms"}
OPTIONAL = sorted({field.name for field in fields(Run)} - REQUIRED)


class _Page(HTMLParser):
    """Collects text, tags and drawings, and checks that every element is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.sections: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "section":
            self.sections += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split()).replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture(scope="module")
def sample() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_sample", Path(__file__).with_name("bench_sample.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored(sample: ModuleType) -> str:
    return json.dumps(sample.report().to_json())


@pytest.fixture
def bench(stored: str) -> dict[str, Any]:
    """The document as it is read from a file."""
    document: dict[str, Any] = json.loads(stored)
    return document


def test_every_element_is_closed(bench: dict[str, Any]) -> None:
    assert _Page(render_report(bench)).open == []


def test_every_part_of_the_document_has_its_section(bench: dict[str, Any]) -> None:
    assert _Page(render_report(bench)).sections == [
        "summary", "skipped", "pareto", "comparisons", "distributions", "scenarios", "phases", "sweep-threads",
        "sweep-batch", "operators", "memory", "energy", "sustained", "quiet", "basis",
    ]  # fmt: skip


def test_page_loads_nothing_and_has_no_script(bench: dict[str, Any]) -> None:
    page = _Page(render_report(bench))
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name == "src" or name.startswith("on")]
    assert {str(value)[:1] for name, value in page.attributes if name == "href"} == {"#"}
    assert "url(" not in render_report(bench)


@pytest.mark.parametrize(
    "words",
    [
        "resnet8.edge#tflite-int8",
        "80 % NPU, 20 % CPU",
        "86.1 to 88.3 %",
        "21.3 mJ",
        "other processes took 1.3 cores; measured again 2 times",
        "litert:npu: no driver on this machine",
        "5.05× faster",
        "no difference",
        "two files, made at different times",
        "too few queries: 120 of 662",
        "compiled model kept",
        "the other 10",
        "Fused operations are told as one.",
        "the clock fell from 3.8 to 3.3 GHz while it became slower",
        "throttling unknown",
        "Example CPU 9000",
        "1.26.0",
        "2026-05-04 10:20 UTC",
    ],
)
def test_figures_and_reasons_are_on_the_page(bench: dict[str, Any], words: str) -> None:
    assert words in _Page(render_report(bench)).text


def test_every_drawing_has_a_name_and_is_well_formed(bench: dict[str, Any]) -> None:
    page = render_report(bench)
    drawings = [part.split("</main>")[0] for part in page.split('<svg role="img"')[1:]]
    assert len(drawings) > 60
    for part in drawings:
        depth, end = 1, 0
        while depth:
            opened, closed = part.find("<svg", end), part.find("</svg>", end)
            depth += 1 if -1 < opened < closed else -1
            end = (opened if -1 < opened < closed else closed) + 4
        root = ET.fromstring(f"<svg{part[: end + 2]}")
        assert root.find("title") is not None
        assert root.attrib["aria-label"]


@pytest.mark.parametrize("part", OPTIONAL)
def test_run_without_an_optional_part_still_makes_a_page(bench: dict[str, Any], part: str) -> None:
    for run in bench["runs"]:
        run[part] = None
    assert "Summary" in _Page(render_report(bench)).text


def test_bare_runs_make_a_page_without_empty_sections(bench: dict[str, Any]) -> None:
    kept = REQUIRED - {"latency_ms"}
    bare = [{key: run[key] for key in kept} | {"latency_ms": {"median": 1.0}} for run in bench["runs"][:2]]
    page = _Page(render_report({"runs": bare, "comparisons": []}))
    assert page.sections == ["summary", "distributions", "basis"]
    assert page.open == []


def test_document_of_nothing_says_so() -> None:
    text = _Page(render_report({"runs": [], "skipped": [{"artifact": "a.onnx", "reason": "it is empty"}]})).text
    assert "Nothing was measured" in text
    assert "it is empty" in text


def test_where_it_ran_counts_not_what_was_asked_for(bench: dict[str, Any]) -> None:
    bench["runs"] = bench["runs"][:1]
    bench["runs"][0] |= {"delegate": "litert:npu", "ran_on": "cpu"}
    assert ("class", "device cpu") in _Page(render_report(bench)).attributes
    assert ("class", "device npu") not in _Page(render_report(bench)).attributes


def test_scenarios_of_one_measurement_are_one_run(bench: dict[str, Any]) -> None:
    first = bench["runs"][0]
    first["label"] += " (single_stream)"
    outcome = first["outcome"] | {"scenario": "offline", "metric": "samples_per_s", "value": 1234.0}
    other = first | {"scenario": "offline", "label": first["label"].replace("single_stream", "offline")}
    bench["runs"] = [first, other | {"outcome": outcome}, bench["runs"][1]]
    text = _Page(render_report(bench)).text
    assert "Fastest of 2" in text
    assert "1,234/s" in text
    assert "1 resnet8.onnx" in text


def test_noisy_runs_with_one_reason_are_told_together(bench: dict[str, Any]) -> None:
    for run in bench["runs"]:
        run["noise"] = {"noisy": True, "reason": "others were busy", "spread": 0.1, "load": 1.0, "repeats": 0}
    page = render_report(bench)
    assert page.split('role="note"')[1].split("</div>")[0].count("others were busy") == 1


def _with_attack(value: Any, attack: str) -> Any:
    if isinstance(value, dict):
        return {key: _with_attack(inner, attack) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_attack(inner, attack) for inner in value]
    return attack if isinstance(value, str) else value


def test_values_are_escaped(bench: dict[str, Any]) -> None:
    attack = "<script>alert(1)</script>\"'&"
    page = _Page(render_report(_with_attack(bench, attack) | {"schema": bench["schema"]}))
    assert "script" not in page.tags
    assert page.open == []
    assert "alert(1)" in page.text


def test_fifty_runs_have_all_their_numbers(sample: ModuleType) -> None:
    page = render_report(json.loads(json.dumps(sample.many_runs(50).to_json())))
    assert "50 runs of 5 artifacts" in _Page(page).text
    assert page.count("<details open") == 2


def test_same_document_gives_the_same_page(bench: dict[str, Any]) -> None:
    assert render_report(bench) == render_report(json.loads(json.dumps(bench)))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"schema": "edgeai.bench/2", "runs": []}, "edgeai.bench/2"),
        ({"checks": []}, "checks"),
        ([], "list"),
    ],
)
def test_document_of_another_kind_is_refused(document: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        render_report(document)


def test_document_of_compress_makes_the_compress_page(document: dict[str, Any]) -> None:
    assert "edgeai compress" in _Page(render_report(document)).text


def test_a_simulated_device_is_told_as_such_and_is_not_the_fastest(bench: dict[str, Any]) -> None:
    runs = bench["runs"][:2]
    runs[0].update(emulated=True, ran_on="npu", latency_ms={**runs[0]["latency_ms"], "median": 0.001})
    text = _Page(render_report({**bench, "runs": runs, "comparisons": []})).text
    assert "npu, simulated" in text
    assert "Fastest" not in text
    assert "Median call" in text


@pytest.mark.parametrize(
    ("verdicts", "title", "figure"),
    [
        ((("no_difference", 0.95), ("faster", 0.96)), "Largest gain", "1.04× faster"),
        ((("slower", 1.2), ("slower", 1.5)), "Compared", "none is as fast"),
        ((("slower", 1.2), ("no_difference", 1.3)), "Compared", "no difference"),
    ],
)
def test_the_headline_names_a_gain_only_where_there_is_one(
    bench: dict[str, Any], verdicts: tuple[tuple[str, float], ...], title: str, figure: str
) -> None:
    pair = bench["comparisons"][0]
    pairs = [{**pair, "verdict": verdict, "ratio": ratio} for verdict, ratio in verdicts]
    headline = findings({**bench, "comparisons": pairs}, run_views(bench))[1]
    assert (headline.title, headline.figure) == (title, figure)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"latency_ms": "fast"}, r"runs\[0\].latency_ms should be an object"),
        ({"threads": "two"}, r"runs\[0\].threads should be a whole number"),
        ({"memory": {"curve": [1.0]}}, r"runs\[0\].memory"),
    ],
)
def test_a_result_of_wrong_types_is_an_error_that_names_the_place(
    bench: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    bench["runs"][0] |= change
    with pytest.raises(DataError, match=words):
        render_report(bench)


def test_what_a_device_writes_makes_a_page(bench: dict[str, Any]) -> None:
    known = ("artifact", "format", "engine", "delegate", "placement", "threads", "batch", "throughput_per_s", "load_ms")
    run = {name: bench["runs"][0][name] for name in (*known, "first_ms", "rss_mib", "outputs_match")}
    latency = {name: bench["runs"][0]["latency_ms"][name] for name in ("median", "p90", "p99", "median_ci95")}
    text = _Page(render_report({"machine": {}, "runs": [{**run, "latency_ms": latency}], "comparisons": []})).text
    assert "Median call" in text


def test_the_headline_makes_nothing_of_times_of_a_simulated_device(bench: dict[str, Any]) -> None:
    bench["comparisons"] = bench["comparisons"][:1]
    for run in bench["runs"]:
        run["emulated"] = run["label"] == bench["comparisons"][0]["a"]
    headline = findings(bench, run_views(bench))[1]
    assert headline.figure == "with nothing"
    assert "simulated" in headline.sentence


def test_the_headline_of_one_comparison_tells_two_runs_of_one_file_apart(bench: dict[str, Any]) -> None:
    first, second = bench["runs"][:2]
    second |= {"artifact": first["artifact"], "label": f"{first['artifact']} on litert:gpu"}
    pair = {**bench["comparisons"][0], "a": second["label"], "b": first["label"], "how": "interleaved"}
    headline = findings({**bench, "comparisons": [pair]}, run_views({**bench, "runs": [first, second]}))[1]
    a, _, b = headline.sentence.removesuffix(".").partition(" against ")
    assert a != b
    assert "on litert:gpu" in a


def test_a_run_with_other_outputs_is_no_finding_however_fast(bench: dict[str, Any]) -> None:
    right, wrong = bench["runs"][:2]
    right["outputs_match"], wrong["outputs_match"] = True, False
    wrong["latency_ms"] = {**wrong["latency_ms"], "median": 1e-6}
    pair = {**bench["comparisons"][0], "b": bench["runs"][2]["label"]}
    gains = [{**pair, "a": right["label"], "ratio": 0.5}, {**pair, "a": wrong["label"], "ratio": 0.001}]
    pairs = [{**gain, "verdict": "faster"} for gain in gains]
    fastest, compared, _ = findings({**bench, "comparisons": pairs}, run_views({"runs": bench["runs"][:3]}))
    assert "Left out: 1 with other inputs or outputs." in fastest.sentence
    assert fastest.figure != "0.001 µs"
    assert compared.figure == "2× faster"


def test_a_name_moves_no_cursor_and_turns_no_direction_of_reading(bench: dict[str, Any]) -> None:
    hostile = "a\x1b[2J\u202egnp.exe\udcff\n.tflite"
    bench["runs"] = [{**bench["runs"][0], "artifact": hostile, "label": f"{hostile} on \x07gpu"}]
    bench["settings"] = {"paths": [hostile]}
    page = render_report({**bench, "comparisons": []})
    page.encode("utf-8")
    assert not {"\x1b", "\u202e", "\x07"} & set(page)
    assert "a\\x1b[2J\\u202egnp.exe\\udcff\\n.tflite" in _Page(page).text


def test_long_names_lose_their_middle_beside_drawings_but_not_in_the_table(bench: dict[str, Any]) -> None:
    names = [f"{'a' * 60}{end}.tflite" for end in ("-one", "-two")]
    runs = [{**bench["runs"][0], "artifact": name, "label": name} for name in names]
    first, second = run_views({"runs": runs})
    assert len(first.brief) == BRIEF
    assert first.brief.endswith("-one.tflite")
    text = _Page(render_report({**bench, "runs": runs, "comparisons": []})).text
    assert text.count(first.brief) > 3
    assert first.name in text
    same = ["b" * 30 + str(middle) + "c" * 30 for middle in range(2)]
    assert brief_names(same) == {name: name for name in same}
    assert second.brief != first.brief


def test_every_entry_of_the_contents_leads_to_a_section(bench: dict[str, Any]) -> None:
    page = _Page(render_report(bench))
    anchors = [str(value).removeprefix("#") for name, value in page.attributes if name == "href"]
    assert anchors == page.sections
    assert "quiet" in anchors


def test_the_headline_says_how_calm_the_machine_was(bench: dict[str, Any]) -> None:
    for run in bench["runs"]:
        run.update(outputs_match=None, noise={"noisy": False, "reason": "", "spread": 0.01, "calm": 0.968})
    assert findings(bench, run_views(bench))[2].sentence == (
        "The machine was quiet: at least 96 % of each run's rounds were calm."
    )
    (one,) = run_views({"runs": [{**bench["runs"][0], "noise": {"noisy": False, "calm": 1.0}}]})
    assert findings({}, [one])[2].sentence == "The machine was quiet: all rounds were calm."
    bench["runs"][0]["noise"] |= {"noisy": True, "reason": "why"}
    assert "not quiet in run 1: at least 96 % of each run's rounds" in _Page(render_report(bench)).text


def test_networks_that_take_other_inputs_are_no_finding(bench: dict[str, Any]) -> None:
    first, other = bench["runs"][:2]
    other["latency_ms"] = {**other["latency_ms"], "median": 1e-6}
    pair = {**bench["comparisons"][0], "a": other["label"], "b": first["label"], "verdict": "faster", "ratio": 1e-6}
    pair["note"] = "they take different inputs"
    document = {**bench, "runs": [first, other], "comparisons": [pair]}
    fastest, compared, _ = findings(document, run_views(document))
    assert fastest.sentence.startswith("Run 1,")
    assert compared.figure == "with nothing"


def test_one_run_has_its_tail_for_a_finding(bench: dict[str, Any]) -> None:
    latency = {**bench["runs"][0]["latency_ms"], "median": 1.0, "p90": 2.0, "p99": 4.5}
    document = {**bench, "runs": [{**bench["runs"][0], "latency_ms": latency}], "comparisons": []}
    tail = findings(document, run_views(document))[1]
    assert (tail.title, tail.figure, tail.tone) == ("p99", "4.5 ms", "neutral")
    assert "4.5× the median" in tail.sentence


def test_what_all_noisy_runs_share_is_told_once(bench: dict[str, Any]) -> None:
    for spread, run in zip((1, 2), bench["runs"], strict=False):
        run["noise"] = {"noisy": True, "reason": f"the median is known to ±{spread} % only; others took 2 cores"}
    rows = noise_rows(run_views({"runs": bench["runs"][:2]}))
    assert [(row["words"], [run.number for run in row["runs"]]) for row in rows] == [
        ("others took 2 cores", ["1", "2"]),
        ("the median is known to ±1 % only", ["1"]),
        ("the median is known to ±2 % only", ["2"]),
    ]


def test_delegates_that_are_not_here_stand_behind_what_failed(bench: dict[str, Any]) -> None:
    bench["skipped"] = [{"artifact": "litert:npu", "reason": "no NPU"}, {"artifact": "m/a.onnx", "reason": "cut short"}]
    text = _Page(render_report(bench)).text
    assert text.index("cut short") < text.index("1 delegate not usable on this machine") < text.index("no NPU")

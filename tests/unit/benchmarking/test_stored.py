"""Results on disk: what is written can be read, and what is no result is refused in words that help."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeai.benchmarking.result import SCHEMA, Phases
from edgeai.benchmarking.stored import check_report, read_report
from edgeai_runtime.errors import DataError, EdgeAIError, UsageError

Document = dict[str, Any]


def test_what_is_written_is_read_again(document: Document, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps(document))
    assert read_report(tmp_path / "old.json") == json.loads(json.dumps(document))


def test_keys_that_have_a_default_may_be_missing(document: Document, tmp_path: Path) -> None:
    for run in document["runs"]:
        del run["rounds_ms"], run["outcome"], run["latency_ms"]["histogram"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document))
    run = read_report(path)["runs"][0]
    assert (list(run["rounds_ms"]), run["outcome"], run["latency_ms"]["histogram"]) == ([], None, None)


def test_keys_of_a_later_version_are_kept(document: Document, tmp_path: Path) -> None:
    document["runs"][0]["dreams"] = ["sheep"]
    (tmp_path / "old.json").write_text(json.dumps(document))
    assert read_report(tmp_path / "old.json")["runs"][0]["dreams"] == ["sheep"]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("{", DataError, "not a JSON file"),
        ("[1]", DataError, "it holds a list"),
        ("{}", UsageError, f"its schema is not {SCHEMA}"),
        ('{"schema": "edgeai.bench/2"}', DataError, "another version of edgeai: its schema is edgeai.bench/2"),
        ('{"candidates": []}', UsageError, "result of `edgeai compress`"),
        ('{"error": {"message": "no such file"}}', UsageError, "that failed: no such file"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, text: str, error: type[EdgeAIError], words: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(error, match=words):
        read_report(tmp_path / "x.json")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no file .*x\.json"):
        read_report(tmp_path / "x.json")


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as text"):
        read_report(tmp_path / "x.json")


def _set(*path: str | int, to: Any) -> Callable[[Document], None]:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        if to is KeyError:
            del document[path[-1]]
        else:
            document[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("machine", to=KeyError), "incomplete: machine is missing"),
        (_set("runs", to=[]), "holds no run"),
        (_set("runs", 1, "latency_ms", "median", to=KeyError), r"runs\[1\]\.latency_ms\.median is missing"),
        (_set("runs", 0, "latency_ms", "median", to="1 ms"), r"median should be a finite number. Received: '1 ms'"),
        (_set("runs", 0, "latency_ms", "median", to=float("nan")), "median should be a finite number. Received: nan"),
        (_set("runs", 0, "latency_ms", "median_ci95", to=[1.0]), "median_ci95 should hold 2 values. Received: 1"),
        (_set("runs", 0, "rounds_ms", to=[1.0, None]), r"rounds_ms\[1\] should be a finite number. Received: nothing"),
        (_set("runs", 0, "threads", to=True), "threads should be a whole number. Received: True"),
        (_set("runs", 0, "placement", to={"cpu": "all"}), r"placement\.cpu should be a finite number"),
        (_set("runs", 0, "noise", to=[]), "noise should be an object. Received: a list"),
        (_set("comparisons", 0, "verdict", to="better"), "verdict should be one of faster, slower, no_difference"),
        (_set("runs", to={}), "runs should be a list. Received: an object"),
    ],
)
def test_the_place_that_is_wrong_is_named(
    document: Document, tmp_path: Path, change: Callable[[Document], None], words: str
) -> None:
    change(document)
    (tmp_path / "x.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=words):
        read_report(tmp_path / "x.json")


def test_a_figure_that_is_not_finite_is_refused(document: Document) -> None:
    document["runs"][0]["latency_ms"]["median"] = float("inf")
    with pytest.raises(DataError, match="median should be a finite number"):
        check_report(document, where="the result")


def test_a_part_of_the_record_is_checked_like_the_rest(document: Document) -> None:
    assert "phases" in document["runs"][0]
    document["runs"][0]["phases"] = dict.fromkeys(Phases.__dataclass_fields__, 1)
    with pytest.raises(DataError, match=r"runs\[0\]\.phases\.spread should be an object. Received: 1"):
        check_report(document, where="the result")
